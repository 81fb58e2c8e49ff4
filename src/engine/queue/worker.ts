/** Takes jobs from the queue and executes them, several at a time, each under a lease that a heartbeat keeps alive. */
import type { Clock } from '../../connectors/connector.ts'
import { asSyncError, retriable, SyncError } from '../../core/error.ts'
import type { EngineEvent } from '../../core/event.ts'
import type { Job } from '../../core/job.ts'
import type { Log } from '../../core/log.ts'
import { type Failure, failureOf } from '../../core/run.ts'
import { nextInstant } from '../../core/schedule.ts'
import type { Claim, JobOutcome, JobRequest } from '../../store/jobs.ts'
import type { Store } from '../../store/store.ts'
import { LEASE_MS } from '../runs/run-sync.ts'
import { GRACE_MS } from '../runs/time-limit.ts'
import { Bell } from '../wake-signal.ts'

/** Another process's jobs are seen this late at the latest. */
const LOOK_MS = 1000

/** After this long it is tried again to hear of them sooner. */
const RECEIVE_AGAIN_MS = 30_000

/** How often a job is tried in all, where trying again may help. */
const MAX_ATTEMPTS = 5
const FIRST_RETRY_MS = 5_000
const LONGEST_RETRY_MS = 300_000

/** So many failures in a row are an alert. */
const ALERT_FAILURES = 3

/** A held sync is looked at again after this long, unless it is released. */
const HELD_MS = 60_000

/** How long a stop waits for batches to be finished: longer than runs that were stopped wait for theirs, so that they are given back. */
const STOP_MS = GRACE_MS + 2000

/** What executing a job came to. */
export type JobResult =
  | {
      readonly kind: 'ended'
      readonly status: 'succeeded' | 'failed' | 'held'
      readonly run: string | null
      readonly error: Failure | null
      /** Whether trying again may help. */
      readonly retry: boolean
    }
  /** Stopped by its signal; what was done stays done. */
  | { readonly kind: 'interrupted'; readonly run: string | null }
  /** Not begun, and not before then. */
  | { readonly kind: 'postponed'; readonly untilMs: number }
  | { readonly kind: 'vetoed'; readonly error: Failure }

export interface WorkersOptions {
  readonly store: Pick<Store, 'jobs' | 'schedules' | 'delivery'>
  readonly clock: Clock
  readonly random: () => number
  /** This process's name among all that share the store. */
  readonly worker: string
  readonly concurrency: number
  readonly leaseMs?: number
  /** Must not throw for a run that fails. */
  readonly execute: (claim: Claim, signal: AbortSignal) => Promise<JobResult>
  readonly emit: (event: EngineEvent) => void
  readonly log: Log
}

interface Running {
  readonly claim: Claim
  readonly stop: AbortController
  cancelled: boolean
  lost: boolean
  /** Its end is being kept: the store tells by itself whether the lease was lost before that. */
  ending: boolean
  readonly done: Promise<void>
}

export class Workers {
  readonly #options: WorkersOptions
  readonly #leaseMs: number
  /** By job. */
  readonly #running = new Map<string, Running>()
  readonly #bell = new Bell()
  /** Who waits for a look that begins later. */
  #looked = Promise.withResolvers<void>()

  constructor(options: WorkersOptions) {
    this.#options = options
    this.#leaseMs = options.leaseMs ?? LEASE_MS
  }

  /** There may be something to do: saves waiting for the next look. */
  wake(): void {
    this.#bell.ring()
  }

