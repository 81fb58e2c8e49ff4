import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { type RunRecord, zeroCounts } from '../core/run.ts'
import { openSqliteStore } from '../store/sqlite/store.ts'
import { main } from './main.ts'

const folders: string[] = []
after(() => folders.forEach((folder) => void rmSync(folder, { recursive: true, force: true })))

function newFolder(config?: unknown): string {
  const folder = mkdtempSync(join(tmpdir(), 'syncline-cli-'))
  folders.push(folder)
  if (config !== undefined) writeFileSync(join(folder, 'syncline.config.json'), JSON.stringify(config))
  return folder
}

const connections = {
  shop: { connector: 'sqlite', file: './shop.db' },
  warehouse: { connector: 'sqlite', file: './warehouse.db' },
}
const syncs = {
  orders: { from: 'shop.orders', to: 'warehouse' },
  all: { from: 'shop', to: 'warehouse', collections: ['c*'] },
}

async function call(folder: string | null, ...args: string[]) {
  const out: string[] = []
  const err: string[] = []
  const terminal = {
    out: (line: string) => void out.push(line),
    err: (text: string) => void err.push(text),
    columns: null,
    paint: (_style: string, text: string) => text,
  }
  const config = folder === null ? [] : ['--config', join(folder, 'syncline.config.json')]
  const code = await main([...args, ...config], terminal)
  return {
    code,
    out: out.join('\n'),
    err: err.join(''),
    json: () => out.flatMap((text) => text.split('\n')).map((line) => JSON.parse(line)),
  }
}

async function record(folder: string, over: Partial<RunRecord> & Pick<RunRecord, 'id' | 'sync'>): Promise<void> {
  await using store = await openSqliteStore(folder)
  const run: RunRecord = {
    ...zeroCounts,
    status: 'succeeded',
    startedAt: 1_700_000_000_000,
    durationMs: 1500,
    error: null,
    heldDeletes: null,
    releasedAt: null,
    ...over,
  }
  await store.runs.start(run)
  await store.runs.finish(run)
}

describe('help and usage', () => {
  test('no command, and --help, print the help and exit 0', async () => {
    for (const args of [[], ['--help'], ['-h']]) {
      const { code, out } = await call(null, ...args)
      assert.equal(code, 0)
      for (const text of [
        'Usage: syncline',
        'init',
        'collections',
        'plan',
        'run',
        'watch',
        'verify',
        'status',
        'history',
        'reset',
        'release',
        'Exit codes',
      ]) {
        assert.ok(out.includes(text), `${text} is missing`)
      }
    }
  })

  test('each command has help of its own, with the global options', async () => {
    for (const command of [
      'init',
      'collections',
      'plan',
      'run',
      'watch',
      'verify',
      'status',
      'history',
      'reset',
      'release',
    ]) {
      const { code, out } = await call(null, command, '--help')
      assert.equal(code, 0)
      assert.match(out, new RegExp(`Usage: syncline ${command}`))
      assert.match(out, /--json/)
    }
  })

  test('the version is the package’s', async () => {
    assert.match((await call(null, '--version')).out, /^\d+\.\d+\.\d+/)
  })

  test('an unknown command, option or a missing argument exits 2 and says so on stderr', async () => {
    for (const args of [['rn'], ['run', '--jsno'], ['collections'], ['history', '--limit', 'x']]) {
      const { code, out, err } = await call(null, ...args)
      assert.equal(code, 2, args.join(' '))
      assert.equal(out, '')
      assert.match(err, /error:/)
    }
  })

  test('with --json such a mistake is one object on stdout as well', async () => {
    for (const [message, ...args] of [
      ["unknown command 'rn'", 'rn', '--json'],
      ["unknown option '--jsno'", '--json', 'run', '--jsno'],
      ["missing required argument 'connection'", 'collections', '--json'],
      ['a positive number is needed', '--json', 'history', '--limit', 'x'],
      ['a command is missing', '--json'],
    ] as const) {
      const { code, json, err } = await call(null, ...args)
      assert.equal(code, 2, args.join(' '))
      const [line, ...rest] = json()
      assert.deepEqual([line.event, line.error.code, rest], ['error', 'USAGE_INVALID', []])
      assert.ok(line.error.message.includes(message), line.error.message)
      assert.match(line.error.hint, /syncline --help/)
      assert.notEqual(err, '')
    }
  })
})

