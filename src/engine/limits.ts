/**
 * How often systems are asked: one bucket per connection, shared by its syncs and actions. What exceeds it waits. A system that says
 * "too many" is left alone by everybody until the time it named (hazard 19).
 */
import type { Clock } from '../connectors/connector.ts'
import type { Limits } from '../connectors/kit.ts'

/** How a connection's bucket stands. */
export interface LimiterState {
  readonly connection: string
  /** Calls that wait for their turn. */
  readonly waiting: number
  /** Calls that are being made. */
  readonly active: number
  /** Until when the system asked to be left alone; null: it did not. */
  readonly pausedUntil: number | null
}

/** Makes the buckets that count: in this process, or in a store that processes share. */
export type MakeBucket = (name: string, points: number, seconds: number) => Bucket

/** Takes one point, or says after how many milliseconds there will be one. */
export interface Bucket {
  take(connection: string): Promise<number>
}

interface Line {
  readonly buckets: readonly Bucket[]
  readonly concurrent: number
  active: number
  pausedUntil: number
  readonly waiting: (() => void)[]
  asking: number
}

/** After this long the rhythm of those who wait together differs. */
const JITTER_MS = 50

export class Limiter {
  readonly #clock: Clock
  readonly #random: () => number
  readonly #makeBucket: MakeBucket
  readonly #lines = new Map<string, Line>()
  readonly #buckets = new Map<string, Bucket>()

  constructor(clock: Clock, random: () => number, makeBucket: MakeBucket = memoryBucket) {
    this.#clock = clock
    this.#random = random
    this.#makeBucket = makeBucket
  }

  /** Waits for a turn; disposing it ends the call. Rejects when the signal is aborted first. */
  async turn(connection: string, limits: Limits, signal: AbortSignal): Promise<Disposable> {
    const line = this.#lineOf(connection, limits)
    line.asking++
    try {
      await this.#hand(line, signal)
      try {
        await this.#pace(line, connection, signal)
      } catch (error) {
        leave(line)
        throw error
      }
    } finally {
      line.asking--
    }
    let ended = false
    return {
      [Symbol.dispose]: () => {
        if (!ended) leave(line)
        ended = true
      },
    }
  }

  /** The system asked to be left alone for so long. */
  pause(connection: string, ms: number): void {
    const line = this.#lines.get(connection)
    if (line !== undefined) line.pausedUntil = Math.max(line.pausedUntil, this.#clock.now() + ms)
  }

  states(): readonly LimiterState[] {
    const now = this.#clock.now()
    return [...this.#lines].map(([connection, { asking, active, pausedUntil }]) => ({
      connection,
      waiting: asking,
      active,
      pausedUntil: pausedUntil > now ? pausedUntil : null,
    }))
  }

  #lineOf(connection: string, { perSecond, perMinute, concurrent }: Limits): Line {
    const known = this.#lines.get(connection)
    if (known !== undefined) return known
    const buckets = [
      ...(perSecond === undefined ? [] : [this.#bucket(perSecond, 1)]),
      ...(perMinute === undefined ? [] : [this.#bucket(perMinute, 60)]),
    ]
    const line = {
      buckets,
      concurrent: concurrent ?? Number.POSITIVE_INFINITY,
      active: 0,
      pausedUntil: 0,
      waiting: [],
      asking: 0,
    }
    this.#lines.set(connection, line)
    return line
  }

  #bucket(points: number, seconds: number): Bucket {
    const name = `${points} in ${seconds} s`
    const bucket = this.#buckets.get(name) ?? this.#makeBucket(name, points, seconds)
    this.#buckets.set(name, bucket)
    return bucket
  }

  /** Waits for one of the hands that may be busy at the same time, in the order of asking. */
  async #hand(line: Line, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (line.active < line.concurrent) {
      line.active++
      return
    }
    await new Promise<void>((resolve, reject) => {
      const next = () => {
        signal.removeEventListener('abort', give)
        resolve()
      }
      const give = () => {
        const at = line.waiting.indexOf(next)
        if (at >= 0) line.waiting.splice(at, 1)
        reject(signal.reason)
      }
      line.waiting.push(next)
      signal.addEventListener('abort', give, { once: true })
    })
  }

  async #pace(line: Line, connection: string, signal: AbortSignal): Promise<void> {
    for (;;) {
      const pauseMs = line.pausedUntil - this.#clock.now()
      if (pauseMs > 0) {
        await this.#clock.sleep(pauseMs + this.#random() * JITTER_MS, signal)
        continue
      }
      const waitMs = await this.#take(line, connection)
      if (waitMs === 0) return
      await this.#clock.sleep(waitMs + this.#random() * JITTER_MS, signal)
    }
  }

  async #take({ buckets }: Line, connection: string): Promise<number> {
    for (const bucket of buckets) {
      const waitMs = await bucket.take(connection)
      if (waitMs > 0) return waitMs
    }
    return 0
  }
}

/** The next who waits takes over the hand, or it is free. */
function leave(line: Line): void {
  const next = line.waiting.shift()
  if (next === undefined) line.active--
  else next()
}

/** The library is loaded when a limit is first asked for: every config file imports what imports this. */
export const memoryBucket: MakeBucket = (name, points, seconds) => {
  const loaded = once(async () => {
    const { RateLimiterMemory, RateLimiterRes } = await import('rate-limiter-flexible')
    return { limiter: new RateLimiterMemory({ keyPrefix: name, points, duration: seconds }), RateLimiterRes }
  })
  return {
    take: async (connection) => {
      const { limiter, RateLimiterRes } = await loaded()
      try {
        await limiter.consume(connection)
        return 0
      } catch (error) {
        if (error instanceof RateLimiterRes) return Math.max(1, error.msBeforeNext)
        throw error
      }
    },
  }
}

function once<Result>(make: () => Promise<Result>): () => Promise<Result> {
  let made: Promise<Result> | null = null
  return () => {
    made ??= make()
    return made
  }
}
