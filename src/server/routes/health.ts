/** Whether it lives and works, and what it is connected to. */
import { z } from 'zod'
import { asSyncError } from '../../core/error.ts'
import { failureOf } from '../../core/run.ts'
import type { ApiKey } from '../../engine/keys.ts'
import type { Operations } from '../../engine/operations.ts'
import { nothing } from '../lookup.ts'
import { type Route, route } from '../route.ts'

export const healthRoutes: readonly Route[] = [
  route({
    method: 'GET',
    url: '/api/health',
    summary: 'Whether the process lives',
    tag: 'health',
    scope: null,
    handle: async () => ({ body: { status: 'ok' } }),
  }),
  route({
    method: 'GET',
    url: '/api/ready',
    summary: 'Whether it can work: its store answers',
    tag: 'health',
    scope: null,
    handle: async ({ operations }) => {
      try {
        const { queued, running } = await operations.store.jobs.count()
        return { body: { status: 'ready', queued, running } }
      } catch {
        return { status: 503, body: { status: 'not ready' } }
      }
    },
  }),
  route({
    method: 'GET',
    url: '/api/connections',
    summary: 'The connections that the key may see',
    tag: 'connections',
    scope: 'read',
    handle: async ({ operations, key }) => ({
      body: { items: visible(operations, key).map(({ name, connector }) => ({ name, connector })) },
    }),
  }),
  route({
    method: 'POST',
    url: '/api/connections/:name/check',
    summary: 'Opens a connection and looks what is there',
    tag: 'connections',
    scope: 'operate',
    params: z.object({ name: z.string() }),
    handle: async ({ operations, params: { name }, key, signal }) => {
      const names = visible(operations, key).map((connection) => connection.name)
      if (!names.includes(name)) throw nothing('CONNECTION_UNKNOWN', 'connection', name, names)
      try {
        const collections = await operations.use(
          async (project) => (await (await project.connection(name)).discover()).length,
          signal,
        )
        return { body: { name, healthy: true, collections } }
      } catch (error) {
        return { body: { name, healthy: false, error: failureOf(asSyncError(error)) } }
      }
    },
  }),
]

function visible(operations: Operations, key: ApiKey | null) {
  const project = key?.project ?? null
  return operations.connections().filter(({ projects }) => project === null || projects.includes(project))
}
