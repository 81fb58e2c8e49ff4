/**
 * The service over a long time: 200 syncs of small tables, each every second, on the embedded store, while a writer changes rows. Lag must
 * not grow, memory must stay flat, both sides must be equal at the end, and the process must end by itself.
 * `npm run bench -- soak`; BENCH_SOAK_SECONDS (default 600) and BENCH_SOAK_SYNCS change the size.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { temporaryFolder } from '../tools/database.ts'
import { cost, syncline } from './shared/measure.ts'
import { processCost } from './shared/process.ts'

const seconds = Number(process.env.BENCH_SOAK_SECONDS ?? 600)
const syncs = Number(process.env.BENCH_SOAK_SYNCS ?? 200)
const SAMPLES = 10

await using folder = await temporaryFolder()
const source = new DatabaseSync(join(folder.path, 'source.db'), { timeout: 10_000 })
source.exec('pragma journal_mode = wal; pragma synchronous = normal')
for (let table = 0; table < syncs; table++)
  source.exec(
    `create table t${table} (id integer primary key, n integer); insert into t${table} values (1, 0), (2, 0), (3, 0)`,
  )
await writeFile(
  join(folder.path, 'syncline.config.json'),
  JSON.stringify({
    connections: {
      source: { connector: 'sqlite', file: './source.db', track: 'triggers' },
      target: { connector: 'sqlite', file: './target.db' },
    },
    syncs: { all: { from: 'source', to: 'target', collections: ['t*'], every: '1s' } },
  }),
)
const [node = '', program = ''] = syncline
const child = spawn(node, [program, 'start', '--json', '--port', '0'], {
  cwd: folder.path,
  stdio: ['ignore', 'pipe', 'ignore'],
})
let runs = 0
let failed = 0
createInterface({ input: child.stdout }).on('line', (line) => {
  const { event, status } = JSON.parse(line) as { event: string; status?: string }
  if (event !== 'job.ended') return
  runs++
  if (status !== 'succeeded') failed++
})
await once(child.stdout, 'data')
console.log(`${syncs} syncs, each every second, for ${seconds} s`)
const history: { readonly runs: number; readonly lateMs: number; readonly megabytes: number }[] = []
let written = 0
for (let sample = 0; sample < SAMPLES; sample++) {
  const [before, cpuBefore] = [runs, processCost(child.pid ?? 0).cpuSeconds]
  const until = performance.now() + (seconds * 1000) / SAMPLES
  while (performance.now() < until) {
    source.exec(`update t${written % syncs} set n = n + 1 where id = ${1 + (written++ % 3)}`)
    await sleep(20)
  }
  const { megabytes, cpuSeconds } = processCost(child.pid ?? 0)
  const lateMs = lateness()
  history.push({ runs: runs - before, lateMs, megabytes })
  const perSecond = (runs - before) / (seconds / SAMPLES)
  const cpu = (cpuSeconds - cpuBefore) / (seconds / SAMPLES)
  console.log(
    `  ${perSecond.toFixed(0)} runs/s, the latest is ${lateMs} ms late, ${megabytes} MB, ${(cpu * 100).toFixed(0)} % of a core`,
  )
}
const stopped = performance.now()
child.kill('SIGINT')
const [code] = await once(child, 'exit')
const stopSeconds = (performance.now() - stopped) / 1000
source.close()
await cost(`${syncline.join(' ')} run --json`, folder.path)
await cost(`${syncline.join(' ')} verify --json`, folder.path)
const [first, last] = [history[1] ?? history[0], history.at(-1)]
console.log(
  `ended with ${code} after ${stopSeconds.toFixed(1)} s; ${runs} runs, ${failed} failed; ${written} writes; both sides are equal`,
)
console.log(`lag ${first?.lateMs} → ${last?.lateMs} ms, memory ${first?.megabytes} → ${last?.megabytes} MB`)
if (code !== 0 || failed > 0) process.exitCode = 1

/** How long the most overdue schedule has been due. */
function lateness(): number {
  const state = new DatabaseSync(join(folder.path, '.syncline', 'state.db'), { readOnly: true, timeout: 5000 })
  try {
    const due = state
      .prepare(
        "select min(at) as at from (select min(next_at) as at from schedule union all select min(due_at) from job where status = 'queued')",
      )
      .get()
    return Math.max(0, Date.now() - Number(due?.at ?? Date.now()))
  } finally {
    state.close()
  }
}
