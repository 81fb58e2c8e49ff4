import assert from 'node:assert/strict'
import { test } from 'node:test'
import pg from 'pg'
import { openPostgresStore } from '../../src/store/postgres/store.ts'
import type { Store } from '../../src/store/store.ts'
import { request } from '../../src/testing/store-job-tests.ts'
import { createDatabase, type TestDatabase } from '../../tools/database.ts'
import { eventually, type Running, ServiceProject } from './project.ts'

const SYNCS = 500
const ROWS = 20
/** So many that somebody can be frozen while he copies them. */
const BIG_ROWS = 400_000
const names = Array.from({ length: SYNCS }, (_, at) => `all/t${at}`)
const tables = Array.from({ length: SYNCS }, (_, at) => `t${at}`)

test(
  'hazard 24: of four workers with 500 syncs two are killed and one is frozen past its lease: every sync ends right, none ran ' +
    'twice at once, and the frozen worker’s late commit is refused',
  async () => {
    await using shop = await createDatabase()
    await using copy = await createDatabase()
    await using state = await createDatabase()
    await execute(shop, makeTables)
    using it = new ServiceProject(configOf(shop, copy), { SYNCLINE_STORE: state.url })
    // Makes the tables that a sync keeps in its target, which from here on keep an account of who wrote when.
    const begun = await it.run('run', 'all/t0')
    assert.equal(begun.code, 0, JSON.stringify(begun))
    await execute(copy, makeAccount)
    await using store = await openPostgresStore(state.url)

    const workers = Array.from({ length: 4 }, () => it.start('worker', '--concurrency', '3'))
    await Promise.all(workers.map((worker) => worker.event('ready')))
    await enqueueAll(store)
    // Comes first, now that somebody looks.
    await store.jobs.enqueue(request('big', { priority: 'high' }), Date.now())

    const frozen = await freezeWhileItCopies(workers, copy, store)
    const [first, second, last] = workers.filter((worker) => worker !== frozen)
    assert.ok(first !== undefined && second !== undefined && last !== undefined)
    for (const worker of [first, second]) await killWhileItRuns(worker, store)

    await eventually(async () => (await ended(store, ['big'])).length === 1, 'another worker to take over')
    const committed = await account(copy)
    frozen.kill('SIGCONT')
    await frozen.event('run.finished', ({ sync }) => sync === 'big')
    const late = frozen.lines.find(({ event, sync }) => event === 'run.finished' && sync === 'big')
    assert.equal(late?.status, 'failed', JSON.stringify(late))
    assert.ok(!frozen.lines.some(({ event, sync }) => event === 'job.ended' && sync === 'big'))
    assert.deepEqual(of('big', await account(copy)), of('big', committed), 'nothing was written late')

    await dwindles(async () => SYNCS - (await ended(store, names)).length, 'every sync to have run')
    await execute(shop, changeAll)
    await enqueueAll(store)
    await store.jobs.enqueue(request('big'), Date.now())
    await dwindles(async () => {
      const { queued, running } = await store.jobs.count()
      return queued + running
    }, 'every sync to have run again')

    assert.deepEqual(await digest(copy), await digest(shop))
    await noneRanTwiceAtOnce(store, await account(copy))
    for (const worker of [frozen, last]) worker.kill('SIGINT')
    assert.deepEqual([(await frozen.end()).code, (await last.end()).code], [0, 0])
  },
)

function configOf(shop: TestDatabase, copy: TestDatabase) {
  return {
    connections: { shop: { connector: 'postgres', url: shop.url }, copy: { connector: 'postgres', url: copy.url } },
    syncs: {
      all: { from: 'shop', to: 'copy', collections: ['public.t*'], schedule: 'manual' },
      big: { from: 'shop.big', to: 'copy', schedule: 'manual' },
    },
  }
}

const makeTables = `
  do $$ begin
    for i in 0..${SYNCS - 1} loop
      execute format('create table t%s (id integer primary key, n integer)', i);
      execute format('insert into t%s select id, 0 from generate_series(1, ${ROWS}) as id', i);
    end loop;
  end $$;
  create table big (id integer primary key, body text);
  insert into big select id, repeat(md5(id::text), 6) from generate_series(1, ${BIG_ROWS}) as id`

const changeAll = `
  do $$ begin
    for i in 0..${SYNCS - 1} loop
      execute format('update t%s set n = n + 1 where id %% 2 = 0', i);
      execute format('delete from t%s where id = 1', i);
      execute format('insert into t%s values (${ROWS + 1}, %s)', i, i);
    end loop;
  end $$;
  update big set body = 'changed' where id % 1000 = 0`

