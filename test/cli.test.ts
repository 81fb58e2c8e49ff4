import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'
import { after, describe, test } from 'node:test'

const program = join(import.meta.dirname, '..', 'bin', 'syncline.js')
const folders: string[] = []
const children: ChildProcess[] = []
after(() => {
  for (const child of children) if (child.exitCode === null) child.kill('SIGKILL')
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

const connections = {
  shop: { connector: 'sqlite', file: './shop.db' },
  warehouse: { connector: 'sqlite', file: './warehouse.db' },
}
const everything = { from: 'shop', to: 'warehouse', collections: ['*'] }

/** A project with a source of `rows` orders and three customers. */
function newProject(syncs: unknown = { everything }, rows = 100): string {
  const folder = mkdtempSync(join(tmpdir(), 'syncline-cli-'))
  folders.push(folder)
  writeFileSync(join(folder, 'syncline.config.json'), JSON.stringify({ connections, syncs }))
  change(
    folder,
    'shop.db',
    `pragma journal_mode = wal;
     create table customers (id integer primary key, name text);
     insert into customers values (1, 'Ada'), (2, 'Bo'), (3, null);
     create table orders (id integer primary key, total text, big integer, raw blob);
     with recursive n (i) as (select 1 union all select i + 1 from n where i < ${rows})
       insert into orders select i, i || '.50', 9007199254740993, x'00ff' from n`,
  )
  return folder
}

function change(folder: string, file: 'shop.db' | 'warehouse.db', sql: string): void {
  const database = new DatabaseSync(join(folder, file), { timeout: 5000 })
  database.exec(sql)
  database.close()
}

function count(folder: string, table: string): number {
  const database = new DatabaseSync(join(folder, 'warehouse.db'), { timeout: 5000 })
  try {
    return Number(database.prepare(`select count(*) as n from ${table}`).get()?.n)
  } finally {
    database.close()
  }
}

function start(folder: string, ...args: string[]) {
  const child = spawn(process.execPath, [program, ...args], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
  children.push(child)
  const output = { out: '', err: '' }
  child.stdout.on('data', (chunk: Buffer) => (output.out += chunk))
  child.stderr.on('data', (chunk: Buffer) => (output.err += chunk))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, ...output }))
  /** Reads on until a line of stdout that passes. */
  const until = async (passes: (line: string) => boolean): Promise<string> => {
    for (;;) {
      const { value, done } = await lines.next()
      if (done === true) throw new Error(`ended before the line came: ${output.out}${output.err}`)
      if (passes(value)) return value
    }
  }
  return { child, ended, until }
}

async function call(folder: string, ...args: string[]) {
  const { code, out, err } = await start(folder, ...args).ended
  const json = () =>
    out
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line))
  return { code, out, err, json }
}

/** Every file of a folder with its content. SQLite keeps a log and an index of it beside a file that is open. */
function snapshot(folder: string): Record<string, string> {
  const names = readdirSync(folder, { recursive: true })
    .map(String)
    .filter((name) => !/-(wal|shm)$/.test(name))
    .sort()
  const content = (name: string) =>
    statSync(join(folder, name)).isFile()
      ? createHash('sha256')
          .update(readFileSync(join(folder, name)))
          .digest('hex')
      : ''
  return Object.fromEntries(names.map((name) => [name, content(name)]))
}

