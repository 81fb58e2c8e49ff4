/** Stored rows as what they mean. The columns have the same names in every store; numbers arrive as numbers, JSON as text. */
import { z } from 'zod'
import { type Job, type JobState, type KeyName, priorities } from '../core/job.ts'
import type { RunRecord } from '../core/run.ts'
import type { Schedule } from '../core/schedule.ts'
import type { ScheduleRecord } from './jobs.ts'
import type { ConflictRecord, JournalEntry } from './pairs.ts'
import type { StoredRecord } from './records.ts'

/** A row as a driver gives it. */
export type StoredRow = Readonly<Record<string, unknown>>

export function runOf(stored: StoredRow): RunRecord {
  const { started_at, duration_ms, error_code, error_message, error_hint, held_deletes, released_at, ...rest } =
    runRow.parse(stored)
  return {
    ...rest,
    startedAt: started_at,
    durationMs: duration_ms,
    error: error_code === null ? null : { code: error_code, message: error_message ?? '', hint: error_hint },
    heldDeletes: held_deletes,
    releasedAt: released_at,
  }
}

export function jobOf(stored: StoredRow | undefined): Job {
  const job = jobRow.parse(stored)
  return {
    id: String(job.id),
    sync: job.sync,
    priority: job.priority,
    reason: job.reason,
    key: job.asked_by === null ? null : keyName.parse(JSON.parse(job.asked_by)),
    queuedAt: job.queued_at,
    dueAt: job.due_at,
    attempt: job.attempt,
    state: stateOf(job),
  }
}

function stateOf(job: z.output<typeof jobRow>): JobState {
  if (job.status === 'queued') return { status: 'queued' }
  if (job.status === 'running') {
    return {
      status: 'running',
      worker: job.worker ?? '',
      startedAt: job.started_at ?? job.queued_at,
      leaseUntil: job.lease_until ?? 0,
      cancelling: job.cancelling,
    }
  }
  return {
    status: job.status,
    startedAt: job.started_at,
    endedAt: job.ended_at ?? job.queued_at,
    run: job.run,
    error:
      job.error_code === null ? null : { code: job.error_code, message: job.error_message ?? '', hint: job.error_hint },
  }
}

/** What `jobOf` reads again. */
export function askedByOf(key: KeyName | null | undefined): string | null {
  return key == null ? null : JSON.stringify({ id: key.id, name: key.name })
}

export function scheduleOf(stored: StoredRow): ScheduleRecord {
  const { next_at, last_at, ...rest } = scheduleRow.parse(stored)
  return { ...rest, schedule: scheduleSchema.parse(JSON.parse(rest.schedule)), nextAt: next_at, lastAt: last_at }
}

export function recordOf(stored: StoredRow): StoredRecord {
  const { expires_at, ...rest } = recordRow.parse(stored)
  return { ...rest, expiresAt: expires_at }
}

export function conflictOf(stored: StoredRow): ConflictRecord {
  const { left_key, right_key, fields, opened_at, closed_at, ...rest } = conflictRow.parse(stored)
  return {
    ...rest,
    left: left_key,
    right: right_key,
    // The engine wrote it, and nobody else does.
    fields: JSON.parse(fields) as ConflictRecord['fields'],
    openedAt: opened_at,
    closedAt: closed_at,
  }
}

export function journalEntryOf(stored: StoredRow): JournalEntry {
  const { at, left_key, right_key, fields, ...rest } = journalRow.parse(stored)
  return {
    ...rest,
    atMs: at,
    left: left_key,
    right: right_key,
    fields: fields === null ? [] : (JSON.parse(fields) as string[]),
  }
}

const count = z.number()
const instant = z.number()
const text = z.string()
/** 0 and 1 where there is no type for it. */
const flag = z.union([z.boolean(), z.number()]).transform(Boolean)
const side = z.enum(['left', 'right'])

const runRow = z.object({
  id: text,
  sync: text,
  status: z.enum(['running', 'succeeded', 'failed', 'held', 'interrupted']),
  started_at: instant,
  duration_ms: count.nullable(),
  read: count,
  inserted: count,
  updated: count,
  deleted: count,
  unchanged: count,
  rejected: count,
  lossy: count,
  conflicts: count,
  error_code: text.nullable(),
  error_message: text.nullable(),
  error_hint: text.nullable(),
  held_deletes: count.nullable(),
  released_at: instant.nullable(),
})

const jobRow = z.object({
  id: z.number(),
  sync: text,
  priority: z.enum(priorities),
  reason: z.enum(['schedule', 'command', 'webhook', 'after', 'change', 'retry']),
  queued_at: instant,
  due_at: instant,
  attempt: count,
  status: z.enum(['queued', 'running', 'succeeded', 'failed', 'held', 'cancelled']),
  worker: text.nullable(),
  started_at: instant.nullable(),
  lease_until: instant.nullable(),
  cancelling: flag,
  ended_at: instant.nullable(),
  run: text.nullable(),
  error_code: text.nullable(),
  error_message: text.nullable(),
  error_hint: text.nullable(),
  asked_by: text.nullable(),
})
const keyName: z.ZodType<KeyName> = z.object({ id: text, name: text })

const every = { everyMs: z.number() }
/** A schedule as it is stored, JSON once it is parsed. */
export const scheduleSchema: z.ZodType<Schedule> = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('interval'), ...every }),
  z.object({ kind: z.literal('continuous'), ...every }),
  z.object({ kind: z.literal('cron'), cron: text, zone: text }),
  z.object({ kind: z.literal('after'), sync: text }),
  z.object({ kind: z.literal('webhook') }),
  z.object({ kind: z.literal('manual') }),
])
const scheduleRow = z.object({
  sync: text,
  schedule: text,
  origin: z.enum(['config', 'api']),
  paused: flag,
  next_at: instant.nullable(),
  last_at: instant.nullable(),
  failures: count,
})

const recordRow = z.object({
  kind: text,
  id: text,
  body: text,
  expires_at: instant.nullable(),
  version: count,
})

const conflictRow = z.object({
  id: z.number(),
  sync: text,
  kind: z.enum(['fields', 'delete', 'match', 'undo']),
  pair: z.number().nullable(),
  left_key: text.nullable(),
  right_key: text.nullable(),
  fields: text,
  status: z.enum(['open', 'decided', 'resolved', 'agreed']),
  run: text,
  opened_at: instant,
  closed_at: instant.nullable(),
})

const journalRow = z.object({
  seq: z.number(),
  sync: text,
  run: text,
  at: instant,
  side,
  kind: z.enum(['insert', 'update', 'delete']),
  pair: z.number().nullable(),
  left_key: text.nullable(),
  right_key: text.nullable(),
  fields: text.nullable(),
  before: text.nullable(),
  after: text.nullable(),
  reason: text,
})
