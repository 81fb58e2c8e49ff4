/** Answers about syncs: their runs and jobs, and what waits for a person. */
import { z } from 'zod'
import { priorities } from '../../core/job.ts'
import type { Counts, RunRecord } from '../../core/run.ts'
import { types } from '../../core/value.ts'
import type { Verification } from '../../core/verification.ts'
import type { Plan } from '../../engine/one-way/plan.ts'
import type { DeadLetter } from '../../engine/runs/dead-letters.ts'
import type { TwoWayPlan } from '../../engine/two-way/plan.ts'
import type { TwoWayVerification } from '../../engine/two-way/verify.ts'
import { count, failure, instant, key, project, text, value } from './parts.ts'

export const job = z.strictObject({
  id: text,
  sync: text,
  priority: z.enum(priorities),
  reason: z.enum(['schedule', 'command', 'webhook', 'after', 'change', 'retry']),
  key: z.strictObject({ id: text, name: text }).nullable().describe('who asked for it by the API'),
  attempt: z.int().positive().describe('1, and one more for every try after a failure'),
  status: z.enum(['queued', 'running', 'succeeded', 'failed', 'held', 'cancelled']),
  queuedAt: instant,
  dueAt: instant,
  startedAt: instant.nullable(),
  endedAt: instant.nullable(),
  run: text.nullable().describe('the run it led to; null: none began, or it goes on'),
  error: failure.nullable(),
})

const counts = {
  read: count,
  inserted: count,
  updated: count,
  deleted: count,
  unchanged: count,
  rejected: count.describe('rows refused and not held by the target, those of earlier runs included'),
  lossy: count.describe('values changed by a declared loss of the target'),
  conflicts: count.describe('put on record, those that a rule decided included'),
} satisfies Record<keyof Counts, z.ZodType>

export const run = z.strictObject({
  sync: text,
  run: text,
  status: z.enum(['running', 'succeeded', 'failed', 'held', 'interrupted']),
  startedAt: instant,
  ...counts,
  durationMs: z.number().nullable(),
  heldDeletes: count.nullable().describe('of a held run: how many deletions a release lets go on'),
  releasedAt: instant.nullable(),
  error: failure.exactOptional(),
}) satisfies z.ZodType<Pick<RunRecord, 'status' | 'durationMs' | 'heldDeletes' | keyof Counts>>

export const sync = z.strictObject({
  name: text,
  kind: z.enum(['one-way', 'two-way']),
  left: text.describe('connection.collection; of a one-way sync the source'),
  right: text.describe('connection.collection; of a one-way sync the target'),
  origin: z.enum(['config', 'api', 'connection']).describe('who says it: the config file, a call, or its connection'),
  project,
  schedule: text,
  scheduledBy: z.enum(['definition', 'call']),
  paused: z.boolean(),
  nextAt: instant.nullable().describe('null: the clock does not make it due'),
  failures: count.describe('in a row'),
  lastRun: run.nullable(),
})

const field = z.strictObject({
  name: text,
  type: z.enum(types),
  native: text.describe('as the system declares it; empty: it declares none'),
  nullable: z.boolean(),
  writable: z.boolean(),
})
const change = {
  kind: z.enum(['create', 'add', 'widen', 'orphan', 'incompatible', 'rekey']),
  field: field.exactOptional(),
  was: field.exactOptional(),
  from: z.array(text).exactOptional().describe('of another key: the fields of the one before'),
  to: z.array(text).exactOptional(),
  schema: z
    .strictObject({ name: text, system: text, fields: z.array(field), key: z.array(text) })
    .exactOptional()
    .describe('of the table that is made'),
}
const changed = z.record(text, z.strictObject({ from: value, to: value }))
const sample = { key, kind: z.enum(['insert', 'update', 'delete']), fields: changed }
const planned = { inserts: count, updates: count, deletes: count }
export const plan = z.strictObject({
  sync: text,
  ...planned,
  rejected: count.describe('rows that can’t be read or mapped, and are not written'),
  schema: z.array(z.strictObject({ ...change, description: text })),
  reading: text.describe('how the source would be read, and why'),
  held: z.boolean().describe('whether the guard would hold the run'),
  samples: z.array(z.strictObject(sample)),
}) satisfies z.ZodType<Omit<Plan, 'schema'>>

