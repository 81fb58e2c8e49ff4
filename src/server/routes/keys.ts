/** API keys. A key bound to a project makes and sees keys of that project only. */
import { z } from 'zod'
import { SyncError } from '../../core/error.ts'
import { systemClock } from '../../engine/clock.ts'
import { type ApiKey, createKey, deleteKey, listKeys, scopes } from '../../engine/secrets/api-keys.ts'
import { iso } from '../../protocol/objects.ts'
import { announce } from '../announce.ts'
import { maySee } from '../auth.ts'
import { nothing } from '../lookup.ts'
import { cutPage, pageQuery } from '../page.ts'
import { type Route, route } from '../route.ts'

const project = z.string().regex(/^[\w-]{1,100}$/, 'letters, digits, _ and -')

export const keyRoutes: readonly Route[] = [
  route({
    method: 'GET',
    url: '/api/keys',
    summary: 'The keys, without their secrets',
    tag: 'keys',
    scope: 'admin',
    query: z.object(pageQuery),
    answers: { 200: 'KeyPage' },
    handle: async ({ operations, query, key }) => {
      const keys = (await listKeys(operations.store.records)).filter((one) => maySee(key, one.project))
      return { body: cutPage(keys.map(keyObject), query, ({ id }) => String(id)) }
    },
  }),
  route({
    method: 'POST',
    url: '/api/keys',
    summary: 'Makes a key; its text is in this answer and nowhere else',
    tag: 'keys',
    scope: 'admin',
    secret: true,
    body: z.strictObject({
      name: z.string().min(1).max(100),
      scope: z.enum(scopes),
      project: project.nullable().default(null),
    }),
    answers: { 201: 'NewKey' },
    handle: async ({ operations, body, key }) => {
      if (!maySee(key, body.project)) throw new SyncError('FORBIDDEN', 'this key makes keys of its own project only')
      const { key: made, text } = await createKey(operations.store.records, body, systemClock.now())
      announce(operations, key, { what: 'key', name: made.id, change: 'made', project: made.project })
      return { status: 201, body: { ...keyObject(made), key: text } }
    },
  }),
  route({
    method: 'DELETE',
    url: '/api/keys/:id',
    summary: 'Takes a key away',
    tag: 'keys',
    scope: 'admin',
    params: z.object({ id: z.string().min(1).max(100) }),
    answers: { 204: null },
    handle: async ({ operations, params, key }) => {
      const visible = (await listKeys(operations.store.records)).filter((one) => maySee(key, one.project))
      const found = visible.find(({ id }) => id === params.id)
      if (found === undefined)
        throw nothing(
          'KEY_UNKNOWN',
          'key',
          params.id,
          visible.map(({ id }) => id),
        )
      await deleteKey(operations.store.records, params.id)
      announce(operations, key, { what: 'key', name: found.id, change: 'removed', project: found.project })
      return { status: 204 }
    },
  }),
]

function keyObject({ createdAt, ...key }: ApiKey): Record<string, unknown> {
  return { ...key, createdAt: iso(createdAt) }
}
