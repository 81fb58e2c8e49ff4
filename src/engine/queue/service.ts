/** The engine that runs by itself: schedules put jobs into the queue, workers take them, and what happens is told to listeners. */
import type { Clock } from '../../connectors/connector.ts'
import { SyncError } from '../../core/error.ts'
import type { Job, JobReason, KeyName, Priority } from '../../core/job.ts'
import type { Log } from '../../core/log.ts'
import { firstInstant } from '../../core/schedule.ts'
import type { SyncId } from '../../core/sync-id.ts'
import type { AnySync } from '../../core/two-way.ts'
import type { Store } from '../../store/store.ts'
import { Breaker } from '../calls/circuit-breaker.ts'
import type { Events } from '../observe/events.ts'
import { StoreClock } from '../store-clock.ts'
import { Mutex } from './mutex.ts'
import { type OwnedProject, Slots } from './project-pool.ts'
import { Shares } from './project-shares.ts'
import { Scheduler } from './scheduler.ts'
import { type Definitions, executeSyncJob } from './sync-job.ts'
import { Workers } from './worker.ts'

/** How long webhooks are gathered before their run. */
const GATHER_MS = 500

export interface ServiceOptions {
  readonly store: Store
  readonly clock: Clock
  readonly random: () => number
  readonly definitions: Definitions
  /** Makes a project for one run at a time; the signal ends with a run that is stopped. */
  readonly makeProject: (signal: AbortSignal) => OwnedProject
  /** This process's name among all that share the store. */
  readonly worker: string
  /** How many syncs run at a time. */
  readonly concurrency: number
  readonly events: Events
  readonly log: Log
}

export class Service {
  readonly #options: ServiceOptions
  /** Of a store that several processes share. */
  readonly #shared: StoreClock | null
  readonly #workers: Workers
  readonly #scheduler: Scheduler
  readonly #slots: Slots
  readonly #breaker: Breaker

  constructor(options: ServiceOptions) {
    const { store, random, definitions, worker, concurrency, events, log } = options
    const read = store.now?.bind(store)
    this.#shared = read === undefined ? null : new StoreClock(read, log)
    const clock = this.#shared ?? options.clock
    this.#options = { ...options, clock }
    this.#breaker = new Breaker(store.circuits)
    this.#slots = new Slots(options.makeProject, clock)
    const task = {
      definitions,
      slots: this.#slots,
      mutex: new Mutex(),
      shares: new Shares(concurrency),
      breaker: this.#breaker,
      ...{ events, clock, random, log, runs: store.runs },
    }
    this.#workers = new Workers({
      ...{ store, clock, random, worker, concurrency, log },
      execute: (claim, signal) => executeSyncJob(claim, signal, task),
      emit: (event) => events.emit(event),
    })
    this.#scheduler = new Scheduler({ store, clock, log, onFired: () => this.#workers.wake() })
  }

  /** The syncs that this process runs now. */
  get running(): readonly string[] {
    return this.#workers.running.map(({ sync }) => sync)
  }

  /** Works until the signal is aborted; then batches are finished, and what is left goes back to the queue. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      const following = this.#shared?.follow(signal)
      await Promise.all([following, this.#workers.run(signal), this.#scheduler.run(signal), this.#listen(signal)])
    } finally {
      await this.#slots[Symbol.asyncDispose]()
    }
  }

  /** What other processes change of schedules is looked at now, not at the next look. */
  async #listen(signal: AbortSignal): Promise<void> {
    const { store } = this.#options
    if (store.hints === undefined) return
    for await (const _ of store.hints(signal)) this.#scheduler.wake()
  }

  /**
   * Makes the store's schedules those of these syncs; what somebody paused stays paused. `unread`: definitions whose syncs are not known
   * now, because their source did not answer: what is known of their schedules stays.
   */
  async schedule(syncs: readonly AnySync[], unread: readonly string[] = []): Promise<void> {
    const { store, clock } = this.#options
    for (const { id, schedule } of syncs)
      await store.schedules.put({ sync: id, schedule, origin: 'config' }, firstInstant(schedule, clock.now()))
    const names = new Set(syncs.map(({ id }) => id))
    for (const { sync } of await store.schedules.list({ origin: 'config' }))
      if (!names.has(sync) && !unread.some((name) => sync === name || sync.startsWith(`${name}/`)))
        await store.schedules.remove(sync)
    this.#scheduler.wake()
  }

  /** Connections may be others now: later runs open them anew. */
  async renew(): Promise<void> {
    await this.#slots.renew()
  }

  /** A connection was changed, or is gone (`there` false): how it answered says nothing any more. */
  async reconsider(connection: string, there: boolean): Promise<void> {
    await this.#breaker.reconsider(connection, there, this.#options.clock.now())
  }

  /** Schedules may have changed: they are looked at now. */
  wake(): void {
    this.#scheduler.wake()
  }

  /** Puts a sync into the queue. SYNC_UNKNOWN. */
  async trigger(sync: SyncId, priority: Priority, why: Why = {}): Promise<Job> {
    await this.#options.definitions.find(sync)
    const { store, clock } = this.#options
    return await trigger(store, clock, sync, priority, { ...why, wake: () => this.#workers.wake() })
  }

  /** JOB_UNKNOWN, JOB_ENDED. */
  async cancel(job: string): Promise<Job> {
    const cancelled = await this.#options.store.jobs.cancel(job, this.#options.clock.now())
    this.#workers.cancel(job)
    return cancelled
  }
}

/** Why a sync goes into the queue. Default: a command, of nobody in particular. */
export interface Why {
  readonly reason?: JobReason
  /** Who asks for it by the API. */
  readonly key?: KeyName | null
}

/** Puts a sync into the queue, for whoever works on the store. */
export async function trigger(
  store: Store,
  clock: Clock,
  sync: SyncId,
  priority: Priority,
  { reason = 'command', key = null, wake = () => {} }: Why & { readonly wake?: () => void } = {},
): Promise<Job> {
  const now = clock.now()
  // Systems send a webhook per row: those of a moment make one run.
  const dueMs = reason === 'webhook' ? now + GATHER_MS : now
  const job = await store.jobs.enqueue({ sync, priority, reason, dueMs, attempt: 1, key }, now)
  wake()
  return job
}

/** Stops a sync's schedule, or lets it go on: then it is due as if it were new. SYNC_UNKNOWN: it has no schedule. */
export async function setPaused(store: Store, clock: Clock, sync: SyncId, paused: boolean): Promise<void> {
  const record = await store.schedules.get(sync)
  const nextMs = record === null || paused ? null : firstInstant(record.schedule, clock.now())
  if (record !== null && (await store.schedules.pause(sync, paused, nextMs))) return
  throw new SyncError('SYNC_UNKNOWN', `no sync "${sync}" is scheduled`, {
    hint: '`syncline start` schedules the syncs of the config.',
  })
}
