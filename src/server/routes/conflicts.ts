/** Conflicts: what both sides changed differently, and the decisions about it. */
import { z } from 'zod'
import { SyncError } from '../../core/error.ts'
import { isTwoWay } from '../../core/two-way.ts'
import type { Operations } from '../../engine/operations.ts'
import type { ApiKey } from '../../engine/secrets/api-keys.ts'
import { conflictObject, keyNames } from '../../engine/two-way/conflict-object.ts'
import { resolveConflict } from '../../engine/two-way/resolve.ts'
import { printable } from '../../protocol/printable.ts'
import type { ConflictRecord } from '../../store/pairs.ts'
import { seesSync, syncsFilter, visibleSync } from '../lookup.ts'
import { pageQuery, readPage } from '../page.ts'
import { type Route, route } from '../route.ts'

const one = z.object({ id: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER) })

export const conflictRoutes: readonly Route[] = [
  route({
    method: 'GET',
    url: '/api/conflicts',
    summary: 'Conflicts, newest first; those that are over only if asked for',
    tag: 'conflicts',
    scope: 'read',
    query: z.object({
      sync: z.string().max(300).optional(),
      all: z.enum(['true', 'false']).default('false'),
      after: one.shape.id.optional(),
      limit: pageQuery.limit,
    }),
    answers: { 200: 'ConflictPage' },
    handle: async ({ operations, query: { sync, all, after, limit }, key }) => {
      const { conflicts } = operations.store.pairs
      const filter = {
        ...syncsFilter(operations, key, sync),
        ...(all === 'true' ? {} : { status: ['open', 'decided'] as const }),
      }
      const { items, next } = await readPage(
        { limit, ...(after === undefined ? {} : { after: String(after) }) },
        (before, most) =>
          conflicts.list({ ...filter, ...(before === undefined ? {} : { before: Number(before) }), limit: most }),
        ({ id }) => String(id),
      )
      return { body: { items: await Promise.all(items.map((record) => describe(operations, record))), next } }
    },
  }),
  route({
    method: 'GET',
    url: '/api/conflicts/:id',
    summary: 'One conflict: base and both sides, field by field',
    tag: 'conflicts',
    scope: 'read',
    params: one,
    answers: { 200: 'Conflict' },
    handle: async ({ operations, params, key }) => ({
      body: await describe(operations, await find(operations, key, params.id)),
    }),
  }),
  route({
    method: 'POST',
    url: '/api/conflicts/:id/resolve',
    summary: 'Decides it; the next run carries the decision out',
    tag: 'conflicts',
    scope: 'operate',
    params: one,
    body: z.strictObject({
      take: z.enum(['left', 'right']).nullable().default(null),
      set: z.record(z.string(), z.string()).default({}),
    }),
    answers: { 200: 'Conflict' },
    handle: async ({ operations, params, body, key, signal }) => {
      if (body.take === null && Object.keys(body.set).length === 0)
        throw new SyncError('USAGE_INVALID', 'nothing is decided: say `take`, or `set` a field')
      const record = await find(operations, key, params.id)
      const { sync } = visibleSync(operations, key, record.sync)
      if (!isTwoWay(sync)) throw new SyncError('CONFIG_INVALID', `sync "${sync.id}" is not two-way any more`)
      const resolved = await operations.use((project) => resolveConflict(record, sync, project, body), signal)
      operations.events.emit({
        event: 'conflict.resolved',
        sync: sync.id,
        conflict: String(resolved.id),
        status: resolved.status,
      })
      return { body: await describe(operations, resolved) }
    },
  }),
]

async function describe({ store }: Operations, record: ConflictRecord): Promise<unknown> {
  return printable(conflictObject(record, await keyNames(store.pairs, record.sync)))
}

async function find(operations: Operations, key: ApiKey | null, id: number): Promise<ConflictRecord> {
  const record = await operations.store.pairs.conflicts.get(id)
  if (record !== null && seesSync(operations, key, record.sync)) return record
  throw new SyncError('CONFLICT_UNKNOWN', `there is no conflict ${id}`)
}
