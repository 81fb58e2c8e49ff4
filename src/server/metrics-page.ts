/** GET /metrics: what a Prometheus reads. */
import type { FastifyInstance } from 'fastify'
import { SyncError } from '../core/error.ts'
import type { authenticate } from './auth.ts'
import type { DescribedRoute } from './route.ts'

export const metricsRoute: DescribedRoute = {
  method: 'GET',
  url: '/metrics',
  scope: 'read',
  answers: { 200: ['text/plain'] },
}

export function metricsPage(
  app: FastifyInstance,
  metrics: () => Promise<{ readonly type: string; readonly text: string }>,
  allow: ReturnType<typeof authenticate>,
): void {
  const schema = {
    summary: 'What a Prometheus reads',
    tags: ['metrics'],
    security: [{ key: [] }],
    description: 'Needs a key of no project with the scope read.',
  }
  app.get(metricsRoute.url, { schema, onRequest: allow('read') }, async (request, reply) => {
    if (request.apiKey?.project != null)
      throw new SyncError('FORBIDDEN', 'metrics are about all projects: a key of one may not read them')
    const { type, text } = await metrics()
    return await reply.type(type).send(text)
  })
}
