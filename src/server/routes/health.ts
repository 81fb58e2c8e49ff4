/** Whether it lives and works, and what it is connected to. */
import { z } from 'zod'
import { asSyncError } from '../../core/error.ts'
import { maySee } from '../auth.ts'
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
      body: { items: operations.connections().filter(({ project }) => maySee(key, project)) },
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
      const known = operations
        .connections()
        .find((connection) => connection.name === name && maySee(key, connection.project))
      if (known === undefined)
        throw nothing(
          'CONNECTION_UNKNOWN',
          'connection',
          name,
          operations
            .connections()
            .filter(({ project }) => maySee(key, project))
            .map((connection) => connection.name),
        )
      try {
        const collections = await operations.use(
          async (project) => (await (await project.connection(name)).discover()).length,
          signal,
        )
        return { body: { name, healthy: true, collections } }
      } catch (error) {
        const { code, message, hint } = asSyncError(error)
        return { body: { name, healthy: false, error: { code, message, hint } } }
      }
    },
  }),
]
