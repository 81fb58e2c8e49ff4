/**
 * How often systems are asked: one line per connection, shared by its syncs and actions, and by all processes where the store can
 * count for them. What exceeds it waits. A system that says "too many" is left alone by everybody until the time it named (hazard 19).
 */
import { randomUUID } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type { Clock } from '../../connectors/connector.ts'
import type { Limits } from '../../connectors/kit.ts'
import type { Calls, LimitStore } from '../../store/limits.ts'
import { CallNews } from './call-reporter.ts'
import { Gate } from './semaphore.ts'

/** How a connection's line stands. */
export interface LimiterState extends Calls {
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
  limits: Limits
  buckets: readonly Bucket[]
  readonly hands: Gate
  /** One asks for all who wait: thousands who each ask again and again would leave the store no time for anything else. */
  readonly asker: Gate
  pausedUntil: number
  asking: number
  active: number
  /** How often an asker was told to wait: for somebody else's calls, or for the system. */
  refusals: number
  usedAt: number
}

/** Gives a turn back to the store. */
type Give = () => Promise<void>

/** After this long the rhythm of those who wait together differs. */
const JITTER_MS = 50
/** A connection that is not used for so long has no line. */
const IDLE_MS = 600_000

/** Nobody is asked to wait for longer: who names a longer time is believed up to this. */
const LONGEST_PAUSE_MS = 3_600_000

