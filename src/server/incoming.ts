/** POST /webhooks/:connection: a system says that something has changed. Answered at once; many make one run. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { systemClock } from '../engine/clock.ts'
import type { Operations } from '../engine/operations.ts'
import type { DescribedRoute } from './route.ts'
import { receive } from './routes/webhooks.ts'

const params = z.object({ connection: z.string().min(1).max(300) })
/** As it was sent: this is what is signed. */
const body = z.string().nullish()

export const incomingRoute: DescribedRoute = {
  method: 'POST',
  url: '/webhooks/:connection',
  scope: null,
  params,
  body,
  answers: { 202: 'Taken' },
}

export async function incomingWebhooks(app: FastifyInstance, operations: Operations): Promise<void> {
  await app.register(async (scope) => {
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', { parseAs: 'string' }, (_request, text, done) => done(null, text))
    scope.post(
      incomingRoute.url,
      {
        schema: {
          summary: 'A system says that something has changed',
          tags: ['webhooks'],
          description: 'Signed as the connection’s connector says; needs no key.',
          params,
          body,
          consumes: ['*/*'],
        },
      },
      async (request, reply) => {
        const headers = Object.fromEntries(
          Object.entries(request.headers).map(([name, value]) => [name, String(value)]),
        )
        const sent = typeof request.body === 'string' ? request.body : ''
        const { connection } = params.parse(request.params)
        const queued = await receive(operations, connection, { headers, body: sent }, systemClock.now())
        return await reply.code(202).send({ queued: queued.length })
      },
    )
  })
}
