/**
 * What the service costs while it does nothing, and how fast its queue is on the embedded store: start to ready, memory, CPU with 10,000
 * schedules, jobs a second, and how long a job waits before it starts. `npm run bench -- service.bench`.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../src/engine/clock.ts'
import { Workers } from '../src/engine/queue/worker.ts'
import { openSqliteStore } from '../src/store/sqlite/store.ts'
import type { Store } from '../src/store/store.ts'
import { temporaryFolder } from '../tools/database.ts'
import { syncline } from './shared/measure.ts'
import { processCost } from './shared/process.ts'

const jobs = Number(process.env.BENCH_JOBS ?? 20_000)
const schedules = Number(process.env.BENCH_SCHEDULES ?? 10_000)

await using folder = await temporaryFolder()
new DatabaseSync(join(folder.path, 'a.db')).exec('create table t (id integer primary key)')
await writeFile(
  join(folder.path, 'syncline.config.json'),
  JSON.stringify({
    connections: { a: { connector: 'sqlite', file: './a.db' }, b: { connector: 'sqlite', file: './b.db' } },
    syncs: { t: { from: 'a.t', to: 'b', schedule: 'manual' } },
  }),
)
await startUp()
await throughput()
await latency()

async function startUp(): Promise<void> {
  const readyMs: number[] = []
  for (let round = 0; round < 5; round++) {
    const { child, ms } = await start()
    readyMs.push(ms)
    await stop(child)
  }
  console.log(`start to ready, with the API: ${Math.round(middle(readyMs))} ms (aim 500)`)
  {
    await using store = await openSqliteStore(folder.path)
    const dueMs = Date.now() + 3_600_000
    for (let n = 0; n < schedules; n++)
      await store.schedules.put(
        { sync: `s${n}`, schedule: { kind: 'interval', everyMs: 3_600_000 }, origin: 'api' },
        dueMs,
      )
  }
  const { child } = await start()
  await sleep(5000)
  const before = processCost(child.pid ?? 0)
  await sleep(20_000)
  const after = processCost(child.pid ?? 0)
  const share = (after.cpuSeconds - before.cpuSeconds) / 20
  console.log(
    `idle with ${schedules.toLocaleString('en')} schedules: ${(share * 100).toFixed(2)} % of a core (aim 1), ${after.megabytes} MB (aim 120)`,
  )
  await stop(child)
}

/** Jobs that do nothing: what the queue itself costs, leases, history of jobs and all. */
async function throughput(): Promise<void> {
  await using store = await openSqliteStore(join(folder.path, 'queue'))
  for (let n = 0; n < jobs; n++) await enqueue(store, `s${n}`)
  let ended = 0
  const stopping = new AbortController()
  const workers = makeWorkers(store, async () => {
    if (++ended === jobs) stopping.abort()
  })
  const [started, cpu] = [performance.now(), process.cpuUsage()]
  await workers.run(stopping.signal)
  const seconds = (performance.now() - started) / 1000
  const { user, system } = process.cpuUsage(cpu)
  console.log(
    `${jobs.toLocaleString('en')} jobs, embedded queue: ${Math.round(jobs / seconds).toLocaleString('en')} jobs/s, ${((user + system) / 1e6).toFixed(1)} s CPU of ${seconds.toFixed(1)} s`,
  )
}

/** A hundred jobs a second for ten seconds. */
async function latency(): Promise<void> {
  await using store = await openSqliteStore(join(folder.path, 'latency'))
  const waits: number[] = []
  const queuedAt = new Map<string, number>()
  const stopping = new AbortController()
  const workers = makeWorkers(store, async (sync) => {
    waits.push(performance.now() - (queuedAt.get(sync) ?? 0))
  })
  const running = workers.run(stopping.signal)
  for (let n = 0; n < 1000; n++) {
    queuedAt.set(`s${n}`, performance.now())
    await enqueue(store, `s${n}`)
    workers.wake()
    await sleep(10)
  }
  await sleep(500)
  stopping.abort()
  await running
  const sorted = waits.toSorted((a, b) => a - b)
  const at = (share: number) => (sorted[Math.floor(sorted.length * share)] ?? 0).toFixed(1)
  console.log(`enqueue to start, 100 jobs/s: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`)
}

function makeWorkers(store: Store, work: (sync: string) => Promise<void>): Workers {
  return new Workers({
    ...{ store, clock: systemClock, random: Math.random, worker: 'bench', concurrency: 8 },
    execute: async ({ sync }) => {
      await work(sync)
      return { kind: 'ended', status: 'succeeded', run: null, error: null, retry: false }
    },
    emit: () => {},
    log: console.error,
  })
}

async function enqueue(store: Store, sync: string): Promise<void> {
  const now = Date.now()
  await store.jobs.enqueue({ sync, priority: 'default', reason: 'command', dueMs: now, attempt: 1 }, now)
}

async function start() {
  const began = performance.now()
  const [node = '', program = ''] = syncline
  const child = spawn(node, [program, 'start', '--json', '--port', '0'], {
    cwd: folder.path,
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  await once(child.stdout, 'data')
  return { child, ms: performance.now() - began }
}

async function stop(child: Awaited<ReturnType<typeof start>>['child']): Promise<void> {
  child.kill('SIGINT')
  await once(child, 'exit')
}

function middle(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}
