import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { Webhook as Verifier } from 'standardwebhooks'
import { openMemoryStore } from '../../store/sqlite/store.ts'
import { ManualClock, settle } from '../../testing/manual-clock.ts'
import { StoreVault } from '../secrets/vault.ts'
import { readKeys } from '../secrets/vault-keys.ts'
import { Events } from './events.ts'
import { Webhooks } from './outgoing-webhooks.ts'

const folder = mkdtempSync(join(tmpdir(), 'syncline-webhooks-'))
after(() => rmSync(folder, { recursive: true, force: true }))

interface Received {
  readonly headers: Record<string, string>
  readonly body: string
}

async function receiver() {
  const received: Received[] = []
  const state = { answer: 200 }
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    received.push({ headers: request.headers as Record<string, string>, body })
    response.writeHead(state.answer).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    received,
    state,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    [Symbol.asyncDispose]: async () => void server.close(),
  }
}

function world(clock = new ManualClock(Date.now())) {
  const store = openMemoryStore()
  const keys = readKeys(join(folder, `${Math.random()}.key`), {})
  const events = new Events(() => {})
  const make = () =>
    new Webhooks({
      ...{ records: store.records, clock, events },
      vault: new StoreVault(store.records, () => keys),
      random: () => 0.5,
      log: (message) => assert.fail(message),
      projectOf: (event) => ('sync' in event && event.sync === 'red' ? 'red' : null),
    })
  return { store, events, clock, make }
}

/** Real requests take real time: waits until there are so many, moving the clock only as said. */
async function arrive(received: readonly Received[], count: number): Promise<void> {
  const { setTimeout: sleep } = await import('node:timers/promises')
  for (let tries = 0; received.length < count && tries < 500; tries++) {
    await settle()
    await sleep(10)
  }
  assert.equal(received.length, count)
  await sleep(20)
  await settle()
}

const failing = (sync: string) => ({ event: 'sync.failing', sync, failures: 3, error: null }) as const

describe('outgoing webhooks', () => {
  test('are signed by the Standard Webhooks scheme, and go where their events and project say', async () => {
    await using target = await receiver()
    const { events, clock, make } = world()
    const webhooks = make()
    const stop = new AbortController()
    const { webhook, secret } = await webhooks.create({ url: target.url, events: ['sync.failing'], project: 'red' })
    const running = webhooks.run(stop.signal)
    events.emit(failing('blue'))
    events.emit({ event: 'connection.healthy', connection: 'x' })
    events.emit(failing('red'))
    await clock.advance(10)
    await arrive(target.received, 1)
    const [{ headers, body } = { headers: {}, body: '' }] = target.received
    const said = new Verifier(secret).verify(body, headers) as { type: string; data: { sync: string } }
    assert.deepEqual([said.type, said.data.sync], ['sync.failing', 'red'])
    assert.throws(() => new Verifier(secret).verify(`${body} `, headers))
    const [delivery] = await webhooks.deliveries(webhook.id, 10)
    assert.deepEqual([delivery?.status, delivery?.attempts, delivery?.answer], ['delivered', 1, '200'])
    stop.abort()
    await running
  })

  test('are tried again until they are taken, also by the next process, with the same id', async () => {
    await using target = await receiver()
    target.state.answer = 500
    const { events, clock, make } = world()
    const first = make()
    const stop = new AbortController()
    const { webhook } = await first.create({ url: target.url, events: ['*'], project: null })
    const running = first.run(stop.signal)
    events.emit(failing('a'))
    await clock.advance(10)
    await arrive(target.received, 1)
    stop.abort()
    await running
    const next = make()
    const end = new AbortController()
    const going = next.run(end.signal)
    await clock.advance(4000)
    await arrive(target.received, 1)
    target.state.answer = 204
    await clock.advance(2500)
    await arrive(target.received, 2)
    assert.equal(target.received[0]?.headers['webhook-id'], target.received[1]?.headers['webhook-id'])
    const [delivery] = await next.deliveries(webhook.id, 10)
    assert.deepEqual([delivery?.status, delivery?.attempts], ['delivered', 2])
    end.abort()
    await going
  })

  test('are sent by one of several processes, and given up after a day', async () => {
    await using target = await receiver()
    const { events, clock, make } = world()
    const webhooks = make()
    const { webhook } = await webhooks.create({ url: 'http://127.0.0.1:1/', events: ['*'], project: null })
    await webhooks.create({ url: target.url, events: ['*'], project: null })
    const stop = new AbortController()
    const running = [webhooks.run(stop.signal)]
    events.emit(failing('a'))
    await clock.advance(10)
    running.push(make().run(stop.signal), make().run(stop.signal))
    await arrive(target.received, 1)
    const { setTimeout: sleep } = await import('node:timers/promises')
    for (let attempt = 0; attempt < 10; attempt++) {
      clock.set(clock.now() + 82_000_000)
      await clock.advance(1000)
      await sleep(20)
      await settle()
    }
    const [delivery] = await webhooks.deliveries(webhook.id, 10)
    assert.deepEqual([delivery?.status, delivery?.attempts], ['failed', 8])
    assert.equal(target.received.length, 1)
    stop.abort()
    await Promise.all(running)
  })

  test('one that does not answer, and thousands that wait for it, keep nobody else waiting; what is too much fails', async () => {
    await using target = await receiver()
    const hanging = createServer(() => {})
    await new Promise<void>((resolve) => hanging.listen(0, '127.0.0.1', resolve))
    const { store, events, clock, make } = world()
    const webhooks = make()
    const url = `http://127.0.0.1:${(hanging.address() as AddressInfo).port}/`
    const { webhook } = await webhooks.create({ url, events: ['*'], project: null })
    const waiting = { ...{ webhook: webhook.id, event: 'sync.failing', body: '{}', status: 'pending', attempts: 0 } }
    const body = { ...waiting, answer: null, createdAt: clock.now(), nextAt: clock.now() }
    for (let n = 0; n < 5010; n++) {
      const id = `0${String(n).padStart(5, '0')}`
      const nextAt = n < 2000 ? clock.now() + 1e9 : clock.now()
      const record = { kind: 'delivery-pending', id, body: JSON.stringify({ ...body, nextAt }), expiresAt: null }
      await store.records.put(record, 0)
    }
    await webhooks.create({ url: target.url, events: ['*'], project: null })
    const stop = new AbortController()
    const running = webhooks.run(stop.signal)
    await clock.advance(1000)
    events.emit(failing('a'))
    await arrive(target.received, 1)
    events.emit(failing('b'))
    await arrive(target.received, 2)
    const all = await webhooks.deliveries(webhook.id, 10_000)
    const failed = all.filter(({ status }) => status === 'failed')
    assert.deepEqual([all.length, failed.length, failed.at(-1)?.id], [5012, 12, '005000'])
    assert.match(String(failed[0]?.answer), /5000 others were waiting/)
    stop.abort()
    hanging.closeAllConnections()
    await running
    hanging.close()
  })

  test('an address that is none is refused', async () => {
    const webhooks = world().make()
    for (const url of ['ftp://x', 'javascript:alert(1)', 'http://', 'x'])
      await assert.rejects(webhooks.create({ url, events: ['*'], project: null }), { code: 'USAGE_INVALID' })
  })
})
