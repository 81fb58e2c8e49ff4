/** Whether it lives and works. */
import { type Route, route } from '../route.ts'

export const healthRoutes: readonly Route[] = [
  route({
    method: 'GET',
    url: '/api/health',
    summary: 'Whether the process lives, and whether the catalogue answers, if one is asked',
    tag: 'health',
    scope: null,
    answers: { 200: 'Health' },
    handle: async ({ operations: { catalogue } }) => {
      // Without it all works, and nobody waits for it.
      catalogue?.refresh()
      return { body: { status: 'ok', ...(catalogue === null ? {} : { details: { catalogue: catalogue.status } }) } }
    },
  }),
  route({
    method: 'GET',
    url: '/api/ready',
    summary: 'Whether it can work: its store answers',
    tag: 'health',
    scope: null,
    answers: { 200: 'Ready', 503: 'NotReady' },
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