describe('from the first run to the proof', () => {
  test('run copies, a second run writes nothing, and verify proves it', async () => {
    const folder = newProject()
    const first = (await call(folder, 'run', '--json')).json()
    const finished = first.filter((line) => line.event === 'run.finished')
    assert.deepEqual(
      finished.map(({ sync, status, read, inserted, updated, deleted, unchanged, rejected }) => [
        sync,
        status,
        read,
        inserted,
        updated,
        deleted,
        unchanged,
        rejected,
      ]),
      [
        ['everything/customers', 'succeeded', 3, 3, 0, 0, 0, 0],
        ['everything/orders', 'succeeded', 100, 100, 0, 0, 0, 0],
      ],
    )
    for (const line of finished) {
      assert.equal(typeof line.run, 'string')
      assert.equal(typeof line.durationMs, 'number')
      assert.ok(!('error' in line))
      const own = first.filter(({ run }) => run === line.run).map(({ event }) => event)
      assert.equal(own[0], 'run.started')
      assert.equal(own.at(-1), 'run.finished')
      assert.ok(own.includes('run.progress'))
    }
    for (const { event, inserted, updated, deleted } of (await call(folder, 'run', '--json')).json()) {
      if (event === 'run.finished') assert.deepEqual([inserted, updated, deleted], [0, 0, 0])
    }
    const verified = await call(folder, 'verify', '--json')
    assert.equal(verified.code, 0)
    for (const { event, equal, left, right, missing, extra, different, keys } of verified.json()) {
      assert.deepEqual([event, equal, left === right, missing, extra, different], ['verify', true, true, 0, 0, 0])
      assert.deepEqual(keys, { missing: [], extra: [], different: [], unreadable: [] })
    }
  })

  test('plan shows what would change, and writes nothing at all', async () => {
    const folder = newProject()
    const before = snapshot(folder)
    const [customers] = (await call(folder, 'plan', '--json')).json()
    assert.deepEqual(snapshot(folder), before)
    assert.deepEqual([customers.event, customers.sync], ['plan', 'everything/customers'])
    assert.deepEqual([customers.inserts, customers.updates, customers.deletes], [3, 0, 0])
    assert.equal(customers.schema[0].kind, 'create')
    await call(folder, 'run')
    change(
      folder,
      'shop.db',
      `update orders set total = '7.00' where id = 5; delete from orders where id = 6; insert into orders values (500, '1', 1, null)`,
    )
    const after = snapshot(folder)
    const [orders] = (await call(folder, 'plan', 'everything/orders', '--json')).json()
    assert.deepEqual(snapshot(folder), after)
    assert.deepEqual([orders.inserts, orders.updates, orders.deletes, orders.schema], [1, 1, 1, []])
    const update = orders.samples.find((sample: { kind: string }) => sample.kind === 'update')
    assert.deepEqual(update, { key: { id: 5 }, kind: 'update', fields: { total: { from: '5.50', to: '7.00' } } })
    const insert = orders.samples.find((sample: { kind: string }) => sample.kind === 'delete')
    assert.equal(insert.fields.big.from, '9007199254740993')
    assert.equal(insert.fields.raw.from, '\\x00ff')
    const human = await call(folder, 'plan', 'everything/orders')
    assert.match(human.out, /everything\/orders {2}insert 1, update 1, delete 1/)
    assert.match(human.out, /update id 5 {2}total: "5\.50" → "7\.00"/)
  })

  test('verify finds what was changed in the target, exits 1, and --repair mends it', async () => {
    const folder = newProject()
    await call(folder, 'run')
    change(
      folder,
      'warehouse.db',
      `update orders set total = 'x' where id = 3; delete from orders where id = 4; insert into orders values (900, '1', 1, null)`,
    )
    const found = await call(folder, 'verify', 'everything/orders', '--json')
    assert.equal(found.code, 1)
    const [orders] = found.json()
    assert.deepEqual([orders.equal, orders.missing, orders.extra, orders.different], [false, 1, 1, 1])
    assert.deepEqual(orders.keys, {
      missing: [{ id: 4 }],
      extra: [{ id: 900 }],
      different: [{ id: 3 }],
      unreadable: [],
    })
    assert.match((await call(folder, 'verify')).out, /✗ everything\/orders {2}not equal[\s\S]*id 900[\s\S]*--repair/)
    assert.equal((await call(folder, 'verify', '--repair')).code, 0)
    assert.equal((await call(folder, 'verify')).code, 0)
  })

  test('people read what happened, and numbers have separators', async () => {
    const folder = newProject({ everything }, 12_345)
    const { out } = await call(folder, 'run')
    assert.match(out, /✓ everything\/orders {2}12,345 read, 12,345 inserted in /)
    assert.match(out, /2 syncs: 2 succeeded/)
    assert.match((await call(folder, 'status')).out, /everything\/orders +succeeded/)
    assert.match((await call(folder, 'history')).out, /everything\/orders +succeeded .*12,345/)
  })
})

