/** Whether it lives and works. */
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
]
