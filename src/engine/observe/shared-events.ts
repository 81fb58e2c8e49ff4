/**
 * Events of all processes that share a store. What happens here is told to the others, gathered, and only while one of them hears; what
 * they tell is heard only while somebody here listens. Nothing waits for it, and what can't be told is missed: events are no record.
 */
import type { Clock } from '../../connectors/connector.ts'
import { asSyncError } from '../../core/error.ts'
import type { EngineEvent } from '../../core/event.ts'
import type { Log } from '../../core/log.ts'
import type { Topic } from '../../store/topic.ts'
import { Events, type Listener } from './events.ts'

export interface SharedEventsOptions {
  /** Of this process. */
  readonly events: Events
  /** Null: there are no other processes. */
  readonly topic: () => Promise<Topic | null>
  readonly clock: Clock
  readonly log: Log
  /** Before events of others are told: listeners may ask what they are about. */
  readonly catchUp: () => Promise<void>
}

export interface Subscription extends Disposable {
  /** From then on it hears other processes, too. */
  readonly hearing: Promise<void>
}

/** What happens within it is told together: while somebody hears, and else, when only that is asked. */
const GATHER_MS = { heard: 100, unheard: 500 } as const
/** Of a run to other processes. */
const PROGRESS_MS = 1000
const MOST_WAITING = 10_000

interface Hearing {
  readonly began: Promise<void>
  readonly stop: AbortController
  readonly ended: Promise<void>
}

export class SharedEvents implements AsyncDisposable {
  readonly #options: SharedEventsOptions
  readonly #topic: Promise<Topic | null>
  readonly #others: Events
  readonly #stop = new AbortController()
  readonly #unsubscribe: () => void
  /** By run: when its progress was told last. */
  readonly #progress = new Map<string, number>()
  /** Null: there is nobody to tell. */
  #waiting: EngineEvent[] | null = []
  #telling: Promise<void> | null = null
  #heard = false
  /** Whether the log was told that something goes wrong. */
  #troubled = false
  #hearing: Hearing | null = null
  #listeners = 0

  constructor(options: SharedEventsOptions) {
    const { events, log, topic } = options
    this.#options = options
    this.#others = new Events(log)
    this.#topic = topic().catch(() => null)
    this.#topic.then((found) => {
      if (found === null) this.#waiting = null
    })
    this.#unsubscribe = events.subscribe((event) => this.#take(event))
  }

  /** Hears every event of every process until it is disposed; its own at once. */
  subscribe(listener: Listener): Subscription {
    const ends = [this.#options.events.subscribe(listener), this.#others.subscribe(listener)]
    this.#listeners++
    this.#hearing ??= this.#hear()
    const { began: hearing } = this.#hearing
    const end = () => {
      for (const each of ends.splice(0)) each()
      if (--this.#listeners === 0) this.#hearNoMore()
    }
    let over = false
    return {
      hearing,
      [Symbol.dispose]: () => {
        if (!over) end()
        over = true
      },
    }
  }

  /** Tells what is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#unsubscribe()
    this.#stop.abort()
    const ended = this.#hearing?.ended
    this.#hearNoMore()
    await Promise.all([this.#telling, ended])
  }

  #take(event: EngineEvent): void {
    if (this.#waiting === null || !this.#isDue(event)) return
    if (this.#waiting.length < MOST_WAITING) this.#waiting.push(event)
    else this.#trouble('there are too many')
    this.#telling ??= this.#tell()
  }

  #isDue(event: EngineEvent): boolean {
    if (event.event === 'run.finished') this.#progress.delete(event.run)
    if (event.event !== 'run.progress') return true
    const now = this.#options.clock.now()
    if (now - (this.#progress.get(event.run) ?? Number.NEGATIVE_INFINITY) < PROGRESS_MS) return false
    this.#progress.set(event.run, now)
    return true
  }

  async #tell(): Promise<void> {
    const { clock } = this.#options
    const topic = await this.#topic
    while (topic !== null && this.#waiting !== null && this.#waiting.length > 0) {
      await clock.sleep(GATHER_MS[this.#heard ? 'heard' : 'unheard'], this.#stop.signal).catch(() => {})
      const events = this.#waiting.splice(0)
      try {
        this.#heard = await topic.heard()
        if (this.#heard) await topic.tell(JSON.stringify(events))
        this.#troubled = false
      } catch (error) {
        this.#trouble(asSyncError(error).message)
      }
    }
    // Here, where nothing can come between: what is taken from now on begins anew.
    this.#telling = null
  }

  /** Said once, until it works again. */
  #trouble(reason: string): void {
    if (!this.#troubled) this.#options.log(`other processes are not told all events: ${reason}`, 'warn')
    this.#troubled = true
  }

  #hear(): Hearing {
    const stop = new AbortController()
    const began = Promise.withResolvers<void>()
    const ended = this.#hearOthers(stop.signal, began.resolve)
      .catch((error: unknown) => this.#options.log(`events: ${asSyncError(error).message}`, 'error'))
      .finally(began.resolve)
    return { began: began.promise, stop, ended }
  }

  #hearNoMore(): void {
    this.#hearing?.stop.abort()
    this.#hearing = null
  }

  async #hearOthers(signal: AbortSignal, began: () => void): Promise<void> {
    const topic = await this.#topic
    if (topic === null) return
    for await (const text of topic.hear(signal)) {
      began()
      if (text === null) continue
      await this.#options.catchUp().catch(() => {})
      if (signal.aborted) return
      for (const event of parseEvents(text)) this.#others.emit(event)
    }
  }
}

/** Another process of this project wrote it, maybe of another version: what it tells is passed on as it is. What is no event is skipped. */
function parseEvents(text: string): readonly EngineEvent[] {
  try {
    const events: unknown = JSON.parse(text)
    return Array.isArray(events) ? events.filter(isEvent) : []
  } catch {
    return []
  }
}

function isEvent(value: unknown): value is EngineEvent {
  return typeof value === 'object' && value !== null && 'event' in value && typeof value.event === 'string'
}
