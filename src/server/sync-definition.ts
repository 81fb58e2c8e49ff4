/** What a sync is made from by the API, for people and programs that write one. The config's own schema, which it is read with, is the judge. */
import { z } from 'zod'
import { stampForms } from '../core/two-way.ts'
import { types } from '../core/value.ts'

const text = z.string().min(1)
const time = (example: string) => z.string().describe(`a time like ${example}`)
const type = z.enum(types)
const func = z
  .union([
    z.strictObject({ export: z.string().describe('the name of a function that the config file exports') }),
    z.strictObject({ jsonata: z.string().describe('a JSONata expression') }),
  ])
  .describe('what stands for a function')
const step = z
  .strictObject({ connection: text, action: text, input: z.unknown().optional().describe('a value, or a function') })
  .optional()
const common = {
  guard: z
    .strictObject({
      maxDeletes: z.int().nonnegative().optional(),
      maxDeleteShare: z.number().min(0).max(1).optional(),
    })
    .optional()
    .describe('holds runs that would delete more'),
  batch: z
    .strictObject({
      rows: z.int().positive().optional(),
      bytes: z.union([z.int().positive(), z.string()]).optional(),
    })
    .optional(),
  every: time('2s').optional(),
  schedule: z
    .union([
      z.string(),
      z.strictObject({ every: z.string() }),
      z.strictObject({ cron: z.string(), zone: z.string().optional() }),
      z.strictObject({ after: text.describe('a sync') }),
    ])
    .optional()
    .describe('15m, a cron expression, continuous, manual, webhook …'),
  timeout: time('1h').optional(),
  onBefore: step.describe('an action that is done before its runs'),
  onAfter: step.describe('an action that is done after those that succeeded'),
}

const oneWay = z.strictObject({
  ...common,
  from: text.describe('connection.collection'),
  to: text.describe('connection, or connection.collection'),
  collections: z.array(text).min(1).optional().describe('patterns, where `from` is a connection'),
  fields: z
    .record(
      text,
      z.union([
        text,
        z.strictObject({ from: text, type: type.optional() }),
        z.strictObject({
          compute: func,
          type: type.optional(),
          version: z.union([z.string(), z.number()]).optional(),
        }),
      ]),
    )
    .optional()
    .describe('by the target’s names; default: all of the source'),
  where: z
    .record(z.string(), z.unknown())
    .optional()
    .describe('{ field: value }, { field: { ">=": value } }, and, or, not'),
  key: z.array(text).min(1).optional(),
  cursor: text.optional().describe('a field that grows with every change of a row'),
  mode: z.enum(['auto', 'full', 'incremental']).optional(),
  deletes: z.enum(['propagate', 'keep', 'mark']).optional(),
  adopt: z.boolean().optional().describe('whether the target is a table that others made'),
})

const rule = z.union([
  z.enum(['left', 'right', 'newest', 'ask', 'prefer_local', 'prefer_remote', 'manual_review', 'last-write-wins']),
  func,
])
const stamp = z.union([text, z.strictObject({ field: text, as: z.enum(stampForms) })])
const direction = z.enum(['both', 'left-to-right', 'right-to-left']).optional()
const twoWay = z.strictObject({
  ...common,
  between: z.tuple([text, text]).describe('two collections: connection.collection'),
  match: z
    .array(z.union([text, z.strictObject({ field: text, by: func })]))
    .optional()
    .describe('fields that say which rows belong together when they meet first'),
  fields: z
    .record(
      text,
      z.union([
        text,
        z.strictObject({
          left: text.optional(),
          right: text.optional(),
          type: type.optional(),
          toRight: func.optional(),
          toLeft: func.optional(),
          direction,
          edits: z.enum(['revert', 'ignore']).optional(),
          onConflict: rule.optional(),
          references: text.optional().describe('a sync whose pairs translate the keys'),
        }),
      ]),
    )
    .optional(),
  direction,
  local: z.enum(['left', 'right']).optional(),
  onConflict: rule.optional().describe('default: ask'),
  onDeleteConflict: z.enum(['keep', 'delete', 'ask', 'manual_review']).optional(),
  deletes: z.enum(['propagate', 'keep']).optional(),
  stamp: z.strictObject({ left: stamp, right: stamp }).optional().describe('fields that say when a row was changed'),
  key: z.strictObject({ left: z.array(text).min(1).optional(), right: z.array(text).min(1).optional() }).optional(),
  bases: z.enum(['values', 'hash']).optional(),
  journal: z.strictObject({ keepDays: z.number().positive() }).optional(),
})

export const syncDefinition = z.union([oneWay, twoWay])
