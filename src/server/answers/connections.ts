/** Answers about connections, and what they are made of. */
import { z } from 'zod'
import type { ActionResult } from '../../core/step.ts'
import { types } from '../../core/value.ts'
import { count, failure, instant, jsonSchema, project, text } from './parts.ts'

export const action = z.strictObject({
  name: text,
  description: text,
  timeoutMs: z.number().nullable().describe('null: 30,000'),
  input: jsonSchema,
  output: jsonSchema,
})
export const actionResult = z.strictObject({
  success: z.boolean(),
  data: z.unknown().optional().describe('as the action’s output schema says'),
  error: text.exactOptional(),
  code: text.exactOptional(),
  executionTime: z.number().describe('in milliseconds'),
}) satisfies z.ZodType<Omit<ActionResult, 'code'>>

const connecting = {
  auth: z.enum(['config', 'oauth2']).describe('config: credentials are given as they are'),
  flow: z
    .array(z.strictObject({ kind: text, name: text }))
    .nullable()
    .describe('the steps that a person goes through'),
  syncs: z.array(
    z.strictObject({
      name: text,
      description: text,
      fields: z.record(text, z.enum(types)),
      key: z.array(text),
      schedule: text.nullable(),
    }),
  ),
  actions: z.array(action),
}
const limits = { perSecond: count, perMinute: count, concurrent: count }
export const connector = z.strictObject({
  name: text,
  description: text,
  config: jsonSchema,
  limits: z.strictObject(limits).partial(),
  ...connecting,
})
export const integration = z.strictObject({
  name: text,
  title: text.nullable(),
  description: text.nullable(),
  origin: z.enum(['config', 'catalogue']).describe('catalogue: nothing connects to it until the config sets it up'),
  connector: text.nullable(),
  ...connecting,
  auth: connecting.auth.nullable(),
  scopes: z.array(text),
  services: z.array(text).describe('names in the catalogue'),
})

export const connection = z.strictObject({
  name: text,
  connector: text,
  integration: text.nullable().describe('null: the config file says it'),
  origin: z.enum(['config', 'api']),
  project: project.exactOptional(),
  syncs: z.array(text).exactOptional().describe('that run'),
  activeSyncs: z.array(text).nullable().exactOptional().describe('null: all of the integration'),
  minutesBetweenSyncs: z.number().nullable().exactOptional().describe('null: as the integration says'),
  schedules: z.record(text, text).nullable().exactOptional().describe('by the names of syncs'),
})
export const connectionCheck = z.strictObject({
  name: text,
  healthy: z.boolean(),
  collections: count.exactOptional().describe('how many it has, where it is a database'),
  error: failure.exactOptional(),
})
export const limit = z.strictObject({
  connection: text,
  limits: z.strictObject({
    perSecond: count.nullable(),
    perMinute: count.nullable(),
    concurrent: count.nullable(),
  }),
  active: count.describe('calls that are being made'),
  waiting: count.describe('calls that wait for their turn'),
  pausedUntil: instant.nullable().describe('until when the system asked to be left alone'),
})

export const flowSession = z.strictObject({
  sessionId: text,
  integrationId: text,
  status: z.enum(['waiting', 'completed', 'cancelled']),
  step: z
    .strictObject({
      kind: z.enum(['form', 'confirm', 'display', 'oauth2', 'http', 'transform']),
      name: text,
      title: text.exactOptional(),
      text: text.exactOptional(),
      schema: jsonSchema.exactOptional().describe('of a form: its fields, as a JSON Schema'),
      url: text.exactOptional().describe('of oauth2: where the person is sent'),
    })
    .nullable()
    .describe('what is to be answered; null: it is over'),
  errors: z.array(text).exactOptional().describe('why the last answer did not do'),
  connectionId: text.exactOptional(),
  expiresAt: instant,
})
