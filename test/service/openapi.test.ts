/** The description of the API: it says what is answered, and a program can read it. What is answered is held against it by `Api`. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { z } from 'zod'
import { syncSchema } from '../../src/config/sync-schema.ts'
import { twoWaySchema } from '../../src/config/two-way-schema.ts'
import { isRemembered } from '../../src/server/idempotency.ts'
import { describedRoutes } from '../../src/server/routes/index.ts'
import { assertDescribed } from './described.ts'
import { Served } from './served.ts'

const content = z.record(z.string(), z.strictObject({ schema: z.looseObject({}) }))
const reference = z.strictObject({ $ref: z.string() })
const response = z.strictObject({ description: z.string().min(1), content: content.optional() })
const parameter = z.strictObject({
  name: z.string().min(1),
  in: z.enum(['query', 'path', 'header']),
  required: z.boolean(),
  description: z.string().optional(),
  schema: z.looseObject({}),
})
const operation = z.strictObject({
  summary: z.string().min(1),
  description: z.string().optional(),
  tags: z.array(z.string()).length(1),
  security: z.array(z.strictObject({ key: z.tuple([]) })).optional(),
  parameters: z.array(parameter).optional(),
  requestBody: z.strictObject({ required: z.boolean(), content, description: z.string().optional() }).optional(),
  responses: z.record(z.string().regex(/^([2-5]\d\d|default)$/), z.union([reference, response])),
})
/** As far as OpenAPI 3.1 goes that is used here. */
const description = z.strictObject({
  openapi: z.literal('3.1.0'),
  info: z.strictObject({ title: z.string(), version: z.string(), description: z.string() }),
  components: z.strictObject({
    securitySchemes: z.strictObject({ key: z.looseObject({ type: z.literal('http') }) }),
    schemas: z.record(z.string().regex(/^[\w.-]+$/), z.looseObject({})),
    responses: z.strictObject({ Problem: response }),
  }),
  paths: z.record(z.string().startsWith('/'), z.partialRecord(z.enum(['get', 'put', 'post', 'delete']), operation)),
})

async function readDescription(): Promise<z.output<typeof description>> {
  await using it = new Served()
  const { body } = await (await it.ready()).get('/openapi.json')
  return description.parse(body)
}

describe('the description', () => {
  test('tells of every route what it takes, what it answers, and what a problem looks like', async () => {
    const { paths, components } = await readDescription()
    const operations = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, one]) => ({ at: `${method.toUpperCase()} ${path}`, path, ...one })),
    )
    const routes = new Map(
      describedRoutes.map((route) => [`${route.method} ${route.url.replace(/:(\w+)/g, '{$1}')}`, route]),
    )
    assert.deepEqual(operations.map(({ at }) => at).sort(), [...routes.keys()].sort())
    for (const { at, path, parameters = [], responses, security } of operations) {
      const problem = responses.default === undefined ? undefined : resolved(responses.default)
      assert.ok(problem?.content?.['application/problem+json'] !== undefined, at)
      const successes = Object.keys(responses).filter((status) => status.startsWith('2'))
      assert.ok(successes.length > 0, at)
      const route = routes.get(at)
      assert.ok(route !== undefined)
      assert.deepEqual(
        successes,
        Object.keys(route.answers).filter((status) => status.startsWith('2')),
      )
      assert.equal(security === undefined, route.scope === null, at)
      assert.equal(
        parameters.some(({ name }) => name === 'Idempotency-Key'),
        isRemembered(route),
        at,
      )
      assert.deepEqual(
        parameters.filter((one) => one.in === 'path').map(({ name, required }) => [name, required]),
        [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => [name, true]),
      )
      assert.equal(new Set(parameters.map((one) => `${one.in} ${one.name}`)).size, parameters.length, at)
    }
    function resolved(one: z.output<typeof response> | z.output<typeof reference>) {
      if (!('$ref' in one)) return one
      assert.equal(one.$ref, '#/components/responses/Problem')
      return components.responses.Problem
    }
  })

  test('is made of JSON Schemas whose words and references mean something', async () => {
    const whole = await readDescription()
    const schemas = new Set(Object.keys(whole.components.schemas))
    const named = new Set<string>()
    for (const [at, one] of Object.entries(whole.components.schemas)) assertSchema(one, at, named)
    for (const [path, methods] of Object.entries(whole.paths))
      for (const { parameters = [], requestBody, responses } of Object.values(methods)) {
        for (const { schema } of parameters) assertSchema(schema, path, named)
        const contents = [requestBody, ...Object.values(responses)].map((one) =>
          one === undefined || '$ref' in one ? {} : (one.content ?? {}),
        )
        for (const { schema } of contents.flatMap((one) => Object.values(one))) assertSchema(schema, path, named)
      }
    assert.deepEqual(
      [...named].filter((name) => !schemas.has(name)),
      [],
    )
    // Those that nothing names are parts of others or forgotten.
    assert.deepEqual(
      [...schemas].filter((name) => !named.has(name) && name !== 'Problem'),
      [],
    )
  })

  test('says of a sync what the config says of it', async () => {
    const { components } = await readDescription()
    const { SyncDefinition } = components.schemas
    const { anyOf } = z.object({ anyOf: z.tuple([outline, outline]) }).parse(SyncDefinition)
    for (const [at, schema] of [syncSchema, twoWaySchema].entries()) {
      const config = outline.parse(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }))
      const described = anyOf[at]
      // Whose it is, a call can't say.
      const { project: _project, ...sayable } = config.properties
      assert.deepEqual(Object.keys(described?.properties ?? {}).sort(), Object.keys(sayable).sort())
      assert.deepEqual(described?.required, config.required)
      for (const [name, { enum: words }] of Object.entries(sayable))
        if (words !== undefined) assert.deepEqual(described?.properties[name]?.enum, words, name)
    }
  })
})

