import assert from 'node:assert/strict'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import Fastify from 'fastify'
import { systemClock } from '../engine/clock.ts'
import { Events } from '../engine/observe/events.ts'
import { SharedEvents } from '../engine/observe/shared-events.ts'
import { createKey, deleteKey } from '../engine/secrets/api-keys.ts'
import { openMemoryStore } from '../store/sqlite/store.ts'
import { eventStream } from './event-stream.ts'

async function listening() {
  const store = openMemoryStore()
  const app = Fastify({ forceCloseConnections: 'idle' })
  app.decorateRequest('apiKey', null)
  const events = new Events(() => {})
  const alone = { topic: async () => null, clock: systemClock, log: () => {}, catchUp: async () => {} }
  const sharedEvents = new SharedEvents({ events, ...alone })
  eventStream(app, { store, sharedEvents, sync: () => null, connections: () => [] }, 10)
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { key, text } = await createKey(store.records, { name: 'a', scope: 'read', project: null }, 0)
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/api/events`
  const listen = (signal?: AbortSignal) =>
    fetch(url, { headers: { authorization: `Bearer ${text}` }, ...(signal === undefined ? {} : { signal }) })
  return { app, store, key, listen }
}

test('a stream ends when its key was taken away, and when the server closes', async () => {
  const { app, store, key, listen } = await listening()
  const stream = await listen()
  await deleteKey(store.records, key.id)
  assert.match(await stream.text(), /^: listening/)
  await app.close()
  const other = await listening()
  const open = await other.listen()
  await other.app.close()
  assert.match(await open.text(), /^: listening/)
})

test('streams that ended leave nothing behind, and many of them are no leak', async () => {
  const { app, listen } = await listening()
  const warnings: Error[] = []
  const warn = (warning: Error) => void warnings.push(warning)
  process.on('warning', warn)
  for (let n = 0; n < 15; n++) {
    const stop = new AbortController()
    await (await listen(stop.signal)).body?.getReader().read()
    stop.abort()
  }
  await new Promise((resolve) => setTimeout(resolve, 50))
  process.off('warning', warn)
  await app.close()
  assert.deepEqual(
    warnings.filter(({ name }) => name === 'MaxListenersExceededWarning').map(({ message }) => message),
    [],
  )
})
