/** GET /api/events: what happens, as server-sent events. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { type Operations, projectOf } from '../engine/operations.ts'
import { type ApiKey, keyStands } from '../engine/secrets/api-keys.ts'
import { authenticate, maySee } from './auth.ts'
import type { DescribedRoute } from './route.ts'

type EventSource = Pick<Operations, 'store' | 'sharedEvents' | 'sync' | 'connections'>

export const eventsRoute: DescribedRoute = {
  method: 'GET',
  url: '/api/events',
  scope: 'read',
  answers: { 200: ['text/event-stream'] },
}

/** Keeps proxies from taking the silence for the end, and is when the key is looked at again. */
const BEAT_MS = 15_000
/** A listener that reads slower than things happen is cut off when so much waits for it. */
const MOST_WAITING_BYTES = 1024 * 1024
/** The head waits for so long at most until other processes are heard, too. */
const HEARING_MS = 2000

export function eventStream(app: FastifyInstance, operations: EventSource, beatMs = BEAT_MS): void {
  const ends = new Set<() => void>()
  app.get(
    eventsRoute.url,
    {
      schema: {
        summary: 'What happens, as it happens (server-sent events)',
        tags: ['events'],
        security: [{ key: [] }],
        description: 'Needs a key with the scope read.',
      },
      onRequest: authenticate(operations.store.records)('read'),
    },
    async (request, reply) => {
      const { raw } = reply
      const { apiKey: key } = request
      reply.hijack()
      raw.writeHead(200, {
        'content-type': 'text/event-stream',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
      })
      const beat = setInterval(async () => {
        if (!(await mayListen(operations, key))) end()
        // It may have ended meanwhile.
        else if (!raw.writableEnded) raw.write(': \n\n')
      }, beatMs)
      const subscription = operations.sharedEvents.subscribe((event) => {
        if (!maySee(key, projectOf(event, operations))) return
        if (raw.writableLength > MOST_WAITING_BYTES) raw.destroy()
        else raw.write(`event: ${event.event}\ndata: ${JSON.stringify(event)}\n\n`)
      })
      const end = () => {
        clearInterval(beat)
        subscription[Symbol.dispose]()
        ends.delete(end)
        raw.end()
      }
      raw.once('close', end)
      ends.add(end)
      await Promise.race([subscription.hearing, sleep(HEARING_MS, undefined, { ref: false })])
      if (!raw.writableEnded) raw.write(': listening\n\n')
    },
  )
  // Streams have no end of their own: the server could not close.
  app.addHook('preClose', async () => {
    for (const end of ends) end()
  })
}

/** A store that can't be asked lets nobody listen. */
async function mayListen({ store }: EventSource, key: ApiKey | null): Promise<boolean> {
  return key !== null && (await keyStands(store.records, key).catch(() => false))
}