const side = z.enum(['left', 'right'])
export const twoWayPlan = z.strictObject({
  sync: text,
  ...planned,
  left: z.strictObject(planned),
  right: z.strictObject(planned),
  pairs: count.describe('rows that meet for the first time'),
  conflicts: count.describe('that a run would put on record'),
  rejected: count,
  schema: z.array(z.strictObject(change)),
  reading: text,
  held: z.boolean(),
  warnings: z.array(text),
  samples: z.array(z.strictObject({ side, ...sample, reason: text })),
  conflictSamples: z.array(
    z.strictObject({
      key,
      field: text.nullable().describe('null: one side deleted the row, or its match is not unique'),
      base: value,
      left: value,
      right: value,
      rule: text,
      outcome: text,
      row: z
        .strictObject({ deleted: side, changed: z.record(text, z.strictObject({ base: value, now: value })) })
        .nullable()
        .describe('of a row that one side deleted: what the other changed in it'),
    }),
  ),
}) satisfies z.ZodType<Omit<TwoWayPlan, 'schema'>>

export const verification = z.strictObject({
  sync: text,
  equal: z.boolean(),
  left: count.describe('rows that there are; of a one-way sync, those that the target should hold'),
  right: count,
  missing: count,
  extra: count,
  different: count,
  unreadable: count,
  keys: z
    .strictObject({ missing: z.array(key), extra: z.array(key), different: z.array(key), unreadable: z.array(key) })
    .describe('at most 20 of each'),
  repaired: count,
}) satisfies z.ZodType<Verification>
export const twoWayVerification = verification.extend({
  conflicts: count.describe('pairs with a field that waits for a person'),
  ignored: count.describe('rows that the sync leaves alone'),
  settled: count.describe('pairs that differ as both sides last agreed'),
}) satisfies z.ZodType<TwoWayVerification>

const conflictStatus = z.enum(['open', 'decided', 'resolved', 'agreed'])
const matched = z.array(z.strictObject({ key, match: key }))
export const conflict = z.strictObject({
  id: text,
  sync: text,
  kind: z.enum(['fields', 'delete', 'match', 'undo']),
  status: conflictStatus,
  key: z.strictObject({ left: key.nullable(), right: key.nullable() }),
  fields: z.record(
    text,
    z.strictObject({
      base: value,
      left: value,
      right: value,
      rule: text,
      outcome: text.describe('a side, `value`, or `open`'),
      status: conflictStatus,
      take: z
        .union([side, z.strictObject({ set: value })])
        .exactOptional()
        .describe('a person’s decision'),
      note: text.exactOptional(),
    }),
  ),
  rows: z.strictObject({ left: matched, right: matched }).exactOptional().describe('whose match is not unique'),
  run: text,
  openedAt: instant,
  closedAt: instant.nullable(),
})
const now = value.exactOptional().describe('absent: the side has no such row')
export const story = z.strictObject({
  sync: text,
  pair: z.strictObject({ left: key, right: key }).nullable().describe('null: the row has no counterpart'),
  there: z.strictObject({ left: z.boolean(), right: z.boolean() }),
  fields: z.record(text, z.strictObject({ base: value, left: now, right: now })),
  unpaired: z
    .strictObject({
      side,
      state: z.enum(['alone', 'parted', 'ambiguous', 'deferred', 'rejected']),
      message: text.nullable(),
    })
    .nullable()
    .describe('why it has no pair, where that is known'),
  waiting: z
    .strictObject({
      state: z.enum(['deferred', 'rejected', 'held', 'again']),
      code: text.nullable(),
      message: text.nullable(),
    })
    .nullable()
    .describe('why it is looked at again on every run'),
  conflicts: z.array(conflict),
  writes: z
    .array(
      z.strictObject({
        run: text,
        at: instant,
        side,
        kind: z.enum(['insert', 'update', 'delete']),
        fields: z.record(text, z.strictObject({ before: value, after: value })).describe('of inserts none are kept'),
        reason: text,
      }),
    )
    .describe('newest first'),
})
export const deadLetter = z.strictObject({ key, code: text, message: text }) satisfies z.ZodType<DeadLetter>
