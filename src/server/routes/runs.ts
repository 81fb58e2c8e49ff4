/** Runs: the history, and letting held ones go on. */
import { z } from 'zod'
import { SyncError } from '../../core/error.ts'
import { systemClock } from '../../engine/clock.ts'
import type { Operations } from '../../engine/operations.ts'
import type { ApiKey } from '../../engine/secrets/api-keys.ts'
import { runObject } from '../../protocol/objects.ts'
import { seesSync, syncsFilter, visibleSync } from '../lookup.ts'
import { pageQuery, readPage } from '../page.ts'
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
      ...pageQuery,
    }),
    answers: { 200: 'RunPage' },
    handle: async ({ operations, query: { sync, status, ...page }, key }) => {
      const { runs } = operations.store
      // The run that a page ended with may be forgotten by the time that the next is asked for.
      if (page.after !== undefined && (await runs.get(page.after)) === null) throw unknown(page.after)
      const filter = { ...syncsFilter(operations, key, sync), ...(status === undefined ? {} : { status }) }
      const { items, next } = await readPage(
        page,
        (before, limit) => runs.list({ ...filter, ...(before === undefined ? {} : { before }), limit }),
        ({ id }) => id,
      )
      return { body: { items: items.map(runObject), next } }
    },
  }),
  route({
    method: 'GET',
    url: '/api/runs/:run',
    summary: 'One run',
    tag: 'runs',
    scope: 'read',
    params: one,
    answers: { 200: 'Run' },
    handle: async ({ operations, params, key }) => ({ body: runObject(await find(operations, key, params.run)) }),
  }),
  route({
    method: 'POST',
    url: '/api/runs/:run/release',
    summary: 'Lets the deletions of a held run go on',
    tag: 'runs',
    scope: 'operate',
    params: one,
    answers: { 200: 'Run' },
    handle: async ({ operations, params, key }) => {
      const { sync } = await find(operations, key, params.run)
      // One that is not there, or set aside, could not be run.
      const known = visibleSync(operations, key, sync)
      if (key !== null) await operations.askForRun(known, key)
      const released = await operations.store.runs.release(params.run, systemClock.now())
      await operations.service.trigger(released.sync, 'high', { key })
      return { body: runObject(released) }
    },
  }),
]

async function find({ store, ...operations }: Operations, key: ApiKey | null, id: string) {
  const run = await store.runs.get(id)
  if (run !== null && seesSync({ store, ...operations }, key, run.sync)) return run
  throw unknown(id)
}

function unknown(id: string): SyncError {
  return new SyncError('RUN_UNKNOWN', `there is no run ${id.slice(0, 100)}`)
}
