/** What a run survives: kill -9 at every checkpoint, a frozen worker that wakes up, a server that goes away, Ctrl-C. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { cp } from 'node:fs/promises'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { DatabaseSync } from 'node:sqlite'
import { Transform } from 'node:stream'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { createDatabase, temporaryFolder } from '../tools/database.ts'
import { startPostgres } from '../tools/postgres.ts'
import { call, killNow, start, writeConfig } from './oracle/project.ts'

type System = 'postgres' | 'sqlite'

/** A Postgres source, a target, and a project between them. */
interface Bench extends AsyncDisposable {
  readonly folder: string
  /** As it runs at the source. */
  sql(sql: string): Promise<Record<string, unknown>[]>
  /** Rows in the target's table t that are committed. */
  copied(): Promise<number>
  configure(sync: object, sourceUrl?: string): Promise<void>
  readonly sourceUrl: string
  readonly targetClient: pg.Client
}

async function setUp(target: System): Promise<Bench> {
  const disposables = new AsyncDisposableStack()
  const folder = disposables.use(await temporaryFolder())
  const source = disposables.use(await createDatabase())
  const other = disposables.use(await createDatabase())
  const clients = [source, other].map(({ url }) => new pg.Client({ connectionString: url }))
  for (const client of clients) {
    client.on('error', () => {})
    await client.connect()
    disposables.defer(() => client.end())
  }
  const [client, targetClient] = clients as [pg.Client, pg.Client]
  const connection =
    target === 'postgres' ? { connector: 'postgres', url: other.url } : { connector: 'sqlite', file: './target.db' }
  const copied = async () => {
    if (target === 'sqlite') return countOf(`${folder.path}/target.db`)
    const there = await targetClient.query(`SELECT to_regclass('public.t') IS NOT NULL AS there`)
    return there.rows[0].there ? Number((await targetClient.query('SELECT count(*) FROM t')).rows[0].count) : 0
  }
  return {
    folder: folder.path,
    sql: async (sql) => (await client.query(sql)).rows,
    copied,
    configure: (sync, sourceUrl = source.url) =>
      writeConfig(folder.path, {
        connections: { source: { connector: 'postgres', url: sourceUrl }, target: connection },
        syncs: { t: { from: 'source.t', to: 'target.t', guard: { maxDeletes: 1e9, maxDeleteShare: 1 }, ...sync } },
      }),
    sourceUrl: source.url,
    targetClient,
    [Symbol.asyncDispose]: () => disposables.disposeAsync(),
  }
}

function countOf(file: string): number {
  if (!existsSync(file)) return 0
  try {
    // Not read-only: a commit that was killed halfway has to be rolled back first.
    using database = new DatabaseSync(file, { timeout: 5000 })
    return Number(database.prepare('SELECT count(*) AS n FROM t').get()?.n)
  } catch {
    return 0
  }
}

async function provesEqual(folder: string): Promise<void> {
  const { lines, stderr } = await call(folder, 'verify')
  assert.deepEqual(
    lines.map(({ equal }) => equal),
    [true],
    stderr,
  )
  const [again] = (await call(folder, 'run')).finished
  assert.deepEqual([again?.status, again?.written], ['succeeded', 0])
}

describe('kill -9', () => {
  // SQLite commits faster than we look.
  for (const [target, rows] of [
    ['sqlite', 60_000],
    ['postgres', 3000],
  ] as const) {
    test(`at every checkpoint of a first run, postgres → ${target}: nothing is lost or doubled`, async () => {
      await using bench = await setUp(target)
      await bench.sql(`CREATE TABLE t (id bigint PRIMARY KEY, note text);
        INSERT INTO t SELECT i, repeat('x', 300) FROM generate_series(1, ${rows}) AS i`)
      await bench.configure({ batch: { rows: 1 } })
      let kills = 0
      for (let before = 0; ; kills++) {
        const running = start(bench.folder, 'run')
        let over = false
        void running.ended.finally(() => {
          over = true
        })
        while (!over && (await bench.copied()) <= before) await sleep(1)
        if (over) {
          assert.equal((await running.ended).code, 0, (await running.ended).stderr)
          break
        }
        await killNow(running)
        const now = await bench.copied()
        assert.ok(now > before, `${now} rows after ${before}`)
        before = now
        // People go on working: below and above what was copied.
        await bench.sql(
          `UPDATE t SET note = 'changed ${kills}' WHERE id % 97 = ${kills % 97}; DELETE FROM t WHERE id = ${kills * 13 + 1}`,
        )
      }
      assert.ok(kills >= 3, `only ${kills} kills`)
      await provesEqual(bench.folder)
    })
  }

  test('in the second range of a snapshot: the next run goes on from there', async () => {
    await using bench = await setUp('sqlite')
    // 70 MB: three ranges.
    await bench.sql(`CREATE TABLE t (id int PRIMARY KEY, note text);
      ALTER TABLE t ALTER note SET STORAGE PLAIN;
      INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 70000) AS i`)
    // The middle of the second range is as far as the way goes.
    await using road = await openRoad(bench.sourceUrl, { endsAfterBytes: 45_000_000 })
    await bench.configure({ batch: { rows: 1000 } }, road.url)
    const running = start(bench.folder, 'run')
    while ((await bench.copied()) < 40_000) await sleep(2)
    await killNow(running)
    const before = await bench.copied()
    assert.ok(before < 57_000, `${before} rows were copied`)
    await bench.configure({ batch: { rows: 1000 } })
    const [finished] = (await call(bench.folder, 'run')).finished
    assert.equal(finished?.status, 'succeeded')
    assert.ok(Number(finished?.read) < 45_000, `${finished?.read} rows were read again`)
    await provesEqual(bench.folder)
  })
})

