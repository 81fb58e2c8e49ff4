/**
 * Worlds in a thread of their own: the test runner follows every promise of its own thread, which makes them take twice as long, and
 * two threads use two cores.
 */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { type Coverage, World } from './world.ts'

export interface Lived {
  readonly coverage: Coverage
  readonly failures: readonly string[]
  readonly steps: number
}

/** Of many, the first failures are enough. */
const MOST_FAILURES = 20

/** Every `step`th world from `first` on, below `end`. */
export interface Span {
  readonly first: number
  readonly end: number
  readonly step: number
}

/** Lives through the worlds of the seeds from `first` on, in as many threads. */
export async function liveAll(first: number, runs: number, threads: number): Promise<Lived> {
  const spans = Array.from({ length: threads }, (_, at) => ({ first: first + at, end: first + runs, step: threads }))
  const parts = await Promise.all(spans.map(inThread))
  return {
    coverage: merged(parts.map(({ coverage }) => coverage)),
    failures: parts.flatMap(({ failures }) => failures),
    steps: parts.reduce((sum, { steps }) => sum + steps, 0),
  }
}

export async function violationOf(world: World): Promise<string | null> {
  try {
    await world.live()
    return null
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

async function inThread(span: Span): Promise<Lived> {
  return await new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: span })
    worker.once('message', resolve)
    worker.once('error', reject)
    worker.once('exit', () => reject(new Error('a thread of worlds ended without an answer')))
  })
}

async function live({ first, end, step }: Span): Promise<Lived> {
  const coverage: Coverage = new Map()
  const failures: string[] = []
  let steps = 0
  for (let seed = first; seed < end && failures.length < MOST_FAILURES; seed += step) {
    const world = new World(seed, coverage)
    const violation = await violationOf(world)
    if (violation !== null) failures.push(`seed ${seed}: ${violation}`)
    steps += world.steps
  }
  return { coverage, failures, steps }
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
