/** Executes a job of a configured sync: looks it up, asks whether it may run, and runs it. */
import type { Clock } from '../../connectors/connector.ts'
import { asSyncError, errorCodes, isErrorCode, SyncError } from '../../core/error.ts'
import type { Log } from '../../core/log.ts'
import { type Failure, failureOf, type RunRecord } from '../../core/run.ts'
import type { SyncId } from '../../core/sync-id.ts'
import { type AnySync, placesOf } from '../../core/two-way.ts'
import type { Claim } from '../../store/jobs.ts'
import type { RunStore } from '../../store/store.ts'
import type { Breaker, Tries } from '../calls/circuit-breaker.ts'
import type { Events } from '../observe/events.ts'
import { jobEventsOf } from '../observe/run-events.ts'
import type { Project } from '../project.ts'
import { runSync } from '../runs/run-sync.ts'
import { TimeLimit } from '../runs/time-limit.ts'
import type { Mutex } from './mutex.ts'
import type { Slots } from './project-pool.ts'
import type { Shares } from './project-shares.ts'
import { unfinished } from './unfinished-job.ts'
import type { JobResult } from './worker.ts'

/** The syncs there are, as they are now: a config or the store may have changed since the job was queued. */
export interface Definitions {
  /** SYNC_UNKNOWN: there is none of that name any more. */
  find(id: SyncId): Promise<AnySync>
  /** Systems of which this process can use one at a time. */
  exclusive(sync: AnySync): readonly string[]
  /** Whether its connections may stay open for the next run: false where they hold what belongs to one. */
  lasting(sync: AnySync): boolean
  /** Whose it is; null: nobody's in particular. */
  project(sync: AnySync): string | null
}

/** When what can't run yet is looked at again. */
const SOON_MS = 1000

/** How long a job waits for another that has its system. */
const MOST_PATIENCE_MS = 5000

/** How often a job looks whether its connections may be used again: a pause of minutes may be over in seconds. */
const LOOK_AGAIN_MS = 15_000

export interface TaskOptions {
  readonly definitions: Definitions
  readonly slots: Slots
  readonly mutex: Mutex
  readonly shares: Shares
  readonly breaker: Breaker
  readonly events: Events
  readonly clock: Clock
  readonly runs: RunStore
  readonly random: () => number
  readonly log: Log
}

export async function executeSyncJob(claim: Claim, signal: AbortSignal, options: TaskOptions): Promise<JobResult> {
  if (claim.takeovers > 0) return await unfinished(claim, options)
  const { definitions, slots, breaker, events, clock } = options
  const sync = await definitions.find(claim.sync).catch(asSyncError)
  if (sync instanceof SyncError) {
    // Embedders add their integrations one by one: what is due before is not failed by that.
    if (sync.code === 'INTEGRATION_UNKNOWN') return { kind: 'postponed', untilMs: clock.now() + SOON_MS }
    throw sync
  }
  using share = options.shares.take(definitions.project(sync))
  if (share === null) return { kind: 'postponed', untilMs: clock.now() + SOON_MS }
  const connections = [...new Set(placesOf(sync).map(({ connection }) => connection))]
  const readyAt = await breaker.readyAt(connections, clock.now())
  if (readyAt > clock.now()) return waiting(readyAt, clock.now())
  using held = await holdSoon(definitions.exclusive(sync), signal, options)
  if (signal.aborted) return { kind: 'interrupted', run: null }
  if (held === null) return { kind: 'postponed', untilMs: clock.now() + SOON_MS }
  const veto = await events.vetoOf({ event: 'sync.starting', sync: sync.id, job: claim.job })
  if (veto !== null) return vetoed(sync, claim, veto, events)
  const admission = await breaker.enter(connections, clock.now())
  if (admission.kind === 'wait') return waiting(admission.untilMs, clock.now())
  using limit = new TimeLimit(sync.id, sync.timeoutMs ?? null, signal, clock)
  await using slot = slots.take(limit.signal, definitions.lasting(sync))
  const { context } = slot.project
  const health = new Map<string, Failure | null>()
  const project: Project = {
    ...slot.project,
    connection: async (name) => {
      const opened = await slot.project.connection(name).catch(asSyncError)
      // Who was stopped meanwhile has learned nothing.
      if (!(opened instanceof SyncError)) health.set(name, null)
      else if (opened.code !== 'INTERRUPTED') health.set(name, failureOf(opened))
      if (opened instanceof SyncError) throw opened
      return opened
    },
    context: { ...context, signal: AbortSignal.any([limit.signal, context.signal]) },
    emit: (event) => {
      events.emit(event)
      for (const told of jobEventsOf(event, claim.id)) events.emit(told)
    },
    emitStep: (event) => events.emit(event),
  }
  const record = await runSync(sync, project, { lease: claim.generation, limit })
  if (limit.abandoned) slot.abandon()
  await noteHealth(health, admission.tries, options).catch((error: unknown) =>
    context.log(`keeping which connections answer failed: ${asSyncError(error).message}`, 'error'),
  )
  return resultOf(record)
}

/** Null: after MOST_PATIENCE_MS the job frees its slot for others, and asks again. */
async function holdSoon(
  names: readonly string[],
  signal: AbortSignal,
  { mutex, clock }: Pick<TaskOptions, 'mutex' | 'clock'>,
): Promise<Disposable | null> {
  if (names.length === 0) return await mutex.hold(names)
  const patience = new AbortController()
  const done = new AbortController()
  clock.sleep(MOST_PATIENCE_MS, done.signal).then(
    () => patience.abort(),
    () => {},
  )
  try {
    return await mutex.hold(names, AbortSignal.any([signal, patience.signal]))
  } finally {
    done.abort()
  }
}

function vetoed(sync: AnySync, claim: Claim, reason: string, events: Events): JobResult {
  events.emit({ event: 'sync.vetoed', sync: sync.id, job: claim.id, reason })
  return { kind: 'vetoed', error: failureOf(new SyncError('FORBIDDEN', `sync ${sync.id} may not run: ${reason}`)) }
}

function resultOf({ id, status, error }: RunRecord): JobResult {
  if (status === 'interrupted' || status === 'running') return { kind: 'interrupted', run: id }
  return { kind: 'ended', status, run: id, error, retry: status === 'failed' && mayPass(error) }
}

function mayPass(error: Failure | null): boolean {
  return error !== null && isErrorCode(error.code) && errorCodes[error.code].retry === 'retry'
}

/** A pause may be over sooner: somebody tries meanwhile, or mends it. */
function waiting(untilMs: number, nowMs: number): JobResult {
  return { kind: 'postponed', untilMs: Math.min(untilMs, nowMs + LOOK_AGAIN_MS) }
}

/** A connection that could not be opened rests after a few times; its other syncs wait with it. */
async function noteHealth(
  health: ReadonlyMap<string, Failure | null>,
  tries: Tries,
  { breaker, events, clock }: TaskOptions,
): Promise<void> {
  for (const [connection, error] of health) {
    if (error === null) {
      if (await breaker.succeeded(connection, clock.now())) events.emit({ event: 'connection.healthy', connection })
      continue
    }
    const until = await breaker.failed(connection, tries, clock.now())
    if (until !== null) events.emit({ event: 'connection.unhealthy', connection, until, error })
  }
  // A try that came to nothing, because the run ended before, keeps nobody waiting.
  for (const connection of tries.keys())
    if (!health.has(connection)) await breaker.reconsider(connection, true, clock.now())
}