  /** The jobs in hand. */
  get running(): readonly Claim[] {
    return [...this.#running.values()].map(({ claim }) => claim)
  }

  /** Stops what this process runs of a job, if it does. */
  cancel(job: string): void {
    const running = this.#running.get(job)
    if (running === undefined) return
    running.cancelled = true
    running.stop.abort(interrupted())
  }

  /** Works until the signal is aborted; then stops what runs, which finishes its batches, and gives it back to the queue. */
  async run(signal: AbortSignal): Promise<void> {
    const settled = new AbortController()
    const beating = this.#beat(settled.signal)
    const receiving = this.#receive(signal)
    while (!signal.aborted) {
      const looked = this.#looked
      this.#looked = Promise.withResolvers()
      const untilMs = await this.#claim().catch((error: unknown) => this.#complain('taking jobs', error))
      looked.resolve()
      if (signal.aborted) break
      await this.#bell.wait(this.#options.clock, Math.min(untilMs, LOOK_MS), signal)
    }
    this.#looked.resolve()
    for (const { stop } of this.#running.values()) stop.abort(interrupted())
    await this.#settled()
    settled.abort()
    await Promise.all([beating, receiving])
  }

  /** Looks at the queue when a message says so. Where the look leaves no hand free there may be more to do: that is for somebody else. */
  async #receive(signal: AbortSignal): Promise<void> {
    const { store, clock, concurrency } = this.#options
    const { delivery } = store
    const full = () => this.#running.size >= concurrency && !signal.aborted
    while (delivery !== undefined && !signal.aborted) {
      try {
        for await (const _ of delivery.receive(signal)) {
          this.#bell.ring()
          await this.#looked.promise
          if (full()) delivery.send()
          while (full()) await this.#looked.promise
        }
      } catch (error) {
        this.#complain('waiting for messages of other processes', error)
        await clock.sleep(RECEIVE_AGAIN_MS, signal).catch(() => {})
      }
    }
  }

  /** Takes as many as there are free hands, and says how long there will be nothing more. */
  async #claim(): Promise<number> {
    const { store, clock, worker, concurrency } = this.#options
    const limit = concurrency - this.#running.size
    if (limit <= 0) return LOOK_MS
    const claims = await store.jobs.claim({ worker, leaseMs: this.#leaseMs, limit }, clock.now())
    for (const claim of claims) this.#start(claim)
    if (claims.length > 0) return claims.length === limit ? LOOK_MS : 0
    const due = await store.jobs.nextDue()
    return due === null ? LOOK_MS : Math.max(1, due - clock.now())
  }

  #start(claim: Claim): void {
    // After a freeze it may be this process that takes over what it lost: what it ran then is no longer its to run.
    this.#lose(this.#running.get(claim.id))
    const stop = new AbortController()
    const begun = Promise.withResolvers<void>()
    const running: Running = { claim, stop, cancelled: false, lost: false, ending: false, done: begun.promise }
    this.#running.set(claim.id, running)
    this.#execute(running).finally(() => {
      if (this.#running.get(claim.id) === running) this.#running.delete(claim.id)
      begun.resolve()
      this.#bell.ring()
    })
  }

