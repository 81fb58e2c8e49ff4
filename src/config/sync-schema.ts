/** What one sync may say, and its defaults. */
import { z } from 'zod'
import type { Literal, Where } from '../core/filter.ts'
import { parseDuration, parseSize } from '../core/quantity.ts'
import { parseSchedule, type Schedule } from '../core/schedule.ts'
import { defaults, type FieldRule, type Guard, type Sync } from '../core/sync.ts'
import { types } from '../core/value.ts'
import type { SourceRow } from './define-config.ts'
import { steps, stepsOf } from './step-schema.ts'

export const text = z.string().min(1)
export const type = z.enum(types)

const rule = z.union(
  [
    text.transform((from): FieldRule => ({ kind: 'from', from })),
    z.strictObject({ from: text, type: type.optional() }).transform(
      (rule): FieldRule => ({
        kind: 'from',
        from: rule.from,
        ...(rule.type === undefined ? {} : { type: rule.type }),
      }),
    ),
    z
      .strictObject({
        compute: z.custom<(row: SourceRow) => unknown>(
          (value) => typeof value === 'function',
          'expected a function of the source row',
        ),
        type: type.default('text'),
        version: z.union([z.string(), z.number()]).default(''),
      })
      .transform(
        (rule): FieldRule => ({ ...rule, kind: 'compute', version: rule.version === '' ? null : rule.version }),
      ),
  ],
  { error: "expected a source field's name, { from, type? } or { compute, type?, version? }" },
)

const literal: z.ZodType<Literal> = z.union([z.string(), z.number(), z.bigint(), z.boolean(), z.null()], {
  error: 'expected a text, a number, true, false or null',
})
const comparand = literal.exactOptional()
const list = z.array(literal).exactOptional()
const condition = z.union(
  [
    literal,
    z.strictObject({
      '=': comparand,
      '!=': comparand,
      '<': comparand,
      '<=': comparand,
      '>': comparand,
      '>=': comparand,
      in: list,
      'not in': list,
      null: z.boolean().exactOptional(),
    }),
  ],
  { error: 'expected a value, or operators like { in: […] } or { ">=": … }' },
)
const nested: z.ZodType<Where> = z.lazy(() => where)
const where = z
  .object({
    and: z.array(nested).min(1).exactOptional(),
    or: z.array(nested).min(1).exactOptional(),
    not: nested.exactOptional(),
  })
  .catchall(condition)

export const bytes = z
  .union([z.number().int().positive(), z.string()], { error: 'expected a size like "8MB" or a number of bytes' })
  .transform((value, context) => {
    const size = typeof value === 'number' ? value : parseSize(value)
    if (size !== null) return size
    context.addIssue({ code: 'custom', message: 'expected a size like "8MB", "512KB" or a number of bytes' })
    return z.NEVER
  })

export const every = z.string({ error: 'expected a time like "2s"' }).transform((value, context): Schedule => {
  const written = parseSchedule({ every: value })
  if (typeof written !== 'string') return written
  context.addIssue({ code: 'custom', message: 'expected a time like "500ms", "2s", "15m", "every_15_minutes" or "1h"' })
  return z.NEVER
})

export const timeout = z.string({ error: 'expected a time like "1h"' }).transform((value, context) => {
  const ms = parseDuration(value)
  if (ms !== null) return ms
  context.addIssue({ code: 'custom', message: 'expected a time like "30s", "15m" or "1h"' })
  return z.NEVER
})

export const schedule = z
  .union(
    [
      z.string(),
      z.strictObject({ every: z.string() }),
      z.strictObject({ cron: z.string(), zone: z.string().optional() }),
      z.strictObject({ after: text }),
    ],
    { error: 'expected a text like "15m" or "continuous", { every }, { cron, zone } or { after }' },
  )
  .transform((value, context): Schedule => {
    const written = parseSchedule(value)
    if (typeof written !== 'string') return written
    context.addIssue({ code: 'custom', message: written })
    return z.NEVER
  })

export const guard = z.strictObject({
  maxDeletes: z.number().int().nonnegative().optional(),
  maxDeleteShare: z.number().min(0).max(1).optional(),
})
export const batch = z.strictObject({ rows: z.number().int().positive().optional(), bytes: bytes.optional() })

export const syncSchema = z.strictObject({
  from: text,
  to: text,
  collections: z.array(text).min(1).optional(),
  fields: z.record(text, rule).optional(),
  where: where.optional(),
  key: z.array(text).min(1).optional(),
  cursor: text.optional(),
  mode: z.enum(['auto', 'full', 'incremental']).default('auto'),
  deletes: z.enum(['propagate', 'keep', 'mark']).default('propagate'),
  guard: guard.optional(),
  batch: batch.optional(),
  adopt: z.boolean().default(false),
  every: every.optional(),
  schedule: schedule.optional(),
  timeout: timeout.optional(),
  project: text.optional(),
  ...steps,
})

/** A validated sync's options, with the defaults filled in. */
export function syncOptions(sync: z.output<typeof syncSchema>): Omit<Sync, 'id' | 'from' | 'to'> {
  return {
    fields: sync.fields === undefined ? null : new Map(Object.entries(sync.fields)),
    where: sync.where ?? null,
    key: sync.key ?? null,
    cursor: sync.cursor ?? null,
    mode: sync.mode,
    deletes: sync.deletes,
    guard: guardOf(sync.guard),
    batch: { rows: sync.batch?.rows ?? defaults.batch.rows, bytes: sync.batch?.bytes ?? defaults.batch.bytes },
    adopt: sync.adopt,
    schedule: sync.schedule ?? sync.every ?? defaults.schedule,
    ...(sync.timeout === undefined ? {} : { timeoutMs: sync.timeout }),
    ...(sync.project === undefined ? {} : { project: sync.project }),
    ...stepsOf(sync),
  }
}

export function guardOf(
  guard: { maxDeletes?: number | undefined; maxDeleteShare?: number | undefined } | undefined,
): Guard {
  return {
    maxDeletes: guard?.maxDeletes ?? defaults.guard.maxDeletes,
    maxDeleteShare: guard?.maxDeleteShare ?? defaults.guard.maxDeleteShare,
  }
}