describe('answers that are rare', () => {
  const connections = {
    nowhere: { connector: 'postgres', url: 'postgres://nobody@127.0.0.1:1/none' },
    copy: { connector: 'sqlite', file: './copy.db' },
  }
  const syncs = { lost: { from: 'nowhere.public.orders', to: 'copy', schedule: 'manual' } }
  const request = { project_id: 'any', sync_type: 'pull', source_platform: 'nowhere', target_entity: 'lost' }

  test('a sync that fails is told of as a result, and its next try is cancelled', async () => {
    await using it = new Served({ config: { connections, syncs } })
    const api = await it.ready()
    const failed = await api.post('/sync/start', request)
    assert.deepEqual([failed.status, failed.type, failed.body.status], [502, json, 'failed'], failed.text)
    const [job] = (await api.get('/api/jobs?status=queued')).body.items ?? []
    const cancelled = await api.post(`/api/jobs/${job?.id}/cancel`)
    assert.deepEqual([cancelled.status, cancelled.body.status], [200, 'cancelled'], cancelled.text)
  })
})

const json = 'application/json; charset=utf-8'
const outline = z.looseObject({
  properties: z.record(z.string(), z.looseObject({ enum: z.array(z.unknown()).optional() })),
  required: z.array(z.string()),
})

describe('an answer that is not as described', () => {
  const job = { id: '1', sync: 'orders', priority: 'high', reason: 'command', key: null, attempt: 1, status: 'queued' }
  const times = {
    queuedAt: '2026-01-31T13:05:09.250Z',
    dueAt: '2026-01-31T13:05:09.250Z',
    startedAt: null,
    endedAt: null,
  }
  const whole = { ...job, ...times, run: null, error: null }
  const said = (status: number, body: object, type = 'application/json; charset=utf-8') =>
    assertDescribed('GET', '/api/jobs/1', { status, type, text: JSON.stringify(body) })
  const problem = { type: 'about:blank', title: 'Not Found', status: 404, code: 'JOB_UNKNOWN', detail: 'no job' }

  test('is seen by its status, its type, a field too many and one too few', () => {
    said(200, whole)
    said(404, problem, 'application/problem+json; charset=utf-8')
    assert.throws(() => said(201, whole), /nothing describes/)
    assert.throws(() => said(200, whole, 'text/plain'), /text\/plain/)
    assert.throws(() => said(200, { ...whole, more: 1 }), /this is no Job/)
    assert.throws(() => said(200, job), /this is no Job/)
    assert.throws(() => said(404, problem), /nothing describes/)
    assert.throws(() => said(404, { ...problem, code: 7 }, 'application/problem+json'), /this is no Problem/)
    assert.throws(
      () => assertDescribed('GET', '/api/nowhere', { status: 200, type: '', text: '' }),
      /nothing describes/,
    )
  })
})

/** The words of JSON Schema that are used, and what they may be. */
const words = z.looseObject({
  type: z
    .union([z.string(), z.array(z.string())])
    .transform((type) => [type].flat())
    .pipe(z.array(z.enum(['object', 'array', 'string', 'number', 'integer', 'boolean', 'null'])))
    .optional(),
  required: z.array(z.string()).optional(),
  properties: z.record(z.string(), z.looseObject({})).optional(),
  pattern: z.string().optional(),
  enum: z.array(z.unknown()).min(1).optional(),
  nullable: z.undefined().optional(),
  $schema: z.undefined().optional(),
  $id: z.undefined().optional(),
})

function assertSchema(schema: unknown, at: string, named: Set<string>): void {
  if (typeof schema === 'boolean') return
  const {
    $ref,
    type: _type,
    required = [],
    properties = {},
    pattern,
    ...rest
  } = words.parse(schema, {
    error: ({ path }) => `${at}: ${path?.join('.')}`,
  })
  if (typeof $ref === 'string') {
    assert.match($ref, /^#\/components\/schemas\/[\w.-]+$/, at)
    named.add($ref.split('/').at(-1) ?? '')
  }
  if (pattern !== undefined) assert.ok(new RegExp(pattern, 'u'), at)
  assert.deepEqual(
    required.filter((name) => !Object.hasOwn(properties, name)),
    [],
    at,
  )
  for (const [name, one] of Object.entries(properties)) assertSchema(one, `${at}.${name}`, named)
  const parts = [rest.items, rest.additionalProperties, rest.propertyNames, rest.anyOf, rest.oneOf, rest.prefixItems]
  for (const part of parts.flat()) if (part !== undefined) assertSchema(part, at, named)
}
