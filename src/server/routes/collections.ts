/** Collections: the rows that syncs of connections have gathered. */
import { z } from 'zod'
import type { Operations } from '../../engine/operations.ts'
import type { ApiKey } from '../../engine/secrets/api-keys.ts'
import { nothing, visibleConnection, visibleSyncs } from '../lookup.ts'
import { cutPage, namedPageQuery } from '../page.ts'
import { type Route, route } from '../route.ts'
import { streamOf } from '../text-stream.ts'

const part = z.string().min(1).max(300)
const one = z.object({ connection: part, sync: part })
const types = { jsonl: 'application/x-ndjson; charset=utf-8', csv: 'text/csv; charset=utf-8' } as const

export const collectionRoutes: readonly Route[] = [
  route({
    method: 'GET',
    url: '/api/collections',
    summary: 'The collections that syncs of connections gather rows into',
    tag: 'collections',
    scope: 'read',
    query: z.object({ connection: part.optional(), ...namedPageQuery }),
    answers: { 200: 'CollectionPage' },
    handle: async ({ operations, query: { connection, ...page }, key }) => {
      const gathering = visibleSyncs(operations, key).flatMap(({ sync, origin }) =>
        origin === 'connection' && 'from' in sync ? [{ id: sync.id, ...sync.from }] : [],
      )
      const chosen = gathering.filter((from) => connection === undefined || from.connection === connection)
      const { items, next } = cutPage(chosen, page, ({ id }) => id)
      return { body: { items: items.map((from) => ({ connection: from.connection, sync: from.collection })), next } }
    },
  }),
  route({
    method: 'GET',
    url: '/api/collections/:connection/:sync',
    summary: 'Rows in the order of their keys; `next` is the `after` of the next page',
    tag: 'collections',
    scope: 'read',
    params: one,
    query: z.object({
      after: z.string().max(5000).optional(),
      limit: z.coerce.number().int().min(1).max(1000).default(100),
    }),
    answers: { 200: 'RowPage' },
    handle: async ({ operations, params: { connection, sync }, query: { after, limit }, key }) => {
      refuseOthers(operations, key, connection, sync)
      const page = { limit, ...(after === undefined ? {} : { after }) }
      const { rows, next } = await operations.connected.readRows(connection, sync, page)
      return { body: { items: rows, next } }
    },
  }),
  route({
    method: 'GET',
    url: '/api/collections/:connection/:sync/export',
    summary: 'All rows, as JSON Lines or CSV',
    tag: 'collections',
    scope: 'read',
    params: one,
    query: z.object({ format: z.enum(['jsonl', 'csv']).default('jsonl') }),
    answers: { 200: ['application/x-ndjson', 'text/csv'] },
    handle: async ({ operations, params: { connection, sync }, query: { format }, key, signal }) => {
      refuseOthers(operations, key, connection, sync)
      const body = await streamOf(operations.connected.exportRows(connection, sync, format, signal))
      return { body, headers: { 'content-type': types[format] } }
    },
  }),
]

/** COLLECTION_UNKNOWN: no sync of the connection's connector. Those it does not run now may have gathered rows before. */
function refuseOthers(operations: Operations, key: ApiKey | null, connection: string, sync: string): void {
  const { connector } = visibleConnection(operations, key, connection)
  const names = [...(operations.integrations.connectors.find(({ name }) => name === connector)?.syncs.keys() ?? [])]
  if (!names.includes(sync)) throw nothing('COLLECTION_UNKNOWN', 'collection', sync, names)
}
