/**
 * Thousands of worlds, each from one seed. SYNCLINE_SIMULATION_SEED=n replays one, or is the first of several;
 * `SYNCLINE_SIMULATION_RUNS=1000000 npm test -- simulation/simulation --test-timeout=86400000` is the long mode (hours).
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { noCompareAndSet, noFences, noFencesSeen, noIntents, oneBase, sharedWork } from './sabotage.ts'
import { type Coverage, liveTogether, type Sabotage } from './world.ts'
import { companionsOf, liveAll } from './worlds.ts'

const seed = process.env.SYNCLINE_SIMULATION_SEED
const runs = Number(process.env.SYNCLINE_SIMULATION_RUNS ?? (seed === undefined ? 20_000 : 1))
const first = Number(seed ?? 1)
const PROCESSES = 2

test(`${runs} simulated worlds hold every invariant`, async () => {
  const { coverage, failures, steps, worlds } = await liveAll(first, runs, Math.min(PROCESSES, runs))
  console.log(`${worlds} worlds from seed ${first}, ${steps} awaits, ${failures.length} violations`)
  for (const line of tableOf(coverage)) console.log(line)
  assert.deepEqual(failures, [])
  for (const point of ['looks at a run', 'others went on', 'put back', 'held', 'the clock jumps'])
    console.log(`${point}: ${[...(coverage.get(point) ?? [])].map(([kind, count]) => `${kind} ${count}`).join(', ')}`)
  if (runs >= 20_000) assert.deepEqual(missedBy(coverage), [])
})

describe('the simulation finds out when a safeguard is missing:', () => {
  const cases: readonly (readonly [string, Sabotage])[] = [
    ['intents', noIntents],
    ['compare-and-set', noCompareAndSet],
    ['a base per side', oneBase],
    ['fencing', noFences],
    ['fences that were seen', noFencesSeen],
    ['work lists of their own', sharedWork],
  ]
  for (const [name, sabotage] of cases) {
    test(name, async () => {
      for (let at = 1; at <= 5000; at++) {
        const seeds = sabotage === sharedWork ? companionsOf(at) : [at]
        const { violation } = await liveTogether(seeds, new Map(), sabotage)
        if (violation === null) continue
        console.log(`without ${name}: ${violation}`)
        return
      }
      assert.fail(`5,000 worlds without ${name}, and no violation`)
    })
  }
})

const writes = ['insert', 'update', 'delete'].flatMap((kind) => [`${kind} left`, `${kind} right`])
const records = [
  'pair',
  'settle',
  'close',
  'leave alone',
  'postpone',
  'conflict open',
  'conflict resolved',
  'conflict agreed',
]
const aroundCommit = ['before store.commit', 'after store.commit']
const aroundWrites = ['before store.intend', 'after store.intend', 'write', 'written', 'write answer']

/** Every decision × every point where a process may die with it in hand. */
const wanted: readonly (readonly [decision: string, point: string])[] = [
  ...writes.flatMap((kind) => aroundWrites.map((point) => [kind, sided(kind, point)] as const)),
  ...[...writes, ...records].flatMap((kind) => aroundCommit.map((point) => [kind, point] as const)),
]

function sided(kind: string, point: string): string {
  return /^writ/.test(point) ? `${kind.split(' ')[1]}.${point}` : point
}

function hits(coverage: Coverage, decision: string, point: string): number {
  return coverage.get(`crash at ${point}`)?.get(decision) ?? 0
}

function missedBy(coverage: Coverage): string[] {
  const atOnce = [
    ...['why', 'plan', 'dead letters', 'conflicts'].map((look) => ['looks at a run', look] as const),
    ...['store.intend', 'store.commit', 'left.write', 'right.read page'].map(
      (point) => ['others went on', point] as const,
    ),
    ...['older state', 'lost state', 'left', 'right'].map((what) => ['put back', what] as const),
    ...['STATE_OLDER', 'SIDE_REPLACED'].map((code) => ['held', code] as const),
    ['the clock jumps', 'within a run'] as const,
  ].filter(([point, kind]) => (coverage.get(point)?.get(kind) ?? 0) === 0)
  const crashes = wanted
    .filter(([decision, point]) => hits(coverage, decision, point) === 0)
    .map((pair) => pair.join(' × '))
  return [...atOnce.map((pair) => pair.join(': ')), ...crashes]
}

function tableOf(coverage: Coverage): string[] {
  const points = [...aroundWrites, ...aroundCommit]
  const head = ['crashes', ...points].map((text, at) => (at === 0 ? text.padEnd(18) : text.padStart(20))).join('')
  const rows = [...writes, ...records].map((kind) =>
    [
      kind.padEnd(18),
      ...points.map((point) => {
        const asked = wanted.some(([decision, at]) => decision === kind && at === sided(kind, point))
        return (asked ? String(hits(coverage, kind, sided(kind, point))) : '').padStart(20)
      }),
    ].join(''),
  )
  return [head, ...rows]
}