/** Every transaction of a run writes its fence, under that row's lock: so the account is in the order of commits. */
const makeAccount = `
  create table account (seq bigserial, sync text, generation bigint);
  create function keep_account() returns trigger language plpgsql as $$
    begin insert into account (sync, generation) values (new.sync, new.generation); return null; end $$;
  create trigger keep_account after insert or update on _syncline_checkpoint for each row execute function keep_account()`

async function enqueueAll(store: Store): Promise<void> {
  for (const name of names) await store.jobs.enqueue(request(name), Date.now())
}

/** Waits until there is nothing left: two minutes for each time that it gets less, since what failed is tried again up to a minute later. */
async function dwindles(count: () => Promise<number>, what: string): Promise<void> {
  let left = await count()
  while (left > 0) {
    const before = left
    await eventually(
      async () => {
        left = await count()
        return left < before
      },
      `${what}: ${before} are left`,
      120_000,
    )
  }
}

/** The worker that copies the big table, stopped in the middle of its transaction. */
async function freezeWhileItCopies(workers: readonly Running[], copy: TestDatabase, store: Store): Promise<Running> {
  const copying = `
    select 1 from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and query like '%COPY "public"."big"%FROM STDIN'`
  await eventually(async () => (await query(copy, copying)).length > 0, 'somebody to copy the big table')
  const [job] = await store.jobs.list({ sync: 'big', status: 'running', limit: 1 })
  const worker = workers.find((candidate) => job !== undefined && isBy(candidate, job.state))
  assert.ok(worker)
  worker.kill('SIGSTOP')
  const [still] = await store.jobs.list({ sync: 'big', status: 'running', limit: 1 })
  assert.ok(still !== undefined && isBy(worker, still.state), 'it was frozen before it had ended')
  return worker
}

async function killWhileItRuns(worker: Running, store: Store): Promise<void> {
  await eventually(async () => {
    const running = await store.jobs.list({ status: 'running', limit: 100 })
    if (!running.some(({ state }) => isBy(worker, state))) return false
    worker.kill('SIGKILL')
    return true
  }, 'a worker to run something')
}

function isBy({ child }: Running, state: object): boolean {
  return 'worker' in state && String(state.worker).endsWith(`:${child.pid}`)
}

async function ended(store: Store, syncs: readonly string[]): Promise<readonly string[]> {
  const runs = await store.runs.list({ status: 'succeeded', latest: true, limit: 10_000 })
  return runs.map(({ sync }) => sync).filter((sync) => syncs.includes(sync))
}

interface Entry {
  readonly sync: string
  readonly generation: number
}

async function account(copy: TestDatabase): Promise<readonly Entry[]> {
  const rows = await query(copy, 'select sync, generation from account order by seq')
  return rows.map(({ sync, generation }) => ({ sync: String(sync), generation: Number(generation) }))
}

function of(sync: string, entries: readonly Entry[]): readonly Entry[] {
  return entries.filter((entry) => entry.sync === sync)
}

/** In the targets nobody wrote after his successor had begun; and of the runs that succeeded none began before another had ended. */
async function noneRanTwiceAtOnce(store: Store, entries: readonly Entry[]): Promise<void> {
  const newest = new Map<string, number>()
  for (const { sync, generation } of entries) {
    assert.ok(
      generation >= (newest.get(sync) ?? 0),
      `${sync}: generation ${generation} wrote after ${newest.get(sync)}`,
    )
    newest.set(sync, generation)
  }
  const runs = await store.runs.list({ status: 'succeeded', limit: 100_000 })
  assert.ok(runs.length >= 2 * SYNCS)
  const endedAt = new Map<string, number>()
  for (const { sync, startedAt, durationMs } of runs.toSorted((a, b) => a.startedAt - b.startedAt)) {
    assert.ok(startedAt >= (endedAt.get(sync) ?? 0), `two runs of ${sync} at once`)
    endedAt.set(sync, startedAt + (durationMs ?? 0))
  }
}

async function digest(database: TestDatabase): Promise<readonly unknown[]> {
  const one = (table: string, value: string) =>
    `select '${table}' as name, count(*), md5(string_agg(id || ':' || ${value}, ',' order by id)) as rows from ${table}`
  const sql = [...tables.map((table) => one(table, 'n')), one('big', 'body')].join(' union all ')
  return await query(database, `${sql} order by name`)
}

async function execute(database: TestDatabase, sql: string): Promise<void> {
  await query(database, sql)
}

async function query(database: TestDatabase, sql: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  try {
    return (await client.query(sql)).rows ?? []
  } finally {
    await client.end()
  }
}
