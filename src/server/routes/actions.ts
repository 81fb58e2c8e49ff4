/** Actions: what can be done in the system behind a connection. */
import { z } from 'zod'
import { SyncError } from '../../core/error.ts'
import { visibleConnection } from '../lookup.ts'
import { cutPage, namedPageQuery } from '../page.ts'
import { type Route, route } from '../route.ts'
import { actionObject } from '../schema-object.ts'

const named = z.object({ name: z.string().min(1).max(300) })

export const actionRoutes: readonly Route[] = [
  route({
    method: 'GET',
    url: '/api/connections/:name/actions',
    summary: 'What can be done there, with JSON Schemas of inputs and outputs',
    tag: 'actions',
    scope: 'read',
    params: named,
    query: z.object(namedPageQuery),
    answers: { 200: 'ActionPage' },
    handle: async ({ operations, params, query, key }) => {
      const actions = [...operations.actionsOf(visibleConnection(operations, key, params.name))]
      const { items, next } = cutPage(actions, query, ([name]) => name)
      return { body: { items: items.map(([name, action]) => actionObject(name, action)), next } }
    },
  }),
  route({
    method: 'POST',
    url: '/api/connections/:name/actions/:action',
    summary: 'Does it, and answers with what came of it: success and data, or error and code',
    tag: 'actions',
    scope: 'operate',
    params: named.extend({ action: z.string().min(1).max(300) }),
    body: z.strictObject({ input: z.unknown() }).partial().nullish(),
    answers: { 200: 'ActionResult' },
    handle: async ({ operations, params: { name, action }, body, key }) => {
      const known = visibleConnection(operations, key, name)
      if (known.integration === null && operations.actionsOf(known).size === 0)
        throw new SyncError('ACTION_UNKNOWN', `connection "${name}" has no actions`)
      const who = key === null ? null : { id: key.id, name: key.name }
      const { code, ...result } = await operations.connected.execute(name, action, body?.input ?? {}, who)
      // Nothing was begun: it is the request that failed, not the action.
      if (code === 'USAGE_INVALID') throw new SyncError(code, result.error ?? '')
      return { body: { ...asJson(result), ...(code === undefined ? {} : { code }) } }
    },
  }),
]

/** What an action gave may be anything: as JSON, with big integers as text, as in rows. It was done, whatever can be told of it. */
function asJson(result: object): object {
  try {
    const text = JSON.stringify(result, (_name, value: unknown) => (typeof value === 'bigint' ? String(value) : value))
    return z.record(z.string(), z.unknown()).parse(JSON.parse(text))
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return {
      ...result,
      data: undefined,
      success: false,
      error: `it was done, but what came of it is no JSON: ${reason}`,
    }
  }
}
