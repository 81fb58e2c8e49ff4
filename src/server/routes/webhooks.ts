/** Webhooks: outgoing ones are kept here; incoming ones make syncs run. */
import { z } from 'zod'
import { SyncError } from '../../core/error.ts'
import type { Operations } from '../../engine/operations.ts'
import type { ApiKey } from '../../engine/secrets/api-keys.ts'
import { iso } from '../../protocol/objects.ts'
import { announce } from '../announce.ts'
import { maySee } from '../auth.ts'
import { nothing } from '../lookup.ts'
import { cutPage, pageQuery } from '../page.ts'
import { type Route, route } from '../route.ts'

/** More than are kept. */
const MOST_DELIVERIES = 100_000
const one = z.object({ id: z.string().min(1).max(100) })

export const webhookRoutes: readonly Route[] = [
  route({
    method: 'GET',
    url: '/api/webhooks',
    summary: 'Where events are sent',
    tag: 'webhooks',
    scope: 'admin',
    query: z.object(pageQuery),
    answers: { 200: 'WebhookPage' },
    handle: async ({ operations, query, key }) => ({
      body: cutPage(await visible(operations, key), query, ({ id }) => id),
    }),
  }),
  route({
    method: 'POST',
    url: '/api/webhooks',
    summary: 'Sends events to an address, signed (Standard Webhooks); the secret is in this answer and nowhere else',
    tag: 'webhooks',
    scope: 'admin',
    secret: true,
    body: z.strictObject({
      url: z.url().max(2000),
      events: z.array(z.string().min(1).max(100)).min(1).max(50).default(['*']),
    }),
    answers: { 201: 'NewWebhook' },
    handle: async ({ operations, body, key }) => {
      const { webhook, secret } = await operations.webhooks.create({ ...body, project: key?.project ?? null })
      announce(operations, key, { what: 'webhook', name: webhook.id, change: 'made', project: webhook.project })
      return { status: 201, body: { ...webhook, secret } }
    },
  }),
  route({
    method: 'DELETE',
    url: '/api/webhooks/:id',
    summary: 'Sends nothing there any more',
    tag: 'webhooks',
    scope: 'admin',
    params: one,
    answers: { 204: null },
    handle: async ({ operations, params, key }) => {
      const { project } = await find(operations, key, params.id)
      await operations.webhooks.delete(params.id)
      announce(operations, key, { what: 'webhook', name: params.id, change: 'removed', project })
      return { status: 204 }
    },
  }),
  route({
    method: 'GET',
    url: '/api/webhooks/:id/deliveries',
    summary: 'What was and will be sent there, newest first',
    tag: 'webhooks',
    scope: 'admin',
    params: one,
    query: z.object(pageQuery),
    answers: { 200: 'DeliveryPage' },
    handle: async ({ operations, params, query, key }) => {
      await find(operations, key, params.id)
      const deliveries = await operations.webhooks.deliveries(params.id, MOST_DELIVERIES)
      const { items, next } = cutPage(deliveries, query, ({ id }) => id)
      const described = items.map(({ createdAt, nextAt, ...delivery }) => ({
        ...delivery,
        createdAt: iso(createdAt),
        nextAt: delivery.status === 'pending' ? iso(nextAt) : null,
      }))
      return { body: { items: described, next } }
    },
  }),
]

async function visible(operations: Operations, key: ApiKey | null) {
  return (await operations.webhooks.list()).filter(({ project }) => maySee(key, project))
}

async function find(operations: Operations, key: ApiKey | null, id: string) {
  const webhooks = await visible(operations, key)
  const found = webhooks.find((webhook) => webhook.id === id)
  if (found !== undefined) return found
  throw nothing(
    'WEBHOOK_UNKNOWN',
    'webhook',
    id,
    webhooks.map((webhook) => webhook.id),
  )
}

/** The receiving end is no route of the list: its body is read as it is, because that is what is signed. */
export async function receive(
  operations: Operations,
  name: string,
  request: { readonly headers: Readonly<Record<string, string>>; readonly body: string },
  nowMs: number,
): Promise<readonly string[]> {
  await operations.catchUp()
  const verdict = await operations.verifyWebhook(name, request)
  if (verdict === null)
    throw new SyncError(
      'UNAUTHENTICATED',
      'this is not signed as the connection says, or nothing receives webhooks here',
    )
  if (Math.abs(nowMs - verdict.atMs) > REPLAY_MS) throw new SyncError('UNAUTHENTICATED', 'this was signed too long ago')
  const seen = {
    kind: 'webhook-seen',
    id: `${name}/${verdict.id}`.slice(0, 500),
    body: '',
    expiresAt: nowMs + 2 * REPLAY_MS,
  }
  await operations.store.records.sweep(nowMs)
  // Sent twice, it is taken once, and answered the same.
  if ((await operations.store.records.put(seen, 0)) === null) return []
  const syncs = operations
    .syncs()
    .filter(({ sync }) => sync.schedule.kind === 'webhook' && operations.reads(sync, name))
  const { schedules } = operations.store
  const queued: string[] = []
  try {
    for (const { sync } of syncs) {
      if ((await schedules.get(sync.id))?.paused === true) continue
      await operations.service.trigger(sync.id, 'default', { reason: 'webhook' })
      queued.push(sync.id)
    }
  } catch (error) {
    // It is sent again, and must not be taken for a second one then.
    await operations.store.records.delete(seen.kind, seen.id)
    throw error
  }
  return queued
}

/** How old a webhook may be. */
const REPLAY_MS = 5 * 60_000
