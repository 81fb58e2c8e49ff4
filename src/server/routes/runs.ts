/** Runs: the history, and letting held ones go on. */
import { z } from 'zod'
import { SyncError } from '../../core/error.ts'
import { systemClock } from '../../engine/clock.ts'
import type { ApiKey } from '../../engine/keys.ts'
import type { Operations } from '../../engine/operations.ts'
import { runObject } from '../../protocol/objects.ts'
import { seesSync } from '../lookup.ts'
import { type Route, route } from '../route.ts'

const one = z.object({ run: z.string().min(1).max(100) })

export const runRoutes: readonly Route[] = [
  route({
    method: 'GET',
    url: '/api/runs',
    summary: 'The history, newest first',
    tag: 'runs',
    scope: 'read',
    query: z.object({
      sync: z.string().max(300).optional(),
      status: z.enum(['running', 'succeeded', 'failed', 'held', 'interrupted']).optional(),
      limit: z.coerce.number().int().min(1).max(1000).default(100),
    }),
    handle: async ({ operations, query: { sync, status, limit }, key }) => {
      const filter = { ...(sync === undefined ? {} : { sync }), ...(status === undefined ? {} : { status }) }
      // A key of one project sees few of them: its page is cut from a longer one.
      const runs = await operations.store.runs.list({ ...filter, limit: key?.project === null ? limit : 10_000 })
      const visible = runs.filter((run) => seesSync(operations, key, run.sync)).slice(0, limit)
      return { body: { items: visible.map(runObject) } }
    },
  }),
  route({
    method: 'GET',
    url: '/api/runs/:run',
    summary: 'One run',
    tag: 'runs',
    scope: 'read',
    params: one,
    handle: async ({ operations, params, key }) => ({ body: runObject(await find(operations, key, params.run)) }),
  }),
  route({
    method: 'POST',
    url: '/api/runs/:run/release',
    summary: 'Lets the deletions of a held run go on',
    tag: 'runs',
    scope: 'operate',
    params: one,
    handle: async ({ operations, params, key }) => {
      await find(operations, key, params.run)
      const released = await operations.store.runs.release(params.run, systemClock.now())
      await operations.service.trigger(released.sync, 'high')
      return { body: runObject(released) }
    },
  }),
]

async function find({ store, ...operations }: Operations, key: ApiKey | null, id: string) {
  const run = await store.runs.get(id)
  if (run !== null && seesSync({ store, ...operations }, key, run.sync)) return run
  throw new SyncError('RUN_UNKNOWN', `there is no run ${id.slice(0, 100)}`)
}
