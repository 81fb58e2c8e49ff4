import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net'
import { test } from 'node:test'
import type { Api } from './api.ts'
import { eventually } from './project.ts'
import { Served } from './served.ts'
import { Stream, type Told } from './stream.ts'

const connections = (gonePort: number) => ({
  shop: { connector: 'sqlite', file: './shop.db', track: 'triggers' },
  copy: { connector: 'sqlite', file: './copy.db' },
  crm: { connector: 'sqlite', file: './crm.db' },
  gone: { connector: 'postgres', url: `postgres://u:p@127.0.0.1:${gonePort}/x?sslmode=require` },
})
const syncs = {
  orders: { from: 'shop.orders', to: 'copy', schedule: 'manual' },
  totals: {
    from: 'shop.orders',
    to: 'copy.totals',
    fields: { id: 'id', total: { from: 'total', type: 'integer' } },
    schedule: 'manual',
  },
  lost: { from: 'gone.public.orders', to: 'copy.lost', schedule: 'manual' },
  contacts: {
    between: ['crm.contacts', 'shop.contacts'],
    match: ['email'],
    fields: { email: 'email', name: 'name' },
    schedule: 'manual',
  },
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

async function run(api: Api, sync: string): Promise<void> {
  const { body } = await api.post(`/api/syncs/${sync}/run`)
  const ended = async () =>
    ['succeeded', 'failed', 'held'].includes(String((await api.get(`/api/jobs/${body.id}`)).body.status))
  await eventually(ended, `the end of ${sync}`)
}

test('every step is told over the stream, on standard output and to webhooks that asked for it, without a row’s values', async () => {
  const received: Told[] = []
  const target = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    received.push((JSON.parse(body) as { data: Told }).data)
    response.writeHead(200).end()
  })
  // A server that has no TLS: there is no use in trying again at once.
  const gone = createTcpServer((socket) => socket.on('error', () => {}).once('data', () => socket.end('N')))
  try {
    const [port, gonePort] = [await listen(target), await listen(gone)]
    await using it = new Served({ config: { connections: connections(gonePort), syncs } })
    const api = await it.ready()
    using stream = await new Stream().open(it.url, it.key)
    const url = `http://127.0.0.1:${port}/`
    await api.post('/api/webhooks', { url, events: ['batch.applying', 'conflict.opened'] })

    it.project.change('shop.db', "update orders set total = 'canary-total' where id = 1")
    await run(api, 'orders')
    assert.deepEqual(
      stream.told.map(({ event }) => event).filter((event) => !['run.progress', 'config.changed'].includes(event)),
      [
        ...['sync.starting', 'run.started', 'sync.started', 'run.schema', 'schema.changed'],
        ...['batch.applying', 'batch.applied', 'run.finished', 'job.ended'],
      ],
    )
    assert.ok(stream.of('run.progress', 'orders').length > 0)
    const [started] = stream.of('sync.started', 'orders')
    const [applied] = stream.of('batch.applied', 'orders')
    assert.deepEqual([applied?.run, applied?.batch, applied?.inserted], [started?.run, 1, 2])

    await run(api, 'totals')
    assert.deepEqual(
      stream.of('row.rejected', 'totals').map(({ code }) => code),
      ['VALUE_REFUSED', 'VALUE_REFUSED'],
    )
    const [failed] = stream.of('run.failed', 'totals')
    assert.match(JSON.stringify(failed?.error), /ROWS_REJECTED/)

    it.project.change(
      'shop.db',
      "with recursive n(id) as (select 3 union all select id + 1 from n where id < 60) insert into orders select id, 'x' from n",
    )
    await run(api, 'orders')
    it.project.change('shop.db', 'delete from orders where id > 2')
    await run(api, 'orders')
    const [held] = stream.of('run.held', 'orders')
    assert.match(JSON.stringify(held?.error), /GUARD_HELD/)
    assert.equal(stream.of('run.failed', 'orders').length, 0)

    await run(api, 'contacts')
    it.project.change('shop.db', "update contacts set name = 'canary-left' where email = 'a@x'")
    it.project.change('crm.db', "update contacts set name = 'canary-right' where email = 'a@x'")
    await run(api, 'contacts')
    const [opened] = stream.of('conflict.opened', 'contacts')
    assert.deepEqual([opened?.status, opened?.fields, opened?.kind], ['open', ['name'], 'fields'])
    assert.equal((await api.post(`/api/conflicts/${opened?.conflict}/resolve`, { take: 'left' })).status, 200)
    await run(api, 'contacts')
    assert.deepEqual(
      stream.of('conflict.resolved', 'contacts').map(({ conflict, status }) => [conflict, status]),
      [
        [opened?.conflict, 'decided'],
        [opened?.conflict, 'resolved'],
      ],
    )

    for (let attempt = 0; attempt < 3; attempt++) await run(api, 'lost')
    await eventually(() => stream.told.some(({ event }) => event === 'connection.unhealthy'), 'the open circuit')
    assert.equal(stream.told.find(({ event }) => event === 'connection.unhealthy')?.connection, 'gone')

    await eventually(() => received.some(({ event }) => event === 'conflict.opened'), 'the webhook')
    assert.deepEqual([...new Set(received.map(({ event }) => event))].sort(), ['batch.applying', 'conflict.opened'])
    const printed = new Set(it.service.lines.map(({ event }) => event))
    for (const { event } of stream.told) assert.ok(printed.has(event), `${event} is on standard output`)
    assert.doesNotMatch(JSON.stringify([stream.told, it.service.lines, received]), /canary/)
  } finally {
    target.close()
    gone.close()
  }
})
