/**
 * Worlds in a thread of their own: the test runner follows every promise of its own thread, which makes them take twice as long, and
 * two threads use two cores.
 */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
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

/** Lives through the worlds of the seeds from `first` on, in as many threads. */
export async function liveAll(first: number, runs: number, threads: number): Promise<Lived> {
  const spans = Array.from({ length: threads }, (_, at) => ({ first, end: first + runs, at, step: threads }))
  const parts = await Promise.all(spans.map(inThread))
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

async function inThread(span: Span): Promise<Lived> {
  return await new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: span })
    worker.once('message', resolve)
    worker.once('error', reject)
    worker.once('exit', () => reject(new Error('a thread of worlds ended without an answer')))
  })
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

if (!isMainThread && parentPort !== null) parentPort.postMessage(await live(workerData))