export class Limiter {
  readonly #clock: Clock
  readonly #random: () => number
  readonly #makeBucket: MakeBucket
  readonly #lines = new Map<string, Line>()
  readonly #buckets = new Map<string, Bucket>()
  readonly #listeners = new Set<WaitListener>()
  readonly #shared: () => Promise<LimitStore | null>
  readonly #news: CallNews
  #sweptAt = Number.NEGATIVE_INFINITY

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
    this.#news = new CallNews(clock, shared, () => this.#calls())
  }

  /** Waits for a turn; disposing it ends the call. Rejects when the signal is aborted first. */
  async turn(connection: string, limits: Limits, signal: AbortSignal): Promise<Disposable> {
    const line = this.#lineOf(connection, limits)
    const askedAt = this.#clock.now()
    const refusals = line.refusals
    let give: Give | null = null
    let waited = line.hands.full
    line.asking++
    this.#news.begin()
    try {
      give = await this.#admit(line, connection, signal)
    } catch (error) {
      this.#news.end()
      throw error
    } finally {
      line.asking--
    }
    waited ||= line.refusals > refusals
    if (waited) for (const listener of this.#listeners) listener(connection, this.#clock.now() - askedAt)
    let ended = false
    line.active++
    return {
      [Symbol.dispose]: () => {
        if (ended) return
        ended = true
        line.active--
        this.#news.end()
        line.usedAt = this.#clock.now()
        // Who comes next would be told that it is still busy.
        if (give !== null) void give().finally(() => line.hands.leave())
        else line.hands.leave()
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

  /** How the lines stand in this process. */
  states(): readonly LimiterState[] {
    const now = this.#clock.now()
    return [...this.#lines].map(([connection, { asking, active, pausedUntil }]) => ({
      connection,
      waiting: asking,
      active,
      pausedUntil: pausedUntil > now ? pausedUntil : null,
    }))
  }

  /** How these connections stand in all processes that share the store. Those that were not used lately may be left out. */
  async statesOfAll(connections: readonly string[]): Promise<readonly LimiterState[]> {
    const store = await this.#shared()
    if (store === null) return this.states().filter(({ connection }) => connections.includes(connection))
    const states = await store.exchange(this.#calls(), connections)
    const now = this.#clock.now()
    return states.map(({ pausedMs, ...calls }) => ({
      ...calls,
      pausedUntil: pausedMs === null ? null : now + pausedMs,
    }))
  }

  #calls(): readonly Calls[] {
    return [...this.#lines].flatMap(([connection, { asking, active }]) =>
      asking === 0 && active === 0 ? [] : [{ connection, active, waiting: asking }],
    )
  }

  #lineOf(connection: string, limits: Limits): Line {
    const usedAt = this.#clock.now()
    this.#sweep(usedAt)
    const known = this.#lines.get(connection)
    if (known !== undefined) {
      known.usedAt = usedAt
      if (!isDeepStrictEqual(known.limits, limits)) this.#renew(known, limits)
      return known
    }
    const hands = new Gate(limits.concurrent ?? Number.POSITIVE_INFINITY)
    const fresh = { hands, asker: new Gate(1), pausedUntil: 0, asking: 0, active: 0, refusals: 0, usedAt }
    const line: Line = { ...fresh, limits, buckets: this.#bucketsOf(limits) }
    this.#lines.set(connection, line)
    return line
  }

  /** The limits have changed: also for those who wait. */
  #renew(line: Line, limits: Limits): void {
    line.limits = limits
    line.buckets = this.#bucketsOf(limits)
    line.hands.allow(limits.concurrent ?? Number.POSITIVE_INFINITY)
  }

  #sweep(now: number): void {
    if (now < this.#sweptAt + IDLE_MS) return
    this.#sweptAt = now
    for (const [connection, { hands, asking, usedAt, pausedUntil }] of this.#lines)
      if (hands.inside === 0 && asking === 0 && Math.max(usedAt + IDLE_MS, pausedUntil) <= now)
        this.#lines.delete(connection)
  }

  #bucketsOf({ perSecond, perMinute }: Limits): readonly Bucket[] {
    return [
      ...(perSecond === undefined ? [] : [this.#bucket(perSecond, 1)]),
      ...(perMinute === undefined ? [] : [this.#bucket(perMinute, 60)]),
    ]
  }

  #bucket(points: number, seconds: number): Bucket {
    const name = `${points} in ${seconds} s`
    const bucket = this.#buckets.get(name) ?? this.#makeBucket(name, points, seconds)
    this.#buckets.set(name, bucket)
    return bucket
  }

  async #admit(line: Line, connection: string, signal: AbortSignal): Promise<Give | null> {
    await line.hands.enter(signal)
    try {
      return await this.#ask(line, connection, signal)
    } catch (error) {
      line.hands.leave()
      throw error
    }
  }

  async #ask(line: Line, connection: string, signal: AbortSignal): Promise<Give | null> {
    const store = await this.#shared()
    await line.asker.enter(signal)
    try {
      if (store !== null) return await this.#share(store, line, connection, signal)
      await this.#pace(line, connection, signal)
      return null
    } finally {
      line.asker.leave()
    }
  }

  async #pace(line: Line, connection: string, signal: AbortSignal): Promise<void> {
    for (;;) {
      // Longer than any pause that is believed: the clock was ahead when it was noted.
      line.pausedUntil = Math.min(line.pausedUntil, this.#clock.now() + LONGEST_PAUSE_MS)
      const pauseMs = line.pausedUntil - this.#clock.now()
      const waitMs = pauseMs > 0 ? pauseMs : await this.#take(line, connection)
      if (waitMs === 0) return
      await this.#wait(line, waitMs, signal)
    }
  }

  /** Asks the store for a turn until there is one. A turn that can't be given back is free when its lease is over. */
  async #share(store: LimitStore, line: Line, connection: string, signal: AbortSignal): Promise<Give> {
    const turn = randomUUID()
    for (;;) {
      const answer = await store.take(connection, turn, line.limits)
      if (answer.kind === 'taken') {
        const give = () => store.free(turn).catch(() => {})
        if (!signal.aborted) return give
        void give()
        throw signal.reason
      }
      if (answer.paused) line.pausedUntil = Math.max(line.pausedUntil, this.#clock.now() + answer.ms)
      await this.#wait(line, answer.ms, signal)
    }
  }

  async #wait(line: Line, ms: number, signal: AbortSignal): Promise<void> {
    line.refusals++
    await this.#clock.sleep(ms + this.#random() * JITTER_MS, signal)
  }

  async #take({ buckets }: Line, connection: string): Promise<number> {
    for (const bucket of buckets) {
      const waitMs = await bucket.take(connection)
      if (waitMs > 0) return waitMs
    }
    return 0
  }
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
