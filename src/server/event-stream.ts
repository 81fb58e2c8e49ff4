/** GET /api/events: what happens, as server-sent events. */
import type { FastifyInstance } from 'fastify'
import { type Operations, projectOf } from '../engine/operations.ts'
import { authenticate, maySee } from './auth.ts'

/** Keeps proxies from taking the silence for the end. */
const BEAT_MS = 15_000
/** A listener that reads slower than things happen is cut off when so much waits for it. */
const MOST_WAITING_BYTES = 1024 * 1024

export function eventStream(app: FastifyInstance, operations: Operations): void {
  app.get(
    '/api/events',
    {
      schema: {
        summary: 'What happens, as it happens (server-sent events)',
        tags: ['events'],
        security: [{ key: [] }],
        description: 'Needs a key with the scope read.',
      },
      onRequest: authenticate(operations.store.records)('read'),
    },
    (request, reply) => {
      const { raw } = reply
      const { apiKey: key } = request
      reply.hijack()
      raw.writeHead(200, {
        'content-type': 'text/event-stream',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
      })
      raw.write(': listening\n\n')
      const beat = setInterval(() => raw.write(': \n\n'), BEAT_MS)
      const unsubscribe = operations.events.subscribe((event) => {
        if (!maySee(key, projectOf(event, operations))) return
        if (raw.writableLength > MOST_WAITING_BYTES) raw.destroy()
        else raw.write(`event: ${event.event}\ndata: ${JSON.stringify(event)}\n\n`)
      })
      const end = () => {
        clearInterval(beat)
        unsubscribe()
        raw.end()
      }
      raw.once('close', end)
      app.server.once('syncline:closing', end)
    },
  )
  // Streams have no end of their own: the server could not close.
  app.addHook('preClose', async () => {
    app.server.emit('syncline:closing')
  })
}