describe('choosing syncs', () => {
  test('collections shows rows, keys and types', async () => {
    const lines = (await call(newProject(), 'collections', 'shop', '--json')).json()
    assert.deepEqual(
      lines.map(({ event, collection, rows, key }) => [event, collection, rows, key]),
      [
        ['collection', 'customers', 3, ['id']],
        ['collection', 'orders', 100, ['id']],
      ],
    )
    assert.deepEqual([lines[1].fields[3].name, lines[1].fields[3].type], ['raw', 'bytes'])
  })

  test('one expanded sync runs alone, and an unknown one is refused before anything runs', async () => {
    const folder = newProject()
    const lines = (await call(folder, 'run', 'everything/orders', '--json')).json()
    assert.deepEqual([...new Set(lines.map(({ sync }) => sync))], ['everything/orders'])
    const unknown = await call(folder, 'run', 'everything/ordrs')
    assert.equal(unknown.code, 2)
    assert.match(unknown.err, /there is no sync "everything\/ordrs"; did you mean "everything\/orders"/)
  })

  test('two syncs that write one table are refused at start, naming both', async () => {
    const folder = newProject({ everything, copy: { from: 'shop.customers', to: 'warehouse.orders' } })
    const { code, json, err } = await call(folder, 'run', '--json')
    assert.equal(code, 2)
    assert.equal(json()[0].error.code, 'TARGET_SHARED')
    assert.match(err, /"everything\/orders" and "copy"/)
  })

  test('a pattern over what another sync writes is expanded once that has run', async () => {
    const chain = {
      onward: { from: 'again', to: 'copy', collections: ['*'] },
      last: { from: 'copy', to: 'end', collections: ['*'] },
      everything: { from: 'shop', to: 'warehouse', collections: ['*'] },
    }
    const [again, copy, end] = ['warehouse', 'copy', 'end'].map((name) => ({
      connector: 'sqlite',
      file: `./${name}.db`,
    }))
    const folder = newProject()
    const config = { connections: { ...connections, again, copy, end }, syncs: chain }
    writeFileSync(join(folder, 'syncline.config.json'), JSON.stringify(config))
    const { code, json, err } = await call(folder, 'run', '--json')
    assert.equal(code, 0, err)
    const finished = json().filter(({ event }) => event === 'run.finished')
    assert.deepEqual(
      finished.map(({ sync, status }) => [sync.split('/')[0], status]),
      ['everything', 'everything', 'onward', 'onward', 'last', 'last'].map((name) => [name, 'succeeded']),
    )
  })

  test('reset makes the next run compare everything, and --drop drops the table', async () => {
    const folder = newProject()
    await call(folder, 'run')
    assert.equal((await call(folder, 'reset', 'everything/orders')).code, 0)
    const again = (await call(folder, 'run', '--json'))
      .json()
      .find(({ event, sync }) => event === 'run.finished' && sync === 'everything/orders')
    assert.deepEqual([again.unchanged, again.inserted], [100, 0])
    assert.equal((await call(folder, 'reset', 'everything/orders', '--drop')).code, 0)
    assert.throws(() => count(folder, 'orders'))
    await call(folder, 'run')
    assert.equal(count(folder, 'orders'), 100)
  })
})

describe('failures and exit codes', () => {
  test('a failed sync exits 1 and does not stop the others', async () => {
    const folder = newProject()
    change(folder, 'warehouse.db', 'create table customers (id integer primary key, name text)')
    const { code, json } = await call(folder, 'run', '--json')
    assert.equal(code, 1)
    const finished = json().filter(({ event }) => event === 'run.finished')
    assert.deepEqual(
      finished.map(({ sync, status, error }) => [sync, status, error?.code]),
      [
        ['everything/customers', 'failed', 'TARGET_NOT_OURS'],
        ['everything/orders', 'succeeded', undefined],
      ],
    )
    assert.ok(finished[0].error.message.length > 0 && finished[0].error.hint.length > 0)
  })

  test('mass deletion is held with exit 3 until it is released (hazard 6)', async () => {
    const folder = newProject()
    await call(folder, 'run')
    change(folder, 'shop.db', 'delete from orders where id > 50')
    const held = await call(folder, 'run', '--json')
    assert.equal(held.code, 3)
    const run = held.json().find(({ event, status }) => event === 'run.finished' && status === 'held')
    assert.deepEqual([run.sync, run.deleted, run.error.code], ['everything/orders', 0, 'GUARD_HELD'])
    assert.equal(count(folder, 'orders'), 100)
    assert.match((await call(folder, 'status')).out, new RegExp(`syncline release ${run.run}`))
    assert.equal((await call(folder, 'release', run.run)).code, 0)
    assert.equal((await call(folder, 'run')).code, 0)
    assert.equal(count(folder, 'orders'), 50)
  })

  test('a refused connection names host and port, never the password, and other syncs go on', async () => {
    const folder = newProject()
    const lost = { connector: 'postgres', url: 'postgres://me:hunter2@127.0.0.1:1/shop' }
    const syncs = {
      lost: { from: 'lost.public.x', to: 'warehouse.x' },
      some: { from: 'lost', to: 'warehouse', collections: ['*'] },
      orders: { from: 'shop.orders', to: 'warehouse' },
    }
    writeFileSync(
      join(folder, 'syncline.config.json'),
      JSON.stringify({ connections: { ...connections, lost }, syncs }),
    )
    const { code, json, out, err } = await call(folder, 'run', '--json')
    assert.equal(code, 1)
    const finished = new Map(
      json()
        .filter(({ event }) => event === 'run.finished')
        .map((line) => [line.sync, line]),
    )
    for (const name of ['lost', 'some']) {
      assert.equal(finished.get(name)?.error.code, 'CONNECTION_REFUSED')
      assert.match(finished.get(name)?.error.message, /127\.0\.0\.1.*\b1\b/)
    }
    assert.equal(finished.get('orders')?.status, 'succeeded')
    const history = await call(folder, 'history', '--json')
    for (const text of [out, err, history.out]) assert.ok(!text.includes('hunter2'))
  })
})