describe('a worker that was frozen while another took over (hazard 24)', () => {
  /** Rows come one by one, a moment apart, so that there is time to freeze between two batches or within one. */
  const slowView = `CREATE TABLE slow (id int PRIMARY KEY, note text);
    ALTER TABLE slow ALTER note SET STORAGE PLAIN;
    INSERT INTO slow SELECT i, repeat('x', 7000) FROM generate_series(1, 60) AS i;
    CREATE FUNCTION dawdle(id int) RETURNS int LANGUAGE plpgsql VOLATILE AS 'BEGIN PERFORM pg_sleep(0.01); RETURN id; END';
    CREATE VIEW t AS SELECT dawdle(id) AS id, note FROM slow`

  for (const { rows, state } of [
    { rows: 1, state: 'idle' },
    { rows: 100_000, state: 'idle in transaction' },
  ]) {
    test(`its session ${state}: its late commit changes nothing`, async () => {
      await using bench = await setUp('postgres')
      await bench.sql(slowView)
      await bench.configure({ key: ['id'], batch: { rows } })
      const frozen = start(bench.folder, 'run')
      const session = await freeze(frozen.pid, bench.targetClient, state)
      await using copy = await temporaryFolder()
      await cp(bench.folder, copy.path, { recursive: true })
      // What the frozen worker has read is old by now.
      await bench.sql(`UPDATE slow SET note = 'new'; DELETE FROM slow WHERE id % 2 = 0`)
      const successor = await call(copy.path, 'run')
      assert.equal(successor.code, 0, successor.stderr)
      const before = await contents(bench.targetClient)
      assert.equal(before.length, 30)
      process.kill(frozen.pid, 'SIGCONT')
      const { finished, stderr } = await frozen.ended
      assert.equal(finished[0]?.code, 'LEASE_LOST', stderr)
      if (state !== 'idle') assert.equal(await sessionLives(bench.targetClient, session), false)
      assert.deepEqual(await contents(bench.targetClient), before)
      await provesEqual(copy.path)
    })
  }
})

/** Stops the process when its session at the target is in that state; returns the session's pid. */
async function freeze(pid: number, target: pg.Client, state: string): Promise<number> {
  for (;;) {
    await sleep(3)
    const counted = await target.query(`SELECT to_regclass('public.t') IS NOT NULL AS there`)
    if (!counted.rows[0].there) continue
    process.kill(pid, 'SIGSTOP')
    await sleep(20)
    // The one that holds the fence, or has just let it go.
    const { rows } = await target.query<{ pid: number; state: string }>(
      `SELECT pid, state FROM pg_stat_activity AS a WHERE datname = current_database() AND application_name = 'syncline'
         AND (query LIKE '%COMMIT' OR EXISTS (SELECT 1 FROM pg_locks AS l WHERE l.pid = a.pid AND locktype = 'advisory' AND granted))`,
    )
    const written = state === 'idle' ? Number((await target.query('SELECT count(*) FROM t')).rows[0].count) > 0 : true
    const [session] = rows
    const fits = state === 'idle' ? session?.state === 'idle' : session?.state !== 'idle'
    if (session !== undefined && fits && written) return session.pid
    process.kill(pid, 'SIGCONT')
  }
}

async function sessionLives(target: pg.Client, pid: number): Promise<boolean> {
  return (await target.query('SELECT 1 FROM pg_stat_activity WHERE pid = $1', [pid])).rows.length > 0
}

async function contents(target: pg.Client): Promise<string[]> {
  const { rows } = await target.query<{ row: string }>('SELECT t::text AS row FROM t ORDER BY id')
  return rows.map(({ row }) => row)
}

