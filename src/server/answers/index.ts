/**
 * What the API answers, as schemas by their names. They describe, and change no answer: tests hold every answer against them.
 * Loaded when somebody asks for the description: a service that nobody asks does not pay for them.
 */
import { z } from 'zod'
import type { Delivery, Webhook } from '../../engine/observe/outgoing-webhooks.ts'
import { scopes } from '../../engine/secrets/api-keys.ts'
import {
  action,
  actionResult,
  connection,
  connectionCheck,
  connector,
  flowSession,
  integration,
  limit,
} from './connections.ts'
import { count, failure, instant, list, page, text } from './parts.ts'
import {
  conflict,
  deadLetter,
  job,
  plan,
  run,
  story,
  sync,
  twoWayPlan,
  twoWayVerification,
  verification,
} from './syncs.ts'

const problem = z.strictObject({
  type: z.literal('about:blank'),
  title: text,
  status: z.int(),
  code: text.regex(/^[A-Z][A-Z_]+$/).describe('what went wrong, for programs'),
  detail: text.describe('what went wrong, for people'),
  hint: text.optional().describe('what to do about it'),
})

const apiKey = z.strictObject({
  id: text,
  name: text,
  scope: z.enum(scopes),
  project: text.nullable().describe('null: of all projects'),
  createdAt: instant,
})
const webhook = z.strictObject({
  id: text,
  url: text,
  events: z.array(text),
  project: text.nullable().describe('null: of all projects'),
}) satisfies z.ZodType<Webhook>
const delivery = z.strictObject({
  id: text,
  webhook: text,
  event: text,
  status: z.enum(['pending', 'delivered', 'failed']),
  attempts: count,
  answer: text.nullable().describe('the last status, or why there was no answer'),
  createdAt: instant,
  nextAt: instant.nullable(),
}) satisfies z.ZodType<Omit<Delivery, 'createdAt' | 'nextAt'>>

const started = {
  synced_items: count,
  conflicts_detected: count,
  conflict_resolution: z.enum([
    'auto_override_from_local',
    'auto_override_from_remote',
    'last_write_wins',
    'manual_review',
    'custom_rule',
  ]),
  last_sync: instant.nullable(),
}

/** By the names that they have in the description. */
export const answers = {
  Problem: problem,
  Failure: failure,
  Health: z.strictObject({
    status: z.literal('ok'),
    details: z.strictObject({ catalogue: z.enum(['unasked', 'reachable', 'unreachable']) }).exactOptional(),
  }),
  Ready: z.strictObject({ status: z.literal('ready'), queued: count, running: count }),
  NotReady: z.strictObject({ status: z.literal('not ready') }),
  Connector: connector,
  ConnectorPage: page(connector),
  Integration: integration,
  IntegrationPage: page(integration),
  Connection: connection,
  ConnectionPage: page(connection),
  ConnectionCheck: connectionCheck,
  Limit: limit,
  LimitPage: page(limit),
  Action: action,
  ActionPage: page(action),
  ActionResult: actionResult,
  FlowSession: flowSession,
  CollectionPage: page(z.strictObject({ connection: text, sync: text })),
  RowPage: page(z.record(text, z.unknown())),
  Sync: sync,
  SyncList: list(sync),
  SyncPage: page(sync),
  Plan: z.union([plan, twoWayPlan]),
  Verification: z.union([verification, twoWayVerification]),
  Story: story,
  DeadLetter: deadLetter,
  DeadLetterPage: page(deadLetter),
  Run: run,
  RunPage: page(run),
  Job: job,
  JobPage: page(job),
  Conflict: conflict,
  ConflictPage: page(conflict),
  Key: apiKey,
  KeyPage: page(apiKey),
  NewKey: apiKey.extend({ key: text.describe('its text, which is told nowhere else') }),
  Webhook: webhook,
  WebhookPage: page(webhook),
  NewWebhook: webhook.extend({ secret: text.describe('what its events are signed with, which is told nowhere else') }),
  Delivery: delivery,
  DeliveryPage: page(delivery),
  Taken: z.strictObject({ queued: count.describe('syncs that run for it') }),
  SyncResult: z.strictObject({
    status: z.enum(['success', 'failed', 'held', 'cancelled']),
    ...started,
    error: failure.exactOptional(),
  }),
  SyncScheduled: z.strictObject({
    status: z.literal('scheduled'),
    ...started,
    next_run: instant.nullable().describe('null: the clock does not make it due'),
  }),
}

export type SchemaName = keyof typeof answers