describe('init', () => {
  test('writes a config that can be loaded, and never overwrites one', async () => {
    const folder = newFolder()
    const first = await call(folder, 'init')
    assert.equal(first.code, 0)
    assert.match(first.out, /Wrote .*syncline\.config\.json[\s\S]*syncline verify/)
    const written = readFileSync(join(folder, 'syncline.config.json'), 'utf8')
    const yaml = await call(null, 'init', '--config', join(folder, 'my.yaml'))
    assert.deepEqual([yaml.code, existsSync(join(folder, 'my.yaml'))], [2, false])
    assert.match(yaml.err, /my\.yaml can't be a config file: its name has to end in \.ts/)
    const second = await call(folder, 'init', '--json')
    assert.equal(second.code, 2)
    assert.equal(second.json()[0].error.code, 'CONFIG_INVALID')
    assert.equal(readFileSync(join(folder, 'syncline.config.json'), 'utf8'), written)
    assert.match((await call(folder, 'status')).err, /SHOP_URL is not set/)
  })
})

describe('errors', () => {
  test('a missing or mistaken config exits 2, with a message and a hint', async () => {
    const missing = await call(newFolder(), 'plan')
    assert.equal(missing.code, 2)
    assert.match(missing.err, /error: there is no config file[\s\S]*syncline init/)
    const mistaken = await call(newFolder({ connections: {}, syncs: { a: { from: 'x.y', to: 'z' } } }), 'run')
    assert.equal(mistaken.code, 2)
    assert.match(mistaken.err, /syncs\.a\.from: no connection "x"/)
  })

  test('with --json, before or after the command, an error is one object on stdout', async () => {
    const folder = newFolder({ connections, syncs })
    for (const args of [
      ['--json', 'run', 'order'],
      ['run', '--json', 'order'],
      ['run', 'order', '--json'],
    ]) {
      const { code, json, err } = await call(folder, ...args)
      assert.equal(code, 2)
      assert.deepEqual(Object.keys(json()[0]), ['event', 'error'])
      assert.equal(json()[0].error.code, 'SYNC_UNKNOWN')
      assert.match(json()[0].error.message, /there is no sync "order"; did you mean "orders"/)
      assert.match(err, /there is no sync "order"/)
    }
  })

  test('an unknown connection is named with the nearest', async () => {
    const { code, err } = await call(newFolder({ connections, syncs }), 'collections', 'shp')
    assert.equal(code, 2)
    assert.match(err, /there is no connection "shp"; did you mean "shop"\?/)
  })

  test('SYNCLINE_DEBUG=1 adds the stack', async () => {
    process.env.SYNCLINE_DEBUG = '1'
    try {
      assert.match((await call(newFolder(), 'plan')).err, /at .*load\.ts/)
    } finally {
      delete process.env.SYNCLINE_DEBUG
    }
  })
})

describe('status, history and release', () => {
  test('read a project that never ran without making anything', async () => {
    const folder = newFolder({ connections, syncs })
    const status = await call(folder, 'status', '--json')
    assert.deepEqual(
      status.json().map(({ event, sync, status }) => [event, sync, status]),
      [
        ['status', 'orders', 'never'],
        ['status', 'all', 'never'],
      ],
    )
    assert.match((await call(folder, 'status')).out, /orders {2}never run/)
    assert.equal((await call(folder, 'history')).out, 'no runs yet')
    assert.deepEqual(readdirSync(folder), ['syncline.config.json'])
  })

  test('status shows the last run of each sync, its lag, and what waits for a person', async () => {
    const folder = newFolder({ connections, syncs })
    await record(folder, { id: 'r1', sync: 'orders', startedAt: Date.now() - 60_000, inserted: 1200 })
    await record(folder, { id: 'r2', sync: 'orders', status: 'held', heldDeletes: 2000 })
    await record(folder, { id: 'r3', sync: 'all/customers', inserted: 3 })
    await record(folder, { id: 'r4', sync: 'gone', inserted: 3 })
    const [orders, customers, ...rest] = (await call(folder, 'status', '--json')).json()
    assert.deepEqual([orders.sync, orders.run, orders.status, orders.heldDeletes], ['orders', 'r2', 'held', 2000])
    assert.ok(orders.lagMs >= 60_000 && orders.lagMs < 90_000)
    assert.match(orders.todo, /2,000 deletions are held.*syncline release r2/)
    assert.deepEqual([customers.sync, customers.status, customers.inserted], ['all/customers', 'succeeded', 3])
    assert.deepEqual(rest, [])
    assert.match((await call(folder, 'status')).out, /orders: 2,000 deletions are held/)
  })

  test('release records the decision, also beside a process that runs the project', async () => {
    const folder = newFolder({ connections, syncs })
    await record(folder, { id: 'r2', sync: 'orders', status: 'held', heldDeletes: 2000 })
    await using running = await openSqliteStore(folder)
    await using _lock = await running.lock()
    const { code, out } = await call(folder, 'release', 'r2')
    assert.equal(code, 0)
    assert.match(out, /next run of orders may delete up to 2,000 rows.*syncline run orders/)
    assert.equal(await running.runs.released('orders'), 2000)
    assert.equal((await call(folder, 'release', 'none')).code, 2)
    assert.match((await call(folder, 'status')).out, /orders: released: the next run may delete 2,000/)
  })

  test('history lists runs newest first, with errors, and one object per run', async () => {
    const folder = newFolder({ connections, syncs })
    await record(folder, { id: 'r1', sync: 'orders', read: 5 })
    const error = { code: 'CONNECTION_REFUSED', message: 'nobody listens on localhost:1', hint: 'start it' }
    await record(folder, { id: 'r2', sync: 'all/customers', status: 'failed', error })
    const runs = (await call(folder, 'history', '--json')).json()
    assert.deepEqual(
      runs.map((run) => run.run),
      ['r2', 'r1'],
    )
    assert.deepEqual(runs[0].error, error)
    assert.equal(runs[1].startedAt, '2023-11-14T22:13:20.000Z')
    assert.equal((await call(folder, 'history', 'orders', '--json')).json().length, 1)
    assert.deepEqual(
      (await call(folder, 'history', 'all', '--json')).json().map((run) => run.sync),
      ['all/customers'],
    )
    assert.match(
      (await call(folder, 'history')).out,
      /r2 {2}CONNECTION_REFUSED: nobody listens on localhost:1\n {2}start it/,
    )
  })

  test('history of a sync that has not run says so, of an unknown one is a mistake, and of one that is gone is kept', async () => {
    const folder = newFolder({ connections, syncs })
    assert.equal((await call(folder, 'history', 'all/customers')).out, 'no runs of all/customers yet')
    const unknown = await call(folder, 'history', 'order')
    assert.equal(unknown.code, 2)
    assert.match(unknown.err, /there is no sync "order"; did you mean "orders"/)
    await record(folder, { id: 'r1', sync: 'gone' })
    assert.match((await call(folder, 'history', 'gone')).out, /gone +succeeded/)
  })
})

test('run refuses a project that another process runs, and names it', async () => {
  const folder = newFolder({ connections, syncs: { orders: syncs.orders } })
  await using running = await openSqliteStore(folder)
  await using _lock = await running.lock()
  const { code, err } = await call(folder, 'run')
  assert.equal(code, 1)
  assert.match(err, new RegExp(`process ${process.pid} is running this project already`))
  assert.ok(!existsSync(join(folder, 'warehouse.db')))
})

describe('trigger', () => {
  test('says that nobody works on the project, where nobody does', async () => {
    const folder = newFolder({ connections, syncs })
    for (const command of [
      ['trigger', 'orders'],
      ['dead-letters', 'orders', '--retry'],
    ]) {
      const { code, out } = await call(folder, ...command)
      assert.equal(code, 0)
      assert.match(out, /orders is queued as job \d+\nNo process works on this project now: .*syncline run orders$/)
    }
    await using store = await openSqliteStore(folder)
    await using _lock = await store.lock()
    assert.doesNotMatch((await call(folder, 'trigger', 'orders')).out, /No process/)
  })
})
