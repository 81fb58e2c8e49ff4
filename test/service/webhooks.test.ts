import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, test } from 'node:test'
import { Webhook } from 'standardwebhooks'
import { eventually } from './project.ts'
import { Served } from './served.ts'

const SECRET = `whsec_${Buffer.alloc(32, 5).toString('base64')}`

/** A config with a connector of its own, whose system sends webhooks. */
const config = `
import { defineConfig } from 'syncline'
import { defineConnector, standardWebhook } from 'syncline/connector'
import { sqlite } from 'syncline/sqlite'
import { z } from ${JSON.stringify(import.meta.resolve('zod'))}
const crm = defineConnector({
  name: 'crm',
  config: z.object({ secret: z.string() }),
  syncs: { contacts: { fields: { id: 'integer' }, run: () => [{ id: 1 }, { id: 2 }] } },
  webhook: ({ secret }, request) => standardWebhook(secret, request),
})
export default defineConfig({
  connections: { crm: crm({ secret: ${JSON.stringify(SECRET)} }), copy: sqlite({ file: './copy.db' }) },
  syncs: { contacts: { from: 'crm.contacts', to: 'copy.contacts', schedule: 'webhook' } },
})`

function signed(id: string, body: string, at = new Date()): Record<string, string> {
  return {
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
    'webhook-signature': new Webhook(SECRET).sign(id, at, body),
  }
}

describe('webhooks', () => {
  test('one that the system signed makes a run, of many one, of the same twice one; what is not signed, old or for nobody is refused', async () => {
    await using it = new Served({ config })
    await it.ready()
    const send = async (name: string, headers: Record<string, string>, body: string) =>
      await fetch(`${it.url}/webhooks/${name}`, { method: 'POST', headers, body })
    const body = '{"changed": "contacts"}'
    const first = await send('crm', signed('e1', body), body)
    assert.deepEqual([first.status, await first.json()], [202, { queued: 1 }])
    await eventually(
      () => it.service.lines.some(({ event, sync }) => event === 'run.finished' && sync === 'contacts'),
      'the run',
    )
    assert.deepEqual(it.project.query('copy.db', 'select count(*) as n from contacts')[0]?.n, 2)
    assert.deepEqual(await (await send('crm', signed('e1', body), body)).json(), { queued: 0 })
    const refused = [
      await send('crm', signed('e2', body), `${body} `),
      await send('crm', {}, body),
      await send('crm', signed('e3', body, new Date(Date.now() - 3_600_000)), body),
      await send('copy', signed('e4', body), body),
      await send('nobody', signed('e5', body), body),
    ]
    assert.deepEqual(
      refused.map(({ status }) => status),
      [401, 401, 401, 401, 401],
    )
    const ended = () => it.service.lines.filter(({ event }) => event === 'job.ended').length
    const before = ended()
    await Promise.all(Array.from({ length: 40 }, (_, n) => send('crm', signed(`many${n}`, body), body)))
    await eventually(() => ended() > before, 'the runs')
    assert.ok(ended() - before < 20, `${ended() - before} runs`)
  })

  test('events are sent to an address that was named, signed with its secret', async () => {
    const received: { readonly headers: Record<string, string>; readonly body: string }[] = []
    const target = createServer(async (request, response) => {
      let body = ''
      for await (const chunk of request) body += String(chunk)
      received.push({ headers: request.headers as Record<string, string>, body })
      response.writeHead(200).end()
    })
    await new Promise<void>((resolve) => target.listen(0, '127.0.0.1', resolve))
    try {
      await using it = new Served()
      const api = await it.ready()
      const url = `http://127.0.0.1:${(target.address() as AddressInfo).port}/`
      const unknown = await api.post('/api/webhooks', { url, events: ['*', 'run.finnished'] })
      assert.deepEqual([unknown.status, unknown.body.code], [400, 'USAGE_INVALID'])
      assert.match(unknown.text, /did you mean \\"run.finished\\"\?.*The events are .*config\.changed/)
      assert.deepEqual((await api.get('/api/webhooks')).body.items, [])
      const made = await api.post('/api/webhooks', { url, events: ['run.finished'] })
      assert.equal(made.status, 201, made.text)
      assert.ok(!(await api.get('/api/webhooks')).text.includes('whsec_'))
      await api.post('/api/syncs/orders/run')
      await eventually(() => received.length > 0, 'the event')
      const said = new Webhook(String(made.body.secret)).verify(
        received[0]?.body ?? '',
        received[0]?.headers ?? {},
      ) as Record<string, unknown>
      assert.equal(said.type, 'run.finished')
      await eventually(
        async () =>
          ((await api.get(`/api/webhooks/${made.body.id}/deliveries`)).body.items ?? [])[0]?.status === 'delivered',
        'the delivery',
      )
      assert.equal((await api.call('DELETE', `/api/webhooks/${made.body.id}`)).status, 204)
    } finally {
      target.close()
    }
  })
})
