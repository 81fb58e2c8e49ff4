/**
 * The queue by itself, on both stores, against pg-boss on the same Postgres and BullMQ on Redis: jobs that do nothing, each put and
 * ended by itself, eight hands. Ours keeps a lease, a fencing token and a history for each, and tells of five events; the others what they
 * keep by default.
 * Medians of three rounds, in turns. `npm run bench -- queue`; BENCH_JOBS changes the size. Without the npm registry or
 * `redis-server` (Debian: `apt-get install redis-server`) those lines are left out.
 */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { zeroCounts } from '../src/core/run.ts'
import { systemClock } from '../src/engine/clock.ts'
import { Events } from '../src/engine/observe/events.ts'
import { SharedEvents } from '../src/engine/observe/shared-events.ts'
import { Workers } from '../src/engine/queue/worker.ts'
import { openStoreAt } from '../src/store/open.ts'
import { openSqliteStore } from '../src/store/sqlite/store.ts'
import type { Store } from '../src/store/store.ts'
import { temporaryFolder } from '../tools/database.ts'
import { startPostgres } from '../tools/postgres.ts'
import { bullmq, installPeers, pgBoss, type Queue, startRedis } from './shared/queue-peers.ts'

const jobs = Number(process.env.BENCH_JOBS ?? 5_000)
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 3)
const HANDS = 8

await using folder = await temporaryFolder()
await using server = await startPostgres({ provider: 'debian', durable: true })
const peers = await installPeers(join(folder.path, 'peers'), ['pg-boss@12.33.7', 'bullmq@5'])
await using redis = await startRedis(join(folder.path, 'redis'))
console.log(`PostgreSQL ${server.version}, ${jobs.toLocaleString('en')} jobs, ${HANDS} hands`)
if (peers === null) console.log('skipped: pg-boss and BullMQ could not be installed from the npm registry')
if (redis === null) console.log('skipped: there is no redis-server')

/** Makes each queue anew, under a name that no other round uses. */
const queues: Readonly<Record<string, (round: string) => Promise<Queue>>> = {
  'ours, embedded store': async (round) => ours(await openSqliteStore(join(folder.path, round))),
  'ours, Postgres store': async (round) => ours(await openStoreAt(await database(round))),
  'ours, its events heard by another': async (round) => {
    const url = await database(round)
    return await heard(ours(await openStoreAt(url)), await openStoreAt(url))
  },
  ...(peers === null
    ? {}
    : {
        'pg-boss, each job by itself': async (round) =>
          await pgBoss(await peers('pg-boss'), await database(round), HANDS, false),
        'pg-boss, eight jobs at once': async (round) =>
          await pgBoss(await peers('pg-boss'), await database(round), HANDS, true),
      }),
  ...(peers === null || redis === null
    ? {}
    : { 'BullMQ, Redis with appendfsync always': async () => await bullmq(await peers('bullmq'), redis.port, HANDS) }),
}

interface Figures {
  readonly putPerSecond: number
  readonly endedPerSecond: number
  readonly cpuPerThousand: number
  readonly p50: number
  readonly p99: number
}

const figures = new Map<string, Figures[]>()
for (let round = 0; round < ROUNDS; round++)
  for (const [at, [name, make]] of Object.entries(queues).entries()) {
    await using queue = await make(`round_${round}_${at}`)
    const measured = { ...(await throughput(queue)), ...(await latency(queue)) }
    console.log(`  ${name}: ${JSON.stringify(measured)}`)
    figures.set(name, [...(figures.get(name) ?? []), measured])
  }

for (const [name, all] of figures) {
  const of = (field: keyof Figures) => middle(all.map((each) => each[field]))
  console.log(
    `${name.padEnd(38)} put ${rate(of('putPerSecond'))}/s one after the other, ended ${rate(of('endedPerSecond'))}/s (${of('cpuPerThousand').toFixed(2)} s CPU of this process per 1,000), put to start at 100/s: p50 ${of('p50').toFixed(1)} ms, p99 ${of('p99').toFixed(1)} ms`,
  )
}
const mine = figures.get('ours, Postgres store') ?? []
for (const [name, theirs] of figures) {
  if (!name.startsWith('pg-boss')) continue
  const ratio = middle(mine.map((each) => each.endedPerSecond)) / middle(theirs.map((each) => each.endedPerSecond))
  console.log(
    `ours on Postgres against ${name}, jobs ended a second: ${ratio.toFixed(2)} (aim 0.8) ${ratio >= 0.8 ? 'met' : 'MISSED'}`,
  )
}