describe('a server that goes away in the middle of a run', () => {
  const manyRows = `CREATE TABLE t (id int PRIMARY KEY, note text);
    INSERT INTO t SELECT i, repeat('x', 200) FROM generate_series(1, 60000) AS i`

  test('and comes back: the run is tried again and succeeds', async () => {
    await using bench = await setUp('sqlite')
    await using road = await openRoad(bench.sourceUrl)
    await bench.sql(manyRows)
    await bench.configure({ batch: { rows: 500 } }, road.url)
    const running = start(bench.folder, 'run')
    while ((await bench.copied()) === 0) await sleep(2)
    road.close()
    await running.until(({ event }) => event === 'run.retrying')
    await road.open()
    const { code, finished, stderr } = await running.ended
    assert.deepEqual(
      [code, finished[0]?.code, finished[0]?.status],
      [0, null, 'succeeded'],
      `${finished[0]?.message} ${stderr}`,
    )
    await provesEqual(bench.folder)
  })

  test('and stays away: the run fails, says which server, and the next one goes on', async () => {
    await using bench = await setUp('sqlite')
    await using road = await openRoad(bench.sourceUrl)
    await bench.sql(manyRows)
    await bench.configure({ batch: { rows: 500 } }, road.url)
    const running = start(bench.folder, 'run')
    while ((await bench.copied()) === 0) await sleep(2)
    road.close()
    const { code, finished } = await running.ended
    assert.deepEqual([code, finished[0]?.status, finished[0]?.code], [1, 'failed', 'CONNECTION_REFUSED'])
    assert.match(finished[0]?.message ?? '', new RegExp(`127\\.0\\.0\\.1:${new URL(road.url).port}`))
    const before = await bench.copied()
    await road.open()
    assert.equal((await call(bench.folder, 'run')).code, 0)
    assert.ok(before > 0)
    await provesEqual(bench.folder)
  })

  test('because it crashed: it recovers, and the run goes on, on both sides', async () => {
    await using server = await startPostgres({ durable: true })
    await using folder = await temporaryFolder()
    const client = await connected(server.url)
    await client.query('CREATE DATABASE copy')
    await client.query(manyRows)
    const copyUrl = server.url.replace(/[^/]*$/, 'copy')
    await writeConfig(folder.path, {
      connections: {
        source: { connector: 'postgres', url: server.url },
        target: { connector: 'postgres', url: copyUrl },
      },
      syncs: { t: { from: 'source.t', to: 'target.t', batch: { rows: 500 } } },
    })
    const running = start(folder.path, 'run')
    await running.until(({ event }) => event === 'run.progress')
    // One session that dies takes all others down, and the server into recovery.
    const victim = await connected(server.url)
    const [row] = (await victim.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows
    process.kill(row?.pid ?? 0, 'SIGKILL')
    const { code, finished, stderr } = await running.ended
    assert.deepEqual(
      [code, finished[0]?.code, finished[0]?.status],
      [0, null, 'succeeded'],
      `${finished[0]?.message} ${stderr}`,
    )
    await provesEqual(folder.path)
  })
})

async function connected(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  return client
}

/** The way to a server, which can be closed and opened. */
interface Road extends AsyncDisposable {
  readonly url: string
  close(): void
  open(): Promise<void>
}

/** `endsAfterBytes`: so much of what the server sends gets through, and then nothing more. */
async function openRoad(url: string, { endsAfterBytes = Infinity } = {}): Promise<Road> {
  const target = new URL(url)
  let passed = 0
  const gate = () =>
    new Transform({
      transform(chunk: Buffer, _encoding, done) {
        passed += chunk.length
        this.push(chunk)
        if (passed < endsAfterBytes) done()
      },
    })
  const sockets = new Set<Socket>()
  let server: Server
  let port = 0
  const open = async () => {
    server = createServer((socket) => {
      const onward = connect(Number(target.port), target.hostname)
      for (const [from, to] of [
        [socket, onward],
        [onward, socket],
      ] as const) {
        sockets.add(from)
        from.on('error', () => {})
        from.on('close', () => to.destroy())
      }
      socket.pipe(onward)
      onward.pipe(gate()).pipe(socket)
    })
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    if (address !== null && typeof address === 'object') port = address.port
  }
  const close = () => {
    server.close()
    for (const socket of sockets) socket.destroy()
    sockets.clear()
  }
  await open()
  const way = new URL(url)
  way.host = `127.0.0.1:${port}`
  return { url: way.href, close, open, [Symbol.asyncDispose]: async () => close() }
}

describe('the end of a process', () => {
  test('Ctrl-C finishes the batch and exits 130, and the next run goes on', async () => {
    await using bench = await setUp('postgres')
    await bench.sql(`CREATE TABLE t (id int PRIMARY KEY, note text);
      INSERT INTO t SELECT i, repeat('x', 200) FROM generate_series(1, 100000) AS i`)
    await bench.configure({ batch: { rows: 500 } })
    const running = start(bench.folder, 'run')
    while ((await bench.copied()) === 0) await sleep(2)
    running.kill('SIGINT')
    assert.equal((await running.ended).code, 130)
    const before = await bench.copied()
    assert.ok(before > 0 && before < 100_000, `${before} rows were copied`)
    assert.equal((await call(bench.folder, 'run')).code, 0)
    await provesEqual(bench.folder)
  })

  test('it ends by itself as soon as the run has ended, well or badly (hazard 28)', async () => {
    await using bench = await setUp('postgres')
    await bench.sql('CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)')
    for (const [sync, code] of [
      [{}, 0],
      [{ from: 'source.missing' }, 2],
    ] as const) {
      await bench.configure(sync)
      const running = start(bench.folder, 'run')
      await running.until(({ event }) => event === 'run.finished')
      const finishedAt = performance.now()
      assert.equal((await running.ended).code, code)
      assert.ok(performance.now() - finishedAt < 1500)
    }
  })
})
