import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, test } from 'node:test'
import { z } from 'zod'
import { eventually, ServiceProject } from './project.ts'

const CANARY = 'canary-91d2c7'
const connections = {
  shop: { connector: 'sqlite', file: './shop.db', track: 'triggers' },
  copy: { connector: 'sqlite', file: './copy.db' },
}
const syncs = {
  orders: { from: 'shop.orders', to: 'copy', every: '200ms' },
  totals: {
    from: 'shop.orders',
    to: 'copy.totals',
    fields: { id: 'id', total: { from: 'total', type: 'integer' } },
    every: '200ms',
  },
}

const attribute = z.object({ key: z.string(), value: z.record(z.string(), z.unknown()) })
const span = z.object({
  traceId: z.string().length(32),
  spanId: z.string().length(16),
  parentSpanId: z.string().optional(),
  name: z.string(),
  startTimeUnixNano: z.string(),
  endTimeUnixNano: z.string(),
  attributes: z.array(attribute),
  status: z.object({ code: z.number().optional(), message: z.string().optional() }),
})
const line = z.object({
  severityText: z.string(),
  body: z.object({ stringValue: z.string() }),
  attributes: z.array(attribute),
  traceId: z.string().optional(),
})
const tracesBody = z.object({
  resourceSpans: z.array(
    z.object({
      resource: z.object({ attributes: z.array(attribute) }),
      scopeSpans: z.array(z.object({ spans: z.array(span) })),
    }),
  ),
})
const logsBody = z.object({
  resourceLogs: z.array(z.object({ scopeLogs: z.array(z.object({ logRecords: z.array(line) })) })),
})

/** A collector that takes OTLP as JSON. */
class Collector implements Disposable {
  readonly spans: z.infer<typeof span>[] = []
  readonly lines: z.infer<typeof line>[] = []
  readonly resources: z.infer<typeof attribute>[][] = []
  text = ''
  readonly #server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    this.text += body
    this.#take(request.url ?? '', JSON.parse(body))
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
  })

  async open(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`
  }

  /** Attributes of the spans of a name, of one sync. */
  runs(sync: string): readonly Readonly<Record<string, unknown>>[] {
    return this.spans
      .filter(({ name }) => name === 'run')
      .map(({ attributes }) => plain(attributes))
      .filter((attributes) => attributes['syncline.sync'] === sync)
  }

  [Symbol.dispose](): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }

  #take(path: string, body: unknown): void {
    if (path === '/v1/traces') {
      for (const { resource, scopeSpans } of tracesBody.parse(body).resourceSpans) {
        this.resources.push(resource.attributes)
        for (const { spans } of scopeSpans) this.spans.push(...spans)
      }
    } else if (path === '/v1/logs') {
      for (const { scopeLogs } of logsBody.parse(body).resourceLogs)
        for (const { logRecords } of scopeLogs) this.lines.push(...logRecords)
    }
  }
}

function plain(attributes: readonly z.infer<typeof attribute>[]): Readonly<Record<string, unknown>> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))
}

function projectTelling(url: string): ServiceProject {
  const it = new ServiceProject({ connections, syncs }, { MONITORING_URL: url, SYNC_PORT: '0' })
  it.change(
    'shop.db',
    `create table orders (id integer primary key, total text); insert into orders values (1, '${CANARY}'), (2, '5')`,
  )
  return it
}

describe('with MONITORING_URL', () => {
  test('a span per run with its attempts and batches, and the lines of the log, are sent as OTLP, without rows', async () => {
    using collector = new Collector()
    using it = projectTelling(await collector.open())
    const service = it.start('start', '--no-server')
    await service.event('run.finished', ({ sync }) => sync === 'orders')
    await service.event('run.finished', ({ sync }) => sync === 'totals')
    service.kill('SIGINT')
    assert.equal((await service.end()).code, 0)

    const [orders] = collector.runs('orders')
    assert.deepEqual([orders?.['syncline.status'], Number(orders?.['syncline.inserted'])], ['succeeded', 2])
    assert.ok(orders?.['syncline.run'] !== undefined && orders['syncline.job'] !== undefined)
    const [totals] = collector.runs('totals')
    assert.deepEqual([totals?.['syncline.status'], totals?.['error.type']], ['failed', 'ROWS_REJECTED'])
    const run = collector.spans.find(({ attributes }) => plain(attributes)['syncline.run'] === orders['syncline.run'])
    const attempt = collector.spans.find(({ parentSpanId }) => parentSpanId === run?.spanId)
    const batch = collector.spans.find(({ parentSpanId }) => parentSpanId === attempt?.spanId)
    assert.deepEqual([attempt?.name, batch?.name, batch?.traceId], ['attempt', 'batch', run?.traceId])
    assert.ok(collector.spans.every((one) => BigInt(one.endTimeUnixNano) >= BigInt(one.startTimeUnixNano)))
    assert.equal(plain(collector.resources[0] ?? [])['service.name'], 'syncline')
    const failed = collector.lines.find(({ attributes }) => plain(attributes).event === 'run.failed')
    assert.deepEqual([failed?.severityText, failed?.traceId?.length], ['error', 32])
    assert.ok(!collector.text.includes(CANARY))
  })

  test('a collector that nobody reaches, or that never answers, fails no run and keeps no process from ending', async () => {
    const silent = createServer(() => {})
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    try {
      for (const url of ['http://127.0.0.1:1', `http://127.0.0.1:${(silent.address() as AddressInfo).port}`]) {
        using it = projectTelling(url)
        const service = it.start('start', '--no-server')
        await eventually(
          () => service.lines.filter(({ event, sync }) => event === 'job.ended' && sync === 'orders').length > 3,
          'runs',
        )
        service.kill('SIGINT')
        const { code, lines } = await service.end()
        assert.equal(code, 0)
        const runs = lines.filter(({ event, sync }) => event === 'run.finished' && sync === 'orders')
        assert.ok(runs.every(({ status }) => status === 'succeeded'))
      }
    } finally {
      silent.closeAllConnections()
      silent.close()
    }
  })

  test('what is no URL is refused', async () => {
    using it = projectTelling('collector:4318')
    const { code, stderr } = await it.run('start')
    assert.deepEqual([code, /MONITORING_URL is no http/.test(stderr)], [2, true])
  })
})