/** All are put, then all are worked on. */
async function throughput(queue: Queue): Promise<Pick<Figures, 'putPerSecond' | 'endedPerSecond' | 'cpuPerThousand'>> {
  const names = Array.from({ length: jobs }, (_, n) => `s${n}`)
  const putting = performance.now()
  await queue.put(names)
  const putSeconds = (performance.now() - putting) / 1000
  const left = new Set(names)
  const done = Promise.withResolvers<void>()
  const [started, cpu] = [performance.now(), process.cpuUsage()]
  const end = await queue.work(async (name) => {
    if (!left.delete(name)) throw new Error(`${name} was given out twice`)
    if (left.size === 0) done.resolve()
  }, false)
  await done.promise
  const seconds = (performance.now() - started) / 1000
  const { user, system } = process.cpuUsage(cpu)
  await end()
  return {
    putPerSecond: jobs / putSeconds,
    endedPerSecond: jobs / seconds,
    cpuPerThousand: (user + system) / 1e6 / (jobs / 1000),
  }
}

/** A hundred jobs a second for three seconds. */
async function latency(queue: Queue): Promise<Pick<Figures, 'p50' | 'p99'>> {
  const waits: number[] = []
  const putAt = new Map<string, number>()
  const end = await queue.work(async (name) => {
    waits.push(performance.now() - (putAt.get(name) ?? 0))
  }, true)
  // Until whatever listens is listening.
  await sleep(500)
  for (let n = 0; n < 300; n++) {
    putAt.set(`t${n}`, performance.now())
    await queue.put([`t${n}`])
    await sleep(10)
  }
  await sleep(1000)
  await end()
  if (waits.length !== putAt.size) throw new Error(`${putAt.size} jobs were put, ${waits.length} were worked on`)
  const sorted = waits.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.floor(sorted.length * share)] ?? 0
  return { p50: at(0.5), p99: at(0.99) }
}

/** Our queue, worked on as the service does. */
function ours(store: Store): Queue {
  let wake = () => {}
  return {
    put: async (names) => {
      for (const name of names) {
        const now = Date.now()
        await store.jobs.enqueue({ sync: name, priority: 'default', reason: 'command', dueMs: now, attempt: 1 }, now)
        // In a process that both puts and works; between processes messages do it.
        if (store.delivery === undefined) wake()
      }
    },
    work: async (handle) => {
      const stopping = new AbortController()
      const { signal } = stopping
      const events = new Events(console.error)
      const told = sharedEvents(events, store)
      const workers = new Workers({
        ...{ store, clock: systemClock, random: Math.random, worker: 'bench', concurrency: HANDS },
        execute: async ({ sync, job }) => {
          const run = `${job.id}-run`
          events.emit({ event: 'sync.starting', sync, job })
          events.emit({ event: 'sync.started', sync, job: job.id, run })
          events.emit({ event: 'run.started', sync, run })
          await handle(sync)
          events.emit({ event: 'run.finished', sync, run, status: 'succeeded', durationMs: 0, ...zeroCounts })
          return { kind: 'ended', status: 'succeeded', run: null, error: null, retry: false }
        },
        emit: (event) => events.emit(event),
        log: console.error,
      })
      wake = () => workers.wake()
      const working = workers.run(signal)
      return async () => {
        stopping.abort()
        await working
        await told[Symbol.asyncDispose]()
      }
    },
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  }
}

/** The same queue while another process, or what counts as one, hears all that happens. */
async function heard(queue: Queue, other: Store): Promise<Queue> {
  const shared = sharedEvents(new Events(console.error), other)
  const subscription = shared.subscribe(() => {})
  await subscription.hearing
  return {
    ...queue,
    [Symbol.asyncDispose]: async () => {
      await queue[Symbol.asyncDispose]()
      await shared[Symbol.asyncDispose]()
      await other[Symbol.asyncDispose]()
    },
  }
}

function sharedEvents(events: Events, store: Store): SharedEvents {
  const options = { clock: systemClock, log: console.error, catchUp: async () => {} }
  return new SharedEvents({ events, topic: async () => store.topic ?? null, ...options })
}

async function database(name: string): Promise<string> {
  const client = new pg.Client(server.url)
  await client.connect()
  await client.query(`create database ${name}`)
  await client.end()
  return server.url.replace(/\/postgres$/, `/${name}`)
}

function rate(perSecond: number): string {
  return Math.round(perSecond).toLocaleString('en').padStart(6)
}

function middle(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0
}
