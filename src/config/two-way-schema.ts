/** What a two-way sync may say, and its defaults. */
import { z } from 'zod'
import { defaults } from '../core/sync.ts'
import {
  type PairField,
  type Rule,
  type RuleFunction,
  type StampField,
  stampForms,
  twoWayDefaults,
} from '../core/two-way.ts'
import type { Value } from '../core/value.ts'
import type { Mistake } from './mistakes.ts'
import type { TwoWayOptions } from './project-config.ts'
import { steps, stepsOf } from './step-schema.ts'
import { batch, every, guard, guardOf, schedule, text, timeout, type } from './sync-schema.ts'

const valueFunction = z.custom<(value: Value) => unknown>(
  (value) => typeof value === 'function',
  'expected a function of the value',
)
const direction = z.enum(['both', 'left-to-right', 'right-to-left'])
const ruleWord = z.enum([
  'left',
  'right',
  'newest',
  'ask',
  'prefer_local',
  'prefer_remote',
  'manual_review',
  'last-write-wins',
])
const stamp = z.union([text, z.strictObject({ field: text, as: z.enum(stampForms) })], {
  error: `expected a field's name, or { field, as } with one of ${stampForms.join(', ')}`,
})
const rule = z.union(
  [
    ruleWord,
    z.custom<RuleFunction>((value) => typeof value === 'function', 'expected a rule or a function (base, left, right)'),
  ],
  {
    error:
      'expected left, right, newest, ask (or prefer_local, prefer_remote, last-write-wins, manual_review), or a function (base, left, right) => value | ask',
  },
)
const field = z.union(
  [
    text,
    z.strictObject({
      left: text.optional(),
      right: text.optional(),
      type: type.optional(),
      toRight: valueFunction.optional(),
      toLeft: valueFunction.optional(),
      direction: direction.optional(),
      edits: z.enum(['revert', 'ignore']).optional(),
      onConflict: rule.optional(),
      references: text.optional(),
    }),
  ],
  {
    error:
      "expected a field's name, or { left, right, type?, toRight?, toLeft?, direction?, edits?, onConflict?, references? }",
  },
)

export const twoWaySchema = z.strictObject({
  between: z.tuple([text, text], { error: 'expected two collections: ["crm.public.contacts", "shop.customers"]' }),
  match: z
    .array(
      z.union([text, z.strictObject({ field: text, by: valueFunction })], {
        error: "expected a field's name, or { field, by: (value) => … }",
      }),
    )
    .default([]),
  fields: z.record(text, field).optional(),
  direction: direction.default('both'),
  local: z.enum(['left', 'right']).default('left'),
  onConflict: rule.default('ask'),
  onDeleteConflict: z.enum(['keep', 'delete', 'ask', 'manual_review']).default('keep'),
  deletes: z.enum(['propagate', 'keep']).default('propagate'),
  stamp: z.strictObject({ left: stamp, right: stamp }).optional(),
  key: z.strictObject({ left: z.array(text).min(1).optional(), right: z.array(text).min(1).optional() }).optional(),
  guard: guard.optional(),
  bases: z.enum(['values', 'hash']).default('values'),
  batch: batch.optional(),
  journal: z.strictObject({ keepDays: z.number().positive() }).optional(),
  every: every.optional(),
  schedule: schedule.optional(),
  timeout: timeout.optional(),
  project: text.optional(),
  ...steps,
})

