/** Executes a sync under a lease, with retries, and keeps its history. The one place that retries. */
import { asSyncError, retriable, SyncError, stackOf } from '../../core/error.ts'
import { failed, type Outcome, outcomeOf } from '../../core/outcome.ts'
import { failureOf, type RunRecord } from '../../core/run.ts'
import { type AnySync, isTwoWay, placesOf } from '../../core/two-way.ts'
import { Tally } from '../observe/run-counts.ts'
import { finishedEvent, newRunId } from '../observe/run-events.ts'
import { noStepEvents, StepEvents } from '../observe/step-events.ts'
import { mirror } from '../one-way/run.ts'
import type { Project } from '../project.ts'
import { redactError } from '../secrets/redact.ts'
import type { Fences } from '../two-way/fences.ts'
import { runStep } from './run-step.ts'
import type { TimeLimit } from './time-limit.ts'

const MAX_ATTEMPTS = 5
const FIRST_WAIT_MS = 500

/** A worker that was killed is noticed after this long. */
export const LEASE_MS = 20_000

/** Of a lease that nobody prolongs while the run lasts. */
const OWN_LEASE_MS = 60_000

export interface RunOptions {
  /** The sync has another run to come, after others: what a reference stands in the way of waits for that one. */
  readonly patient?: boolean
  /** The generation of the lease that the caller holds and keeps alive. Absent: the run takes one for itself. */
  readonly lease?: number
  /** How long it may take. The signal of its project is that of the limit. */
  readonly limit?: TimeLimit
}

/** Runs a sync to its end. Never throws for a failed run: the record says what happened. */
export async function runSync(sync: AnySync, project: Project, options: RunOptions = {}): Promise<RunRecord> {
  const { store, context, emit } = project
  const startedAt = context.clock.now()
  const id = newRunId(project)
  await store.runs.start({ id, sync: sync.id, startedAt })
  emit({ event: 'run.started', sync: sync.id, run: id })
  const inTime = kept(project, options)
  const tally = new Tally(
    context,
    (phase, total, counts) => inTime.emit({ event: 'run.progress', sync: sync.id, run: id, phase, total, ...counts }),
    inTime.emitStep === undefined ? noStepEvents : new StepEvents(sync.id, id, inTime.emitStep),
  )
  const attempts = underLease(sync, inTime, { id, startedAt }, tally, options)
  const outcome = await withinLimit(attempts, tally, options)
  const record: RunRecord = {
    id,
    sync: sync.id,
    startedAt,
    durationMs: context.clock.now() - startedAt,
    ...tally.counts,
    ...outcome,
    releasedAt: null,
  }
  await store.runs.finish(record)
  emit(finishedEvent(record, tally.counts))
  return record
}

/** Waits for the attempts as long as their limit lets them. */
async function withinLimit(attempts: Promise<Outcome>, tally: Tally, { limit }: RunOptions): Promise<Outcome> {
  if (limit === undefined) return await attempts
  const outcome = await limit.keep(attempts, () => {
    const error = limit.passed ? limit.error() : new SyncError('INTERRUPTED', 'the run was stopped, and did not end')
    tally.end(error)
    return failed(error)
  })
  const ended = outcome.status === 'succeeded' || outcome.status === 'held'
  return limit.passed && !ended ? failed(limit.error()) : outcome
}

/** The project as attempts get it: what is no longer waited for opens nothing and tells nothing. */
function kept(project: Project, { limit }: RunOptions): Project {
  if (limit === undefined) return project
  const { emit, emitStep } = project
  const unlessAbandoned =
    <Event>(tell: (event: Event) => void) =>
    (event: Event) => {
      if (!limit.abandoned) tell(event)
    }
  return {
    ...project,
    connection: async (name) => {
      if (limit.abandoned) throw limit.error()
      return await project.connection(name)
    },
    emit: unlessAbandoned(emit),
    ...(emitStep === undefined ? {} : { emitStep: unlessAbandoned(emitStep) }),
  }
}

/** Forgets how far a sync has been read, so that its next run compares in full; with `drop` also drops the target table. A two-way sync forgets its pairs, with `keepPairs` only what was agreed about them. */
export async function resetSync(
  sync: AnySync,
  project: Project,
  options: { readonly drop: boolean; readonly keepPairs?: boolean },
): Promise<void> {
  if (isTwoWay(sync)) {
    await project.store.pairs.reset(sync.id, { keepPairs: options.keepPairs === true })
    return
  }
  const connection = await project.connection(sync.to.connection)
  if (connection.sink === undefined)
    throw new SyncError('READ_ONLY', `connection ${sync.to.connection} holds no checkpoints`)
  await using sink = await connection.sink([sync.id])
  await sink.reset({ sync: sync.id, project: project.id, collection: sync.to.collection }, options.drop)
}

/** A lease of the run's sync, and for how long it is prolonged. */
interface Held {
  readonly lease: number
  readonly leaseMs: number
}