describe('processes', () => {
  test('watch follows changes, others read beside it, and Ctrl-C ends it with 0 (hazard 28)', async () => {
    const folder = newProject({ everything: { ...everything, every: '200ms' } })
    const watch = start(folder, 'watch', '--json')
    await watch.until((line) => line.includes('run.finished') && line.includes('everything/orders'))
    change(folder, 'shop.db', `update orders set total = 'new' where id = 1`)
    const line = JSON.parse(await watch.until((text) => text.includes('run.finished')))
    assert.deepEqual([line.sync, line.updated], ['everything/orders', 1])
    assert.equal((await call(folder, 'verify')).code, 0)
    assert.equal((await call(folder, 'plan')).code, 0)
    assert.equal((await call(folder, 'status')).code, 0)
    const second = await call(folder, 'run', '--json')
    assert.equal(second.code, 1)
    assert.equal(second.json()[0].error.code, 'PROJECT_LOCKED')
    assert.ok(second.json()[0].error.message.includes(String(watch.child.pid)))
    watch.child.kill('SIGINT')
    assert.equal((await watch.ended).code, 0)
  })

  test('Ctrl-C in a run finishes the batch and exits 130, and the next run goes on', async () => {
    const folder = newProject({ orders: { from: 'shop.orders', to: 'warehouse', batch: { rows: 1000 } } }, 400_000)
    const run = start(folder, 'run', '--json')
    await run.until((line) => line.includes('run.progress') && JSON.parse(line).inserted > 0)
    run.child.kill('SIGINT')
    const { code, err } = await run.ended
    assert.equal(code, 130)
    assert.match(err, /Finishing the current batch/)
    const copied = count(folder, 'orders')
    assert.ok(copied > 0 && copied < 400_000, `${copied} rows were copied`)
    const [status] = (await call(folder, 'status', '--json')).json()
    assert.equal(status.status, 'interrupted')
    assert.equal((await call(folder, 'run')).code, 0)
    assert.equal((await call(folder, 'verify')).code, 0)
  })

  test('kill -9 in a run frees the project at once, and the next run goes on', async () => {
    const folder = newProject({ orders: { from: 'shop.orders', to: 'warehouse', batch: { rows: 1000 } } }, 400_000)
    const run = start(folder, 'run', '--json')
    await run.until((line) => line.includes('run.progress') && JSON.parse(line).inserted > 0)
    run.child.kill('SIGKILL')
    await run.ended
    const [status] = (await call(folder, 'status', '--json')).json()
    assert.equal(status.status, 'interrupted')
    assert.equal((await call(folder, 'run')).code, 0)
    assert.equal((await call(folder, 'verify')).code, 0)
    assert.equal(count(folder, 'orders'), 400_000)
  })

  test('a process that stops reading ends the output without an error', async () => {
    const folder = newProject()
    for (let run = 0; run < 3; run++) await call(folder, 'run')
    const { child, ended } = start(folder, 'history', '--json')
    child.stdout.destroy()
    const { err } = await ended
    assert.equal(err, '')
  })
})

test('the files of a project stay in .syncline, which version control ignores', async () => {
  const folder = newProject()
  await call(folder, 'run')
  assert.equal(readFileSync(join(folder, '.syncline', '.gitignore'), 'utf8'), '*\n')
  const names = readdirSync(folder).filter((name) => !/^(shop|warehouse)\.db(-wal|-shm)?$/.test(name))
  assert.deepEqual(names.sort(), ['.syncline', 'syncline.config.json'])
})
