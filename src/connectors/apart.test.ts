/** A connection in a process of its own, on a real one: SQLite. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { openPair, sqliteDatabase } from '../../test/hazards/pair.ts'
import { temporaryFolder } from '../../tools/database.ts'
import { SyncError } from '../core/error.ts'
import { claim, openSink, specOf } from '../testing/connector-target.ts'
import { testContext } from '../testing/index.ts'
import { openApart, type WorkLimits, workLimits } from './apart.ts'
import { giveBack, takeProcess, type Work, type WorkProcess } from './apart-process.ts'
import type { Collection, Connection } from './connector.ts'
import { openSqliteApart } from './sqlite/connection-apart.ts'

const endless = `
  create table orders (id integer primary key, total text);
  insert into orders values (1, 'a'), (2, 'b');
  create view forever as with recursive c(n) as (select 1 union all select n + 1 from c) select n from c order by -n;
  create view heavy as with recursive c(n) as (select 1 union all select n + 1 from c where n < 40)
    select n, hex(randomblob(40000000)) as filling from c`

async function project(limits: Partial<WorkLimits> = {}, signal = new AbortController().signal) {
  const folder = await temporaryFolder()
  const file = join(folder.path, 'callers.db')
  const database = new DatabaseSync(file)
  database.exec(endless)
  database.close()
  const connect = async (over: Partial<WorkLimits> = limits) =>
    await openSqliteApart(
      { file, track: 'none', busyTimeoutMs: 1000 },
      { ...testContext(), signal },
      { ...workLimits, ...over },
    )
  return { file, connect, [Symbol.asyncDispose]: async () => await folder[Symbol.asyncDispose]() }
}

async function rowsOf(collection: Collection): Promise<unknown[]> {
  const rows: unknown[] = []
  const fields = collection.schema.fields.map(({ name }) => name)
  for await (const page of collection.read(null, { fields, where: null, signal: new AbortController().signal }))
    rows.push(...page.puts)
  return rows
}

async function rowsIn(connection: Connection, name: string): Promise<unknown[]> {
  return await rowsOf(await connection.collection(name, { key: name === 'orders' ? null : ['n'] }))
}

/** How long the thread of this process did not answer at the most, while something went on. */
async function standstill(work: Promise<unknown>): Promise<number> {
  let [longest, last, goesOn] = [0, performance.now(), true]
  const watching = (async () => {
    while (goesOn) {
      await sleep(10)
      longest = Math.max(longest, performance.now() - last)
      last = performance.now()
    }
  })()
  await work
  goesOn = false
  await watching
  return longest
}

function takeAndEnd(work: Work): WorkProcess {
  const taken = takeProcess(work)
  taken.end(new SyncError('INTERRUPTED', 'it is over'))
  return taken
}