/** A validated two-way sync's options, with the defaults filled in and aliases resolved. */
export function twoWayOptions(sync: z.output<typeof twoWaySchema>): TwoWayOptions {
  const ruleOf = (given: z.output<typeof rule>): Rule => ruleMeant(given, sync.local)
  return {
    match: sync.match.map((match) => (typeof match === 'string' ? { field: match, by: null } : match)),
    fields:
      sync.fields === undefined
        ? null
        : Object.entries(sync.fields).map(([name, given]): PairField => {
            const said = typeof given === 'string' ? { left: given, right: given } : given
            return {
              name,
              left: said.left ?? name,
              right: said.right ?? name,
              type: said.type ?? null,
              toRight: said.toRight ?? null,
              toLeft: said.toLeft ?? null,
              direction: said.direction ?? 'both',
              edits: said.edits ?? 'ignore',
              onConflict: said.onConflict === undefined ? null : ruleOf(said.onConflict),
              references: said.references ?? null,
            }
          }),
    direction: sync.direction,
    local: sync.local,
    onConflict: ruleOf(sync.onConflict),
    onDeleteConflict: sync.onDeleteConflict === 'manual_review' ? 'ask' : sync.onDeleteConflict,
    deletes: sync.deletes,
    stamp: sync.stamp === undefined ? null : { left: stampOf(sync.stamp.left), right: stampOf(sync.stamp.right) },
    key: { left: sync.key?.left ?? null, right: sync.key?.right ?? null },
    guard: guardOf(sync.guard),
    bases: sync.bases,
    batch: { rows: sync.batch?.rows ?? twoWayDefaults.batchRows, bytes: sync.batch?.bytes ?? defaults.batch.bytes },
    journalDays: sync.journal?.keepDays ?? twoWayDefaults.journalDays,
    schedule: sync.schedule ?? sync.every ?? defaults.schedule,
    ...(sync.timeout === undefined ? {} : { timeoutMs: sync.timeout }),
    ...(sync.project === undefined ? {} : { project: sync.project }),
    ...stepsOf(sync),
  }
}

function ruleMeant(given: z.output<typeof rule>, local: 'left' | 'right'): Rule {
  switch (given) {
    case 'prefer_local':
      return local
    case 'prefer_remote':
      return local === 'left' ? 'right' : 'left'
    case 'manual_review':
      return 'ask'
    case 'last-write-wins':
      return 'newest'
    default:
      return given
  }
}

function stampOf(given: z.output<typeof stamp>): StampField {
  return typeof given === 'string' ? { field: given, as: null } : given
}

/** What fits together and what does not. */
export function twoWayMistakes(options: TwoWayOptions): Mistake[] {
  const mistakes: Mistake[] = []
  const fields = options.fields ?? []
  const rules: [PropertyKey[], Rule][] = [
    [['onConflict'], options.onConflict],
    ...fields.flatMap(({ name, onConflict }): [PropertyKey[], Rule][] =>
      onConflict === null ? [] : [[['fields', name, 'onConflict'], onConflict]],
    ),
  ]
  for (const [path, rule] of rules) {
    if (rule === 'newest' && options.stamp === null)
      mistakes.push({
        path,
        message: "newest needs `stamp: { left: '…', right: '…' }`: fields that say when a row was changed",
      })
    if (options.bases === 'hash' && (rule === 'ask' || typeof rule === 'function'))
      mistakes.push({
        path,
        message:
          "a review or a function needs the values of the base: use bases: 'values', or the rule left, right or newest",
      })
  }
  for (const { name, toRight, toLeft, direction, references, type: via } of fields) {
    const path = ['fields', name]
    const flow = options.direction === 'both' ? direction : options.direction
    if (flow !== 'right-to-left' && toLeft !== null && toRight === null)
      mistakes.push({ path, message: 'has toLeft and no toRight: say how a value goes right' })
    if (flow !== 'left-to-right' && toRight !== null && toLeft === null)
      mistakes.push({
        path,
        message:
          "has toRight and no toLeft: say how a value comes back, or let it flow one way (direction: 'left-to-right')",
      })
    if (references !== null && (toRight !== null || toLeft !== null || via !== null))
      mistakes.push({ path, message: 'a reference is translated through pairs: leave type, toRight and toLeft out' })
  }
  if (options.fields !== null && fields.length === 0)
    mistakes.push({
      path: ['fields'],
      message: 'is empty: nothing would be synced; leave it out for every field of one name',
    })
  for (const side of ['left', 'right'] as const) {
    const into = side === 'left' ? 'right-to-left' : 'left-to-right'
    const written = fields.filter(({ direction }) => direction === 'both' || direction === into)
    for (const [at, field] of written.entries()) {
      const other = written.slice(0, at).find((earlier) => earlier[side] === field[side])
      if (other !== undefined)
        mistakes.push({
          path: ['fields', field.name],
          message: `would write ${field[side]} on the ${side}, as "${other.name}" does`,
        })
    }
  }
  for (const { field: name } of options.match)
    if (options.fields !== null && !fields.some((known) => known.name === name))
      mistakes.push({
        path: ['match'],
        message: `"${name}" is none of the sync's fields (${fields.map((known) => known.name).join(', ')})`,
      })
  return mistakes
}