/** What the sync's steps ask for comes under its lease, too: before the first attempt, and after the one that succeeded. */
async function withSteps(
  held: Held,
  sync: AnySync,
  project: Project,
  { id, startedAt }: Pick<RunRecord, 'id' | 'startedAt'>,
  tally: Tally,
  options: RunOptions,
): Promise<Outcome> {
  const { before = null, after = null } = sync.steps ?? {}
  const begun = { sync: sync.id, run: id, startedAt: new Date(startedAt).toISOString() }
  try {
    if (before !== null) await runStep('onBefore', before, begun, project)
    const outcome = await attemptUnder(held, sync, project, id, tally, options)
    noteReach(outcome, sync, project)
    if (outcome.status !== 'succeeded' || after === null) return outcome
    // Whoever took the sync over meanwhile does it.
    await renew(held.lease, held.leaseMs, sync, project)
    const durationMs = project.context.clock.now() - startedAt
    await runStep('onAfter', after, { ...begun, ...tally.counts, durationMs }, project)
    return outcome
  } catch (error) {
    return failed(redactError(error, project.context.redact))
  }
}

/** Takes the lease for the whole run: whoever takes it over meanwhile ends a run that would try again. */
async function underLease(
  sync: AnySync,
  project: Project,
  run: Pick<RunRecord, 'id' | 'startedAt'>,
  tally: Tally,
  options: RunOptions,
): Promise<Outcome> {
  const { leases, holder } = project.store
  if (options.lease !== undefined)
    return await withSteps({ lease: options.lease, leaseMs: LEASE_MS }, sync, project, run, tally, options)
  const now = project.context.clock.now()
  const lease = await leases.take(sync.id, holder, now, OWN_LEASE_MS).catch(asSyncError)
  if (lease instanceof SyncError) return failed(lease)
  try {
    return await withSteps({ lease, leaseMs: OWN_LEASE_MS }, sync, project, run, tally, options)
  } finally {
    await leases.free(sync.id, lease)
  }
}

/** Loaded by the first two-way run: one-way commands start without it. */
let loaded: Promise<typeof import('../two-way/run.ts')> | null = null
function twoWayEngine(): Promise<typeof import('../two-way/run.ts')> {
  loaded ??= import('../two-way/run.ts')
  return loaded
}

async function attemptUnder(
  { lease, leaseMs }: Held,
  sync: AnySync,
  project: Project,
  id: string,
  tally: Tally,
  options: RunOptions,
): Promise<Outcome> {
  const { context, emit } = project
  let held: number | null = null
  const fences: Fences = {}
  for (let attempt = 1; ; attempt++) {
    try {
      if (attempt > 1) await renew(lease, leaseMs, sync, project)
      const settlement = isTwoWay(sync)
        ? await (await twoWayEngine()).run(sync, project, tally, {
            ...{ run: id, generation: lease, attempt, fences },
            patient: options.patient ?? false,
          })
        : await mirror(sync, project, tally, {
            held,
            onClaim: (generation) => {
              held = generation
            },
            onSchema: (changes) => emit({ event: 'run.schema', sync: sync.id, run: id, changes }),
          })
      return outcomeOf(sync, id, settlement, tally.counts, options.patient === true)
    } catch (error) {
      const failure = whyStopped(redactError(error, context.redact), context.signal)
      const stack = stackOf(error)
      if (stack !== null) context.log(context.redact?.(stack) ?? stack, 'error')
      if (attempt === MAX_ATTEMPTS || context.signal.aborted || !worthAnother(failure, sync, project))
        return failed(failure)
      const waitMs = Math.round(FIRST_WAIT_MS * 2 ** (attempt - 1) * (0.5 + context.random()))
      emit({ event: 'run.retrying', sync: sync.id, run: id, attempt, waitMs, error: failureOf(failure) })
      try {
        await context.clock.sleep(waitMs, context.signal)
      } catch {
        return failed(failure)
      }
      for (const { connection } of placesOf(sync)) await project.reconnect(connection)
    }
  }
}

/** A run that stops because another took it over has lost its lease: nobody interrupted it. */
function whyStopped(failure: SyncError, { reason }: AbortSignal): SyncError {
  const lost = failure.code === 'INTERRUPTED' && reason instanceof SyncError && reason.code === 'LEASE_LOST'
  return lost ? reason : failure
}

/** Whether it may pass. That nobody answers does not, once an earlier run has waited for it in vain. */
function worthAnother(failure: SyncError, sync: AnySync, { unreachable }: Project): boolean {
  const waited = placesOf(sync).some(({ connection }) => unreachable.has(connection))
  return retriable(failure) && !(waited && failure.code === 'CONNECTION_REFUSED')
}

function noteReach({ error }: Outcome, sync: AnySync, { unreachable }: Project): void {
  for (const { connection } of placesOf(sync)) {
    if (error?.code === 'CONNECTION_REFUSED') unreachable.add(connection)
    else unreachable.delete(connection)
  }
}

async function renew(lease: number, leaseMs: number, sync: AnySync, { store, context }: Project): Promise<void> {
  if (await store.leases.renew(sync.id, lease, context.clock.now(), leaseMs)) return
  throw new SyncError('LEASE_LOST', `another process took over sync ${sync.id}; this one does not try again`, {
    hint: 'Nothing is lost: the other process goes on from the last checkpoint.',
  })
}
