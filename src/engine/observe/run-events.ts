/** What is told of runs when they begin and end. */
import type { Context } from '../../connectors/connector.ts'
import type { SyncError } from '../../core/error.ts'
import type { EngineEvent } from '../../core/event.ts'
import { type Counts, failureOf, type RunEvent, type RunRecord, zeroCounts } from '../../core/run.ts'
import type { RunStore } from '../../store/store.ts'

type Ended = Pick<RunRecord, 'id' | 'sync' | 'status' | 'durationMs' | 'error'>

/** Sorts by time: base 36 of the milliseconds, then 62 random bits, so that of all runs of all processes no two have the same. */
export function newRunId({ context }: { readonly context: Pick<Context, 'clock' | 'random'> }): string {
  const sixRandom = () =>
    Math.floor(context.random() * 36 ** 6)
      .toString(36)
      .padStart(6, '0')
  return `${context.clock.now().toString(36)}${sixRandom()}${sixRandom()}`
}

export function finishedEvent({ id, sync, status, durationMs, error }: Ended, counts: Counts): RunEvent {
  return {
    event: 'run.finished',
    sync,
    run: id,
    // One that has ended is no longer running.
    status: status === 'running' ? 'failed' : status,
    ...counts,
    durationMs: durationMs ?? 0,
    ...(error === null ? {} : { error }),
  }
}

/** A run's beginning and end under the names by which who listens for just these finds them. */
export function jobEventsOf(event: RunEvent, job: string): readonly EngineEvent[] {
  const { sync, run } = event
  if (event.event === 'run.started') return [{ event: 'sync.started', sync, job, run }]
  if (event.event !== 'run.finished') return []
  const { status, error = null } = event
  // Stopped by a person or with its process: it goes on later.
  if (status === 'succeeded' || status === 'interrupted') return []
  return [{ event: status === 'held' ? 'run.held' : 'run.failed', sync, run, error }]
}

/** Keeps and tells a failure that came before a run could begin, as a run. */
export async function recordFailure(
  { name, error }: { readonly name: string; readonly error: SyncError },
  { store: { runs }, context, emit }: RunEmitter,
): Promise<RunRecord> {
  const begun = { id: newRunId({ context }), sync: name, startedAt: context.clock.now() }
  const outcome = {
    status: 'failed',
    durationMs: 0,
    error: failureOf(error),
    heldDeletes: null,
    releasedAt: null,
  } as const
  const record = { ...zeroCounts, ...begun, ...outcome }
  await runs.start(begun)
  emit({ event: 'run.started', sync: name, run: begun.id })
  await runs.finish(record)
  emit(finishedEvent(record, zeroCounts))
  return record
}

export interface RunEmitter {
  readonly store: { readonly runs: RunStore }
  readonly context: Pick<Context, 'clock' | 'random'>
  readonly emit: (event: RunEvent) => void
}
