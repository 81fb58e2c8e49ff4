/** Executes a sync under a lease, with retries, and keeps its history. The one place that retries. */
import { asSyncError, retriable, SyncError } from '../core/error.ts'
import type { Failure, RunRecord } from '../core/run.ts'
import type { Sync } from '../core/sync.ts'
import { mirror } from './mirror.ts'
import type { Project } from './project.ts'
import type { Settlement } from './settle.ts'
import { Tally } from './tally.ts'

const MAX_ATTEMPTS = 5
const FIRST_WAIT_MS = 500
const LEASE_MS = 60_000
/** In an embedded project the project lock keeps others out, so its one process holds all leases under one name. */
const EMBEDDED_HOLDER = 'embedded'

/** Runs a sync to its end. Never throws for a failed run: the record says what happened. */
export async function runSync(sync: Sync, project: Project): Promise<RunRecord> {
  const { store, context, emit } = project
  const startedAt = context.clock.now()
  const id = newRunId(project)
  await store.runs.start({ id, sync: sync.id, startedAt })
  emit({ event: 'run.started', sync: sync.id, run: id })
  const tally = new Tally(context, (phase, total, counts) =>
    emit({ event: 'run.progress', sync: sync.id, run: id, phase, total, ...counts }),
  )
  const outcome = await attemptAll(sync, project, id, tally)
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
  const { status, durationMs, error } = record
  // History tells interrupted from failed; to the caller both are a run that did not get to its end.
  const told = status === 'succeeded' || status === 'held' ? status : 'failed'
  emit({
    event: 'run.finished',
    sync: sync.id,
    run: id,
    status: told,
    ...tally.counts,
    durationMs: durationMs ?? 0,
    ...(error === null ? {} : { error }),
  })
  return record
}

/** Forgets how far a sync has been read, so that its next run compares in full; with `drop` also drops the target table. */
export async function resetSync(sync: Sync, project: Project, options: { readonly drop: boolean }): Promise<void> {
  const connection = await project.connection(sync.to.connection)
  if (connection.sink === undefined)
    throw new SyncError('READ_ONLY', `connection ${sync.to.connection} holds no checkpoints`)
  await using sink = await connection.sink([sync.id])
  await sink.reset({ sync: sync.id, project: project.id, collection: sync.to.collection }, options.drop)
}

type Outcome = Pick<RunRecord, 'status' | 'error' | 'heldDeletes'>

async function attemptAll(sync: Sync, project: Project, run: string, tally: Tally): Promise<Outcome> {
  const { store, context, emit } = project
  for (let attempt = 1; ; attempt++) {
    let generation: number | null = null
    try {
      generation = await store.leases.take(sync.id, EMBEDDED_HOLDER, context.clock.now(), LEASE_MS)
      const settlement = await mirror(sync, project, tally, {
        onSchema: (changes) => emit({ event: 'run.schema', sync: sync.id, run, changes }),
      })
      return outcomeOf(sync, run, settlement, tally)
    } catch (error) {
      const failure = asSyncError(error)
      if (failure.code === 'INTERNAL' && failure.stack !== undefined)
        context.log(String(error instanceof Error ? error.stack : error))
      if (!retriable(failure) || attempt === MAX_ATTEMPTS || context.signal.aborted) return failed(failure)
      const waitMs = Math.round(FIRST_WAIT_MS * 2 ** (attempt - 1) * (0.5 + context.random()))
      emit({ event: 'run.retrying', sync: sync.id, run, attempt, waitMs, error: failureOf(failure) })
      try {
        await context.clock.sleep(waitMs, context.signal)
      } catch {
        return failed(failure)
      }
      await project.reconnect(sync.from.connection)
      await project.reconnect(sync.to.connection)
    } finally {
      if (generation !== null) await store.leases.free(sync.id, generation)
    }
  }
}

function outcomeOf(sync: Sync, run: string, settlement: Settlement, tally: Tally): Outcome {
  if (settlement.status === 'held') {
    const error = new SyncError(
      'GUARD_HELD',
      `sync ${sync.id} would delete ${settlement.deletes} rows of ${sync.to.collection}, more than its guard allows; nothing was deleted`,
      {
        hint: `Look at it with \`syncline plan ${sync.id}\`. If it is right: syncline release ${run}, then run again.`,
      },
    )
    return { status: 'held', error: failureOf(error), heldDeletes: settlement.deletes }
  }
  const { rejected } = tally.counts
  if (rejected === 0) return { status: 'succeeded', error: null, heldDeletes: null }
  const error = new SyncError(
    'ROWS_REJECTED',
    `${rejected} rows of sync ${sync.id} could not be written; all others were`,
    {
      hint: 'The table _syncline_rejected in the target names their keys and the reasons. They are tried again on every run.',
    },
  )
  return failed(error)
}

function failed(error: SyncError): Outcome {
  const status = error.code === 'INTERRUPTED' ? 'interrupted' : error.code === 'SCHEMA_DRIFT' ? 'held' : 'failed'
  return { status, error: failureOf(error), heldDeletes: null }
}

function failureOf(error: SyncError): Failure {
  return { code: error.code, message: error.message, hint: error.hint }
}

/** Sorts by time and is short enough to type: base 36 of the milliseconds, then four random letters. */
function newRunId({ context }: Project): string {
  const tail = Math.floor(context.random() * 36 ** 4)
    .toString(36)
    .padStart(4, '0')
  return `${context.clock.now().toString(36)}${tail}`
}
