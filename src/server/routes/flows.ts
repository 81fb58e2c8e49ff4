/** Flows: a person connects an account step by step, and a connection comes of it. */
import { z } from 'zod'
import { SyncError } from '../../core/error.ts'
import type { Operations } from '../../engine/operations.ts'
import type { ApiKey } from '../../engine/secrets/api-keys.ts'
import { maySee } from '../auth.ts'
import { projectFor } from '../lookup.ts'
import { type Route, route } from '../route.ts'

const one = z.object({ session: z.string().min(1).max(100) })

export const flowRoutes: readonly Route[] = [
  route({
    method: 'POST',
    url: '/api/flows',
    summary: 'Begins to connect an account of an integration: the answer has the first step to show',
    tag: 'flows',
    scope: 'operate',
    body: z.strictObject({
      integration: z.string().min(1).max(300),
      project: z
        .string()
        .regex(/^[\w-]{1,100}$/, 'letters, digits, _ and -')
        .optional(),
    }),
    answers: { 201: 'FlowSession' },
    handle: async ({ operations, body, key }) => ({
      status: 201,
      body: await operations.connected.flows.start(body.integration, projectFor(key, body.project)),
    }),
  }),
  route({
    method: 'GET',
    url: '/api/flows/:session',
    summary: 'How it stands, and the step that waits',
    tag: 'flows',
    scope: 'operate',
    params: one,
    answers: { 200: 'FlowSession' },
    handle: async ({ operations, params, key }) => {
      await find(operations, key, params.session)
      return { body: await operations.connected.flows.get(params.session) }
    },
  }),
  route({
    method: 'POST',
    url: '/api/flows/:session',
    summary: 'Answers the step that waits; `errors` say why an answer did not do, `connectionId` what came of it',
    tag: 'flows',
    scope: 'operate',
    params: one,
    body: z.strictObject({ answer: z.unknown() }).partial().nullish(),
    answers: { 200: 'FlowSession' },
    handle: async ({ operations, params, body, key }) => {
      await find(operations, key, params.session)
      return { body: await operations.connected.flows.answer(params.session, body?.answer) }
    },
  }),
  route({
    method: 'DELETE',
    url: '/api/flows/:session',
    summary: 'Forgets a session and what was entered',
    tag: 'flows',
    scope: 'operate',
    params: one,
    answers: { 204: null },
    handle: async ({ operations, params, key }) => {
      await find(operations, key, params.session)
      await operations.connected.flows.delete(params.session)
      return { status: 204 }
    },
  }),
]

/** FLOW_UNKNOWN, also for a session of another project. */
async function find({ connected }: Operations, key: ApiKey | null, session: string): Promise<void> {
  if (maySee(key, await connected.flows.projectOf(session))) return
  throw new SyncError('FLOW_UNKNOWN', 'there is no such session, or it has expired')
}
