/**
 * Worlds in processes of their own: the test runner follows every promise of its process, which makes them take twice as long, and
 * two processes use two cores. Two threads do not: SQLite's memory in one process has one lock.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { type Coverage, liveTogether } from './world.ts'

export interface Lived {
  readonly coverage: Coverage
  readonly failures: readonly string[]
  readonly steps: number
  readonly worlds: number
}

/** Of many, the first failures are enough. */
const MOST_FAILURES = 20

/** Every `step`th group from the `at`th on, of those with a seed from `first` on and below `end`. */
export interface Span {
  readonly first: number
  readonly end: number
  readonly at: number
  readonly step: number
}

/** Lives through the worlds of the seeds from `first` on, in as many processes. */
export async function liveAll(first: number, runs: number, processes: number): Promise<Lived> {
  const spans = Array.from({ length: processes }, (_, at) => ({ first, end: first + runs, at, step: processes }))
  const parts = await Promise.all(spans.map(inProcess))
  const sum = (of: 'steps' | 'worlds') => parts.reduce((total, part) => total + part[of], 0)
  return {
    coverage: merged(parts.map(({ coverage }) => coverage)),
    failures: parts.flatMap(({ failures }) => failures),
    steps: sum('steps'),
    worlds: sum('worlds'),
  }
}

/** Of six seeds the first lives alone, the next two at once, and the last three. */
export function companionsOf(seed: number): readonly number[] {
  const place = (seed - 1) % 6
  const [before, size] = place === 0 ? [0, 1] : place < 3 ? [place - 1, 2] : [place - 3, 3]
  return Array.from({ length: size }, (_, at) => seed - before + at)
}

async function inProcess(span: Span): Promise<Lived> {
  const child = fork(import.meta.filename, [JSON.stringify(span)], { serialization: 'advanced' })
  const ended = once(child, 'exit').then(() => {
    throw new Error('a process of worlds ended without an answer')
  })
  const [lived] = await Promise.race([once(child, 'message'), ended])
  ended.catch(() => {})
  return lived as Lived
}

async function live({ first, end, at, step }: Span): Promise<Lived> {
  const coverage: Coverage = new Map()
  const failures: string[] = []
  const lived = { steps: 0, worlds: 0 }
  let group = 0
  for (let seed = first; seed < end && failures.length < MOST_FAILURES; group++) {
    const seeds = companionsOf(seed)
    seed = (seeds.at(-1) ?? seed) + 1
    if (group % step !== at) continue
    const { violation, steps } = await liveTogether(seeds, coverage)
    if (violation !== null) failures.push(violation)
    lived.steps += steps
    lived.worlds += seeds.length
  }
  return { coverage, failures, ...lived }
}

function merged(parts: readonly Coverage[]): Coverage {
  const all: Coverage = new Map()
  for (const part of parts)
    for (const [point, hits] of part) {
      const sums = all.get(point) ?? new Map<string, number>()
      for (const [decision, count] of hits) sums.set(decision, (sums.get(decision) ?? 0) + count)
      all.set(point, sums)
    }
  return all
}

// As a process of worlds.
if (process.argv[1] === import.meta.filename) {
  process.once('disconnect', () => process.exit())
  const lived = await live(JSON.parse(process.argv[2] ?? ''))
  process.send?.(lived, () => process.disconnect())
}
