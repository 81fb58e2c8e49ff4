/** Jobs: what is queued and running. */
import { z } from 'zod'
import { SyncError } from '../../core/error.ts'
import type { Operations } from '../../engine/operations.ts'
import type { ApiKey } from '../../engine/secrets/api-keys.ts'
import { jobObject } from '../../protocol/objects.ts'
import { seesSync, syncsFilter } from '../lookup.ts'
import { pageQuery, readPage } from '../page.ts'
import { type Route, route } from '../route.ts'

const one = z.object({ job: z.string().min(1).max(100) })

export const jobRoutes: readonly Route[] = [
  route({
    method: 'GET',
    url: '/api/jobs',
    summary: 'Jobs, newest first',
    tag: 'jobs',
    scope: 'read',
    query: z.object({
      sync: z.string().max(300).optional(),
      status: z.enum(['queued', 'running', 'succeeded', 'failed', 'held', 'cancelled']).optional(),
      ...pageQuery,
    }),
    answers: { 200: 'JobPage' },
    handle: async ({ operations, query: { sync, status, ...page }, key }) => {
      const filter = { ...syncsFilter(operations, key, sync), ...(status === undefined ? {} : { status }) }
      const { items, next } = await readPage(
        page,
        (before, limit) =>
          operations.store.jobs.list({ ...filter, ...(before === undefined ? {} : { before }), limit }),
        ({ id }) => id,
      )
      return { body: { items: items.map(jobObject), next } }
    },
  }),
  route({
    method: 'GET',
    url: '/api/jobs/:job',
    summary: 'One job',
    tag: 'jobs',
    scope: 'read',
    params: one,
    answers: { 200: 'Job' },
    handle: async ({ operations, params, key }) => ({ body: jobObject(await find(operations, key, params.job)) }),
  }),
  route({
    method: 'POST',
    url: '/api/jobs/:job/cancel',
    summary: 'Takes it out of the queue, or stops it: what it did stays done',
    tag: 'jobs',
    scope: 'operate',
    params: one,
    answers: { 200: 'Job' },
    handle: async ({ operations, params, key }) => {
      await find(operations, key, params.job)
      return { body: jobObject(await operations.service.cancel(params.job)) }
    },
  }),
]

async function find(operations: Operations, key: ApiKey | null, id: string) {
  const job = await operations.store.jobs.get(id)
  if (job !== null && seesSync(operations, key, job.sync)) return job
  throw new SyncError('JOB_UNKNOWN', `there is no job ${id.slice(0, 100)}`)
}
