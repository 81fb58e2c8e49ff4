import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, describe, test } from 'node:test'
import { SyncError } from '../../core/error.ts'
import { zeroCounts } from '../../core/run.ts'
import { storeTests } from '../../testing/store-tests.ts'
import { translate } from './errors.ts'
import { KEPT_IDLE_RUNS } from './runs.ts'
import { emptyState, openMemoryStore, openSqliteStore } from './store.ts'

const folders: string[] = []
after(() => folders.forEach((folder) => void rmSync(folder, { recursive: true, force: true })))

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'syncline-store-'))
  folders.push(folder)
  return folder
}

storeTests('sqlite', async () => {
  const folder = newFolder()
  return { open: () => openSqliteStore(folder), [Symbol.asyncDispose]: async () => {} }
})

describe('the lock is the system’s', () => {
  const holder = `
    import { openSqliteStore } from ${JSON.stringify(join(import.meta.dirname, 'store.ts'))}
    const store = await openSqliteStore(process.argv[1])
    globalThis.lock = await store.lock()
    await store.runs.start({ id: 'r1', sync: 'orders', startedAt: 1 })
    console.log('locked')
    setInterval(() => globalThis.lock, 1000)
  `
  async function startHolder(folder: string) {
    const child = spawn(
      process.execPath,
      ['--conditions=syncline-source', '--input-type=module', '-e', holder, folder],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    await once(child.stdout, 'data')
    return child
  }

  test('kill -9 of its holder frees it, and its run is interrupted', async () => {
    const folder = newFolder()
    const child = await startHolder(folder)
    await using store = await openSqliteStore(folder)
    const refused = await store.lock().catch((error: unknown) => error)
    assert.ok(refused instanceof SyncError && refused.code === 'PROJECT_LOCKED')
    assert.ok(refused.message.includes(`process ${child.pid}`))
    assert.equal((await store.runs.get('r1'))?.status, 'running')
    child.kill('SIGKILL')
    await once(child, 'exit')
    await using _lock = await store.lock()
    assert.equal((await store.runs.get('r1'))?.status, 'interrupted')
  })

  test('of many processes that start at once, one gets it', async () => {
    const folder = newFolder()
    const stores = await Promise.all(Array.from({ length: 5 }, () => openSqliteStore(folder)))
    const results = await Promise.allSettled(stores.map((store) => store.lock()))
    assert.equal(results.filter((result) => result.status === 'fulfilled').length, 1)
    for (const result of results) if (result.status === 'fulfilled') await result.value[Symbol.asyncDispose]()
    for (const store of stores) await store[Symbol.asyncDispose]()
  })

  test('processes that make the state at the same time agree on it', async () => {
    const folder = newFolder()
    const script = `
      import { openSqliteStore } from ${JSON.stringify(join(import.meta.dirname, 'store.ts'))}
      const store = await openSqliteStore(process.argv[1])
      console.log(await store.projectId())
      await store[Symbol.asyncDispose]()
    `
    const ids = await Promise.all(
      Array.from({ length: 6 }, async () => {
        const child = spawn(process.execPath, ['--input-type=module', '-e', script, folder], {
          stdio: ['ignore', 'pipe', 'inherit'],
        })
        const chunks = await child.stdout.toArray()
        return String(Buffer.concat(chunks)).trim()
      }),
    )
    assert.equal(new Set(ids).size, 1, ids.join())
    assert.match(ids[0] ?? '', /^[0-9a-f-]{36}$/)
  })
})

describe('reading only', () => {
  test('writes nothing, and makes nothing where there is nothing', async () => {
    const folder = newFolder()
    await using store = await openSqliteStore(folder, { readOnly: true })
    assert.equal(await store.projectId(), '')
    assert.deepEqual(await store.runs.list({ limit: 10 }), [])
    assert.deepEqual(readdirSync(folder), [])
  })

  test('sees what is there without leaving files beside it', async () => {
    const folder = newFolder()
    const writer = await openSqliteStore(folder)
    const id = await writer.projectId()
    await writer.runs.start({ id: 'r1', sync: 'orders', startedAt: 1 })
    {
      await using beside = await openSqliteStore(folder, { readOnly: true })
      assert.equal((await beside.runs.list({ limit: 10 })).length, 1)
    }
    await writer[Symbol.asyncDispose]()
    const before = readdirSync(join(folder, '.syncline')).sort()
    const bytes = readFileSync(join(folder, '.syncline', 'state.db'))
    {
      await using store = await openSqliteStore(folder, { readOnly: true })
      assert.equal(await store.projectId(), id)
    }
    assert.deepEqual(readdirSync(join(folder, '.syncline')).sort(), before)
    assert.ok(bytes.equals(readFileSync(join(folder, '.syncline', 'state.db'))))
  })
})

test('the state folder keeps itself out of version control', async () => {
  const folder = newFolder()
  await using _store = await openSqliteStore(folder)
  assert.equal(readFileSync(join(folder, '.syncline', '.gitignore'), 'utf8'), '*\n')
})

test('a state that a newer Syncline wrote is refused, reading and writing', async () => {
  const folder = newFolder()
  await (await openSqliteStore(folder))[Symbol.asyncDispose]()
  const database = new DatabaseSync(join(folder, '.syncline', 'state.db'))
  database.exec('pragma user_version = 99')
  database.close()
  for (const readOnly of [true, false]) {
    const error = await openSqliteStore(folder, { readOnly }).catch((thrown: unknown) => thrown)
    assert.ok(error instanceof SyncError && error.code === 'FILE_UNUSABLE')
    assert.match(error.message, /newer Syncline/)
    assert.match(error.hint ?? '', /Update/)
  }
})

test('a state that is no database is refused with its path', async () => {
  const folder = newFolder()
  mkdirSync(join(folder, '.syncline', 'state.db'), { recursive: true })
  const error = await openSqliteStore(folder).catch((thrown: unknown) => thrown)
  assert.ok(error instanceof SyncError && error.code === 'FILE_UNUSABLE')
  assert.ok(error.message.includes('state.db'))
})

test('a full disk is told as that, with what to do, whatever is written', async () => {
  const database = emptyState()
  await using store = openMemoryStore(database)
  database.exec(`pragma max_page_count = ${database.prepare('pragma page_count').get()?.page_count}`)
  const fill = async (write: (n: number) => Promise<unknown>) => {
    for (let n = 0; n < 10_000; n++) {
      const error: unknown = await write(n).then(
        () => null,
        (thrown: unknown) => thrown,
      )
      if (error === null) continue
      assert.ok(error instanceof SyncError && error.code === 'DISK_FULL', String(error))
      assert.match(error.hint ?? '', /Free some space/)
      return
    }
    assert.fail('it never became full')
  }
  await fill((n) => store.runs.start({ id: `r${n}`, sync: `s${n}`, startedAt: 1 }))
  await fill((n) => store.leases.take(`s${n}`, 'a', 1, 1000))
  await fill((n) => store.records.put({ kind: 'k', id: `r${n}`, body: 'x'.repeat(1000), expiresAt: null }))
})

test('what SQLite says of a disk is not told as a damaged file, and a read that fails not as a full disk', () => {
  const told = (errcode: number) => {
    const error = translate(Object.assign(new Error('disk I/O error'), { errcode }), 'state.db')
    return error instanceof SyncError ? error.code : error
  }
  assert.deepEqual([778, 4874, 1034, 13, 266, 11, 26, 5].map(told), [
    ...['DISK_FULL', 'DISK_FULL', 'DISK_FULL', 'DISK_FULL'],
    ...['FILE_UNUSABLE', 'FILE_UNUSABLE', 'FILE_UNUSABLE', 'DATABASE_LOCKED'],
  ])
})

test('a run that a schema change holds can’t be released', async () => {
  await using store = await openSqliteStore(newFolder())
  const run = { id: 'r1', sync: 'orders', startedAt: 1 }
  await store.runs.start(run)
  const error = { code: 'SCHEMA_DRIFT', message: 'n changed', hint: 'declare a type' } as const
  await store.runs.finish({
    ...zeroCounts,
    ...run,
    status: 'held',
    durationMs: 1,
    error,
    heldDeletes: null,
    releasedAt: null,
  })
  const refused = await store.runs.release('r1', 2).catch((thrown: unknown) => thrown)
  assert.ok(refused instanceof SyncError && refused.code === 'GUARD_HELD')
  assert.match(refused.message, /held by a schema change, not by the guard/)
  assert.equal(refused.hint, 'declare a type')
  assert.equal((await store.runs.get('r1'))?.releasedAt, null)
  assert.equal(await store.runs.released('orders'), null)
})

test('runs that found nothing to do don’t push the others out of the history', async () => {
  await using store = await openSqliteStore(newFolder())
  const finish = async (id: string, inserted: number) => {
    const run = { id, sync: 'orders', startedAt: 1 }
    await store.runs.start(run)
    await store.runs.finish({
      ...zeroCounts,
      ...run,
      inserted,
      status: 'succeeded',
      durationMs: 1,
      error: null,
      heldDeletes: null,
      releasedAt: null,
    })
  }
  await finish('first', 5)
  for (let i = 0; i < KEPT_IDLE_RUNS + 20; i++) await finish(`idle${i}`, 0)
  const runs = await store.runs.list({ limit: 1000 })
  assert.ok(runs.length <= KEPT_IDLE_RUNS + 2)
  assert.equal(runs.at(-1)?.id, 'first')
  assert.ok(!existsSync('.syncline'))
})

test('point 50: runs and jobs that a key may see are found by the index of syncs, however many others there are', async (t) => {
  await using store = openMemoryStore()
  const prepare = t.mock.method(DatabaseSync.prototype, 'prepare')
  await store.runs.list({ among: ['mine'], limit: 1 })
  await store.jobs.list({ among: ['mine'], limit: 1 })
  assert.equal(prepare.mock.callCount(), 2)
  for (const { arguments: statement, this: database } of [...prepare.mock.calls]) {
    const parameters = [...(statement[0] ?? '').matchAll(/:(\w+)/g)].map(([, name]) => [name, null])
    const plan = (database as DatabaseSync)
      .prepare(`explain query plan ${statement[0]}`)
      .all({ ...Object.fromEntries(parameters), among: '["mine"]', limit: 1 })
      .map(({ detail }) => String(detail))
    assert.ok(
      plan.some((line) => /^SEARCH (run|job) USING INDEX (run|job)_by_sync/.test(line)),
      plan.join('\n'),
    )
  }
})
