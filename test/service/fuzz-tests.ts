/** Every route with random and hostile input, on any store: it answers, and never with a failure of its own. `SYNCLINE_FUZZ_RUNS` says how often each route is called. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Api } from './api.ts'
import { CANARY, Crm } from './crm.ts'
import { Served } from './served.ts'

const runs = Number(process.env.SYNCLINE_FUZZ_RUNS ?? 20)

const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constantFrom(
    'orders',
    'contacts',
    'acme',
    'ours',
    'greet',
    '..',
    '../../etc/passwd',
    '%00',
    '\u0000',
    "' or 1=1 --",
    '__proto__',
    'constructor',
    '9'.repeat(400),
    '-1',
    'NaN',
    '\ud800',
    '*',
    '{{7*7}}',
  ),
)
const json = fc.oneof(
  fc.json({ maxDepth: 5, noUnicodeString: false } as never),
  fc.constantFrom(
    '{',
    '[]',
    'null',
    '""',
    '{"__proto__":{"x":1}}',
    '['.repeat(5000),
    `{"a":"${'x'.repeat(10_000)}"}`,
    '1e999',
    '\u0000',
    '{"name":{"$gt":""}}',
  ),
  fc
    .record({ name: text, scope: fc.constantFrom('read', 'x'), project: fc.oneof(text, fc.constant(null)) })
    .map((value) => JSON.stringify(value)),
  fc
    .record({
      from: text,
      to: text,
      fields: fc.anything(),
      where: fc.anything(),
      schedule: fc.oneof(text, fc.anything()),
    })
    .map((value) => safely(value)),
  fc
    .record({ name: text, integration: text, config: fc.anything(), activeSyncs: fc.anything() })
    .map((value) => safely(value)),
  fc.record({ input: fc.anything() }).map((value) => safely(value)),
  fc
    .record({ between: fc.array(text), match: fc.anything(), onConflict: text, fields: fc.anything() })
    .map((value) => safely(value)),
  fc
    .record({
      project_id: text,
      sync_type: fc.constantFrom('pull', 'push', 'bidirectional', 'x'),
      source_platform: text,
      target_entity: text,
      schedule: text,
    })
    .map((value) => JSON.stringify(value)),
)

/** As it stands in an address: whatever the client sends. */
const segment = fc.oneof(
  { weight: 4, arbitrary: text.map((part) => encodeURIComponent(part.toWellFormed()) || 'x') },
  fc.constantFrom('%00', 'n%00', '%F0%9F', '%', '%zz', 'x'.repeat(600), '%41'.repeat(200)),
)
const asked = fc.oneof(
  text,
  fc.constantFrom('sync', 'after', 'status', 'connection', 'integration', 'project', 'format', 'limit'),
)

/** `store`: what `SYNCLINE_STORE` says. */
export function fuzzTests(
  name: string,
  open: () => Promise<AsyncDisposable & { readonly store: string | null }>,
): void {
  test(`on ${name} each route answers ${runs} random and hostile requests, with 4xx at the worst, and goes on`, async () => {
    await using place = await open()
    await fuzz(place.store === null ? {} : { SYNCLINE_STORE: place.store })
  })
}

async function fuzz(environment: Readonly<Record<string, string>>): Promise<void> {
  await using crm = await new Crm().start()
  await using it = new Served({ config: crm.config() }, environment)
  const api = await it.ready()
  await api.post('/api/connections', { name: 'acme', integration: 'ours', config: { token: CANARY } })
  const { body } = await api.get('/openapi.json')
  const routes = Object.entries(body.paths as Record<string, object>).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => ({ path, method })),
  )
  assert.ok(routes.length > 15)
  for (const { path, method } of routes.filter((route) => route.path !== '/api/events'))
    await refusesNul(api, path, method)
  await refusesProto(api)
  const seed = Number(process.env.SYNCLINE_SIMULATION_SEED ?? 1)
  const request = fc.record({
    segment,
    query: fc.dictionary(asked, text, { maxKeys: 3 }),
    body: json,
    type: fc.constantFrom('application/json', 'text/plain', 'application/xml'),
    key: text,
  })
  for (const { path, method } of routes.filter((route) => route.path !== '/api/events')) {
    await fc.assert(
      fc.asyncProperty(request, async (sent) => {
        const concrete = path.replace(/\{\w+\}/g, sent.segment)
        const query = new URLSearchParams(sent.query).toString()
        const answer = await fetch(`${it.url}${concrete}?${query}`, {
          method: method.toUpperCase(),
          headers: {
            authorization: `Bearer ${it.key}`,
            'content-type': sent.type,
            ...(/^[\x21-\x7e]+$/.test(sent.key) ? { 'idempotency-key': sent.key } : {}),
          },
          ...(method === 'get' ? {} : { body: sent.body }),
          signal: AbortSignal.timeout(10_000),
        })
        const said = await answer.text()
        assert.ok(
          answer.status < 500,
          `${method} ${concrete} with ${sent.body.slice(0, 300)}: ${answer.status} ${said.slice(0, 500)}`,
        )
        if (answer.status >= 400) assert.match(answer.headers.get('content-type') ?? '', /problem\+json/)
      }),
      { numRuns: runs, seed },
    )
  }
  const long = await api.post('/api/keys', { name: 'x'.repeat(2_000_000), scope: 'read' })
  assert.equal(long.status, 413)
  assert.equal((await api.get('/api/health')).status, 200)
}

/** In the address, in the query, and in the body. */
async function refusesNul(api: Api, path: string, method: string): Promise<void> {
  const holdsName = path.includes('{')
  const body = method === 'get' ? undefined : { name: 'x' }
  const answers = [
    ...(holdsName ? [await api.call(method.toUpperCase(), path.replace(/\{\w+\}/g, 'n%00'), body)] : []),
    await api.call(method.toUpperCase(), `${path.replace(/\{\w+\}/g, 'n')}?sync=%00&after=%00`, body),
    ...(body === undefined
      ? []
      : [await api.call(method.toUpperCase(), path.replace(/\{\w+\}/g, 'n'), { name: 'a\0' })]),
  ]
  for (const { status, type, text } of answers) {
    if (path.startsWith('/webhooks/')) assert.ok(status < 500, text)
    else assert.equal(status, 400, `${method} ${path}: ${text}`)
    assert.match(type, /problem\+json/)
  }
}

/** As a name it would be dropped without a word. */
async function refusesProto(api: Api): Promise<void> {
  const sync = { from: 'acme.contacts', to: 'copy.x', schedule: 'manual' }
  const made = { name: '__proto__', integration: 'ours', config: { token: CANARY } }
  const schedules = '{"schedules":{"__proto__":"1h"}}'
  const answers = [
    await api.call('PUT', '/api/syncs/__proto__', sync),
    await api.post('/api/connections', made),
    await api.call('PUT', '/api/connections/acme', schedules, { 'content-type': 'application/json' }),
  ]
  assert.deepEqual(
    answers.map(({ status }) => status),
    [422, 422, 400],
    JSON.stringify(answers),
  )
}

function safely(value: unknown): string {
  return JSON.stringify(value, (_name, part: unknown) => (typeof part === 'bigint' ? String(part) : part)) ?? 'null'
}
