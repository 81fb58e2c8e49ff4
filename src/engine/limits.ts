/**
 * How often systems are asked: one line per connection, shared by its syncs and actions, and by all processes where the store can
 * count for them. What exceeds it waits. A system that says "too many" is left alone by everybody until the time it named (hazard 19).
 */
import { randomUUID } from 'node:crypto'
import type { Clock } from '../connectors/connector.ts'
import type { Limits } from '../connectors/kit.ts'
import type { LimitStore } from '../store/limits.ts'

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

/** Hears of every call that had to wait, once it may be made: for how long, in milliseconds. */
export type WaitListener = (connection: string, ms: number) => void

/** Makes the buckets that count in this process. */
export type MakeBucket = (name: string, points: number, seconds: number) => Bucket

/** Takes one point, or says after how many milliseconds there will be one. */
export interface Bucket {
  take(connection: string): Promise<number>
}

interface Line {
  readonly limits: Limits
  readonly buckets: readonly Bucket[]
  readonly concurrent: number
  active: number
  pausedUntil: number
  readonly waiting: (() => void)[]
  asking: number
}

interface Paced {
  /** Whether somebody else's calls, or the system, were waited for. */
  readonly waited: boolean
  readonly give: () => void
}

/** After this long the rhythm of those who wait together differs. */
const JITTER_MS = 50

export class Limiter {
  readonly #clock: Clock
  readonly #random: () => number
  readonly #makeBucket: MakeBucket
  readonly #lines = new Map<string, Line>()
  readonly #buckets = new Map<string, Bucket>()
  readonly #listeners = new Set<WaitListener>()
  readonly #shared: () => Promise<LimitStore | null>

  /** `shared`: what counts for all processes; null, this one is alone. */
  constructor(
    clock: Clock,
    random: () => number,
    makeBucket: MakeBucket = memoryBucket,
    shared: () => Promise<LimitStore | null> = async () => null,
  ) {
    this.#clock = clock
    this.#random = random
    this.#makeBucket = makeBucket
    this.#shared = shared
  }

  /** Waits for a turn; disposing it ends the call. Rejects when the signal is aborted first. */
  async turn(connection: string, limits: Limits, signal: AbortSignal): Promise<Disposable> {
    const line = this.#lineOf(connection, limits)
    const askedAt = this.#clock.now()
    let give = () => {}
    let waited = line.active >= line.concurrent
    line.asking++
    try {
      await this.#hand(line, signal)
      try {
        const store = await this.#shared()
        const paced =
          store === null
            ? await this.#pace(line, connection, signal)
            : await this.#share(store, line, connection, signal)
        give = paced.give
        waited ||= paced.waited
      } catch (error) {
        leave(line)
        throw error
      }
    } finally {
      line.asking--
    }
    if (waited) for (const listener of this.#listeners) listener(connection, this.#clock.now() - askedAt)
    let ended = false
    return {
      [Symbol.dispose]: () => {
        if (ended) return
        ended = true
        leave(line)
        give()
      },
    }
  }

  /** The system asked to be left alone for so long. */
  async pause(connection: string, ms: number): Promise<void> {
    const line = this.#lines.get(connection)
    if (line !== undefined) line.pausedUntil = Math.max(line.pausedUntil, this.#clock.now() + ms)
    await (await this.#shared())?.pause(connection, ms)
  }

  /** Returns what ends the subscription. */
  onWait(listener: WaitListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
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

  #lineOf(connection: string, limits: Limits): Line {
    const { perSecond, perMinute, concurrent } = limits
    const known = this.#lines.get(connection)
    if (known !== undefined) return known
    const buckets = [
      ...(perSecond === undefined ? [] : [this.#bucket(perSecond, 1)]),
      ...(perMinute === undefined ? [] : [this.#bucket(perMinute, 60)]),
    ]
    const line = {
      limits,
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

  async #pace(line: Line, connection: string, signal: AbortSignal): Promise<Paced> {
    for (let waited = false; ; waited = true) {
      const pauseMs = line.pausedUntil - this.#clock.now()
      if (pauseMs > 0) {
        await this.#clock.sleep(pauseMs + this.#random() * JITTER_MS, signal)
        continue
      }
      const waitMs = await this.#take(line, connection)
      if (waitMs === 0) return { waited, give: () => {} }
      await this.#clock.sleep(waitMs + this.#random() * JITTER_MS, signal)
    }
  }

  /** Asks the store for a turn until there is one. A turn that can't be given back is free when its lease is over. */
  async #share(store: LimitStore, line: Line, connection: string, signal: AbortSignal): Promise<Paced> {
    const turn = randomUUID()
    for (let waited = false; ; waited = true) {
      const answer = await store.take(connection, turn, line.limits)
      if (answer.kind === 'taken') {
        const give = () => void store.free(turn).catch(() => {})
        if (!signal.aborted) return { waited, give }
        give()
        throw signal.reason
      }
      if (answer.paused) line.pausedUntil = Math.max(line.pausedUntil, this.#clock.now() + answer.ms)
      await this.#clock.sleep(answer.ms + this.#random() * JITTER_MS, signal)
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