  async #execute(running: Running): Promise<void> {
    const { claim, stop } = running
    const result = await this.#options.execute(claim, stop.signal).catch((error: unknown): JobResult => {
      const failure = asSyncError(error)
      // A store that did not answer may answer again.
      return { kind: 'ended', status: 'failed', run: null, error: failureOf(failure), retry: retriable(failure) }
    })
    if (running.lost) return
    running.ending = true
    // A store that can't be reached now may be again before the lease expires; afterwards the job is run again, which does no harm.
    for (let attempt = 1; attempt <= 5; attempt++) {
      try {
        await this.#end(running, result)
        return
      } catch (error) {
        const waitMs = this.#complain(`ending job ${claim.id} of ${claim.sync}`, error)
        await this.#options.clock.sleep(waitMs, new AbortController().signal)
      }
    }
  }

  async #end(running: Running, result: JobResult): Promise<void> {
    const { store, clock } = this.#options
    const { claim } = running
    const now = clock.now()
    if (result.kind === 'postponed' || (result.kind === 'interrupted' && !running.cancelled)) {
      await store.jobs.postpone(claim, result.kind === 'postponed' ? result.untilMs : now)
      return
    }
    const outcome = outcomeOf(result)
    const finished = await store.jobs.finish(claim, outcome, this.#retry(claim.job, result, now), now)
    if (finished === null) return
    this.#options.emit({
      event: 'job.ended',
      sync: claim.sync,
      job: claim.id,
      status: outcome.status,
      run: outcome.run,
    })
    if (finished.failures !== null) await this.#note(claim, outcome, finished.failures, now)
  }

  #retry(job: Job, result: JobResult, nowMs: number): JobRequest | null {
    if (result.kind !== 'ended' || !result.retry || job.attempt >= MAX_ATTEMPTS) return null
    const dueMs =
      nowMs + Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** (job.attempt - 1)) * (0.5 + this.#options.random())
    const { sync, priority, attempt, key } = job
    return { sync, priority, reason: 'retry', dueMs: Math.round(dueMs), attempt: attempt + 1, key }
  }

  /** Keeps how often in a row the sync failed. One that keeps failing is run less and less often, and somebody is told. */
  async #note({ sync }: Claim, { status, error }: JobOutcome, before: number, nowMs: number): Promise<void> {
    const { store, emit } = this.#options
    if (status === 'cancelled') return
    const failures = status === 'failed' ? before + 1 : 0
    // A person has to look first; the release itself asks for the next run.
    if (status === 'held') return await store.schedules.note(sync, failures, { notBeforeMs: nowMs + HELD_MS })
    if (failures === before) return
    if (failures === 0) await this.#letGo(sync, nowMs)
    else {
      const holdMs = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** (failures - 1))
      await store.schedules.note(sync, failures, { notBeforeMs: nowMs + holdMs })
    }
    if (failures === ALERT_FAILURES) emit({ event: 'sync.failing', sync, failures, error })
    if (failures === 0 && before >= ALERT_FAILURES) emit({ event: 'sync.recovered', sync, failures: before })
  }

  /** It works again: what its failures held back is due when it would have been. */
  async #letGo(sync: string, nowMs: number): Promise<void> {
    const { schedules } = this.#options.store
    const record = await schedules.get(sync)
    if (record === null) return
    const notAfterMs = nextInstant(record.schedule, nowMs, record.lastAt ?? nowMs)
    await schedules.note(sync, 0, notAfterMs === null ? {} : { notAfterMs })
  }

  async #beat(signal: AbortSignal): Promise<void> {
    const { store, clock, log } = this.#options
    while (!signal.aborted) {
      await clock.sleep(this.#leaseMs / 4, signal).catch(() => {})
      if (this.#running.size === 0) continue
      try {
        const beat = await store.jobs.heartbeat(this.running, clock.now(), this.#leaseMs)
        for (const { id, sync, generation } of beat.lost) {
          const running = this.#running.get(id)
          if (running?.claim.generation !== generation || running.ending) continue
          this.#lose(running)
          log(`job ${id} of ${sync} was taken over by another worker; this one stops`, 'warn')
        }
        for (const { id } of beat.cancelled) this.cancel(id)
      } catch (error) {
        this.#complain('the heartbeat', error)
      }
    }
  }

  #lose(running: Running | undefined): void {
    if (running === undefined) return
    running.lost = true
    running.stop.abort(interrupted())
  }

  async #settled(): Promise<void> {
    const { clock } = this.#options
    const deadline = new AbortController()
    const all = Promise.all([...this.#running.values()].map(({ done }) => done)).then(() => deadline.abort())
    await Promise.race([all, clock.sleep(STOP_MS, deadline.signal).catch(() => {})])
    // What does not stop is left to its lease.
    for (const running of this.#running.values()) running.lost = true
    this.#running.clear()
  }

  #complain(doing: string, error: unknown): number {
    this.#options.log(`${doing} failed: ${asSyncError(error).message}`, 'error')
    return LOOK_MS
  }
}

function interrupted(): SyncError {
  return new SyncError('INTERRUPTED', 'the run was stopped', {
    hint: 'What it did stays done; the next run goes on from there.',
  })
}

function outcomeOf(result: Exclude<JobResult, { kind: 'postponed' }>): JobOutcome {
  if (result.kind === 'ended') return { status: result.status, run: result.run, error: result.error }
  if (result.kind === 'vetoed') return { status: 'cancelled', run: null, error: result.error }
  return { status: 'cancelled', run: result.run, error: null }
}