describe('point 50, hazard 40: work that a caller chose, in a process of its own', () => {
  test('a view that never ends is stopped at the limit of a step, and this process goes on meanwhile', async () => {
    await using it = await project({ stepMs: 1500 })
    await using connection = await it.connect()
    const stopped = assert.rejects(rowsIn(connection, 'forever'), (error: unknown) => {
      assert.ok(error instanceof SyncError)
      assert.equal(error.code, 'WORK_STOPPED')
      assert.match(error.message, /callers\.db did not end within 1\.5 s and was stopped/)
      return true
    })
    assert.ok((await standstill(stopped)) < 1000)
    // What that process had is gone with it; whoever opens the file anew has another.
    await assert.rejects(connection.discover(), { code: 'WORK_STOPPED' })
    await using other = await it.connect()
    assert.deepEqual(await rowsIn(other, 'orders'), [
      [1, 'a'],
      [2, 'b'],
    ])
  })

  test('what a run does with it is limited as a whole, too', async () => {
    await using it = await project({ wholeMs: 1500 })
    await using connection = await it.connect()
    await assert.rejects(
      async () => {
        for (;;) await rowsIn(connection, 'orders')
      },
      { code: 'WORK_STOPPED' },
    )
  })

  test('what does not end when it is stopped is broken off, with the reason of the stop', async () => {
    const stop = new AbortController()
    await using it = await project({}, stop.signal)
    await using connection = await it.connect()
    const reading = rowsIn(connection, 'forever')
    await sleep(200)
    stop.abort(new SyncError('INTERRUPTED', 'the run was stopped'))
    await assert.rejects(reading, {
      code: 'INTERRUPTED',
      message: /did not end when it was stopped, and was broken off/,
    })
  })

  test('what was stopped may end its step first: a batch is committed', async () => {
    const stop = new AbortController()
    await using it = await project({}, stop.signal)
    await using connection = await it.connect()
    await using sink = await openSink(connection)
    const spec = specOf({ name: 'copy', fields: [{ name: 'id', type: 'integer' }], key: ['id'] })
    await claim(sink, spec)
    const transaction = await sink.begin()
    await transaction.put(spec.sync, [[1], [2]], { fresh: true })
    stop.abort(new SyncError('INTERRUPTED', 'the run was stopped'))
    await transaction.checkpoint(spec.sync, { cursor: 'c', fingerprint: 'f' })
    await transaction.commit()
    assert.deepEqual((await sink.inspect(spec)).checkpoint, { cursor: 'c', fingerprint: 'f' })
  })

  test('ended in the middle of a transaction it leaves the file whole: what was committed stays, nothing else is there', async () => {
    await using it = await project()
    const spec = specOf({ name: 'copy', fields: [{ name: 'id', type: 'integer' }], key: ['id'] })
    await using connection = await it.connect({ wholeMs: 3000 })
    const sink = await openSink(connection)
    await claim(sink, spec)
    const first = await sink.begin()
    await first.put(spec.sync, [[1]], { fresh: true })
    await first.checkpoint(spec.sync, { cursor: 'one', fingerprint: 'f' })
    await first.commit()
    await assert.rejects(
      async () => {
        const second = await sink.begin()
        for (let id = 2; ; id++) await second.put(spec.sync, [[id]], { fresh: true })
      },
      { code: 'WORK_STOPPED' },
    )
    await using other = await it.connect()
    await using again = await openSink(other)
    const target = await again.claim(spec, [], null)
    assert.equal(target.checkpoint?.cursor, 'one')
    await using view = await again.view(spec)
    assert.equal(await view.count(), 1)
    const database = new DatabaseSync(it.file)
    assert.equal(database.prepare('pragma integrity_check').get()?.integrity_check, 'ok')
    database.close()
  })

  test('a trigger of the target that never ends is stopped, and the run says so', async () => {
    await using it = await project()
    const database = new DatabaseSync(it.file)
    database.exec(`create table t (id integer primary key, note text);
      create trigger endless after insert on t begin
        insert into orders select n, null from forever; end`)
    database.close()
    const right = { ...(await sqliteDatabase()), connect: () => it.connect({ stepMs: 1500 }) }
    await using pair = await openPair(await sqliteDatabase(), right, { adopt: true })
    await pair.left.sql("create table t (id integer primary key, note text); insert into t values (1, 'a')")
    const { error } = await pair.run()
    assert.equal(error?.code, 'WORK_STOPPED', error?.message)
  })

  test('one that takes too much memory is stopped by name', async () => {
    await using it = await project({ memoryMb: 160 })
    await using connection = await it.connect()
    await assert.rejects(rowsIn(connection, 'heavy'), {
      code: 'WORK_STOPPED',
      message: /callers\.db took more than 160 MB of memory and was stopped/,
    })
  })

  test('errors cross with their codes, hints and causes', async () => {
    await using it = await project()
    await using connection = await it.connect()
    await assert.rejects(connection.collection('order'), (error: unknown) => {
      assert.ok(error instanceof SyncError)
      assert.deepEqual(
        [error.code, error.message, error.hint],
        ['COLLECTION_UNKNOWN', 'there is no table order', 'Did you mean orders or forever?'],
      )
      return true
    })
  })

  test('a process that did its work is used again for the same file, and one that did not start says why', async () => {
    const entry = new URL('./sqlite/process.ts', import.meta.url)
    const work = { entry, what: 'one file', memoryMb: 512 }
    const first = takeProcess(work)
    giveBack(first)
    const other = takeProcess({ ...work, what: 'another file' })
    const again = takeProcess(work)
    assert.equal(again, first)
    assert.notEqual(other, first)
    for (const process of [again, other]) process.end(new SyncError('INTERRUPTED', 'it is over'))
    assert.notEqual(takeAndEnd(work), first)
    const apart = { entry: new URL('./nowhere.ts', import.meta.url), what: 'it', config: {}, limits: workLimits }
    await assert.rejects(openApart(apart, testContext()), (error: unknown) => {
      assert.ok(error instanceof SyncError && error.cause instanceof Error)
      assert.equal(error.code, 'WORK_STOPPED')
      assert.match(error.cause.message, /nowhere\.ts/)
      return true
    })
  })
  test('one that died while nobody needed it is not handed out', async () => {
    await using it = await project()
    const work: Work = { entry: new URL('./sqlite/process.ts', import.meta.url), what: it.file, memoryMb: 512 }
    const first = takeProcess(work)
    giveBack(first)
    assert.ok(first.pid !== undefined)
    process.kill(first.pid, 'SIGKILL')
    while (!first.isOver) await sleep(5)
    const next = takeProcess(work)
    assert.notEqual(next, first)
    next.end(new SyncError('INTERRUPTED', 'it is over'))
  })

  test('a process that the system does not start is a named error', { skip: process.platform === 'win32' }, () => {
    const script = `
      import { openSync } from 'node:fs'
      import { takeProcess } from ${JSON.stringify(new URL('./apart-process.ts', import.meta.url).href)}
      const open = []
      try { for (;;) open.push(openSync('/dev/null')) } catch {}
      try { takeProcess({ entry: new URL('file:///nowhere.ts'), what: 'it', memoryMb: 100 }) } catch (error) { console.log(error.code, error.message) }
      process.exit()`
    const found = spawnSync(
      'sh',
      ['-c', 'ulimit -n 100; exec "$0" --input-type=module -e "$1"', process.execPath, script],
      {
        encoding: 'utf8',
      },
    )
    assert.equal(found.stdout.trim(), 'RATE_LIMITED no process can be started for the work on it', found.stderr)
  })
  test('of a file that a caller named, rows are too large that its process has no memory for', async () => {
    await using it = await project()
    const database = new DatabaseSync(it.file)
    database.exec(`create table large (n integer primary key, body blob);
      insert into large values (1, zeroblob(60000000)), (2, zeroblob(350000000)), (3, zeroblob(10))`)
    database.close()
    await using connection = await it.connect()
    const { lookup } = await connection.collection('large')
    const { rows, rejects } = await lookup.fetch([[1], [2], [3]])
    assert.deepEqual(
      rows.map(([n]) => Number(n)),
      [1, 3],
    )
    assert.deepEqual(
      rejects.map(({ key }) => key.map(Number)),
      [[2]],
    )
  })
})
