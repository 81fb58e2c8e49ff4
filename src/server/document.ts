/** GET /openapi.json: what routes take, as the server knows it, and what they answer. Loaded and made when somebody asks. */
import { STATUS_CODES } from 'node:http'
import { z } from 'zod'
import { answers } from './answers/index.ts'
import { isRemembered } from './idempotency.ts'
import type { Content, DescribedRoute } from './route.ts'
import { syncDefinition } from './sync-definition.ts'

/** A description of requests alone. */
export interface Requests {
  readonly paths?: Readonly<Record<string, object | undefined>>
  readonly components?: object
}

type Json = Readonly<Record<string, unknown>>

/** The description with answers. Every route of `requests` is one of these. */
export function describeApi(
  { paths = {}, components, ...document }: Requests,
  routes: readonly DescribedRoute[],
): Json {
  const known = new Map(routes.map((route) => [nameOf(route), route]))
  const operations = (path: string, methods: object) =>
    Object.entries(methods).map(([method, operation]) => {
      const route = known.get(`${method} ${path}`)
      return [method, route === undefined ? operation : describeOperation(operation, route)]
    })
  return {
    ...document,
    components: { ...components, schemas: schemas(), responses: { Problem: problemResponse } },
    paths: Object.fromEntries(
      Object.entries(paths).map(([path, methods = {}]) => [path, Object.fromEntries(operations(path, methods))]),
    ),
  }
}

function nameOf({ method, url }: DescribedRoute): string {
  return `${method.toLowerCase()} ${url.replace(/:(\w+)/g, '{$1}')}`
}

function describeOperation(
  { parameters: given = [], requestBody, ...operation }: Operation,
  route: DescribedRoute,
): Json {
  const remembered = isRemembered(route) ? [idempotencyKey] : []
  const all = [...given, ...remembered]
  return {
    ...operation,
    ...(all.length === 0 ? {} : { parameters: all }),
    ...(requestBody === undefined
      ? {}
      : { requestBody: { ...requestBody, required: route.body?.safeParse(undefined).success !== true } }),
    responses: responsesOf(route),
  }
}

interface Operation {
  readonly parameters?: readonly unknown[]
  readonly requestBody?: object
}

function responsesOf({ answers: { default: failure, ...byStatus }, ...route }: DescribedRoute): Json {
  return {
    ...Object.fromEntries(usualProblems(route).map((status) => [status, problemReference])),
    ...Object.fromEntries(
      Object.entries(byStatus).map(([status, content]) => [status, responseOf(Number(status), content)]),
    ),
    default:
      failure === undefined ? problemReference : { ...problemResponse, content: { ...contentOf(failure), ...problem } },
  }
}

/** All of them are the same: they are here for programs that ask for each. */
function usualProblems({ scope, params, query, body }: Omit<DescribedRoute, 'answers'>): readonly number[] {
  return [
    ...((params ?? query ?? body) ? [400] : []),
    ...(scope === null ? [] : [401, 403, 429]),
    ...(params === undefined ? [] : [404]),
  ]
}

function responseOf(status: number, content: Content): Json {
  const description = STATUS_CODES[status] ?? ''
  if (content === null) return { description }
  return { description, content: { ...contentOf(content), ...(status < 400 ? {} : problem) } }
}

function contentOf(content: NonNullable<Content>): Json {
  if (typeof content === 'string') return { 'application/json': { schema: { $ref: referenceTo(content) } } }
  return Object.fromEntries(content.map((type) => [type, { schema: { type: 'string' } }]))
}

function referenceTo(schema: string): string {
  return `#/components/schemas/${schema}`
}

const problem = { 'application/problem+json': { schema: { $ref: referenceTo('Problem') } } }
const problemResponse = { description: 'What went wrong, and what to do about it', content: problem }
const problemReference = { $ref: '#/components/responses/Problem' }
const idempotencyKey = {
  name: 'Idempotency-Key',
  in: 'header',
  required: false,
  description: 'Sent twice with one key, a request is carried out once, and answered twice. Kept for a day.',
  schema: { type: 'string', minLength: 1, maxLength: 255, pattern: '^[\\x21-\\x7e]+$' },
}

function schemas(): Json {
  const definition = z.toJSONSchema(syncDefinition, { io: 'input' })
  const registry = z.registry<{ readonly id: string }>()
  for (const [id, schema] of Object.entries(answers)) registry.add(schema, { id })
  const { schemas: found } = z.toJSONSchema(registry, { uri: referenceTo, override: soften })
  return Object.fromEntries(
    Object.entries({ ...found, SyncDefinition: definition }).map(
      ([name, { $schema: _schema, $id: _id, id: _name, ...schema }]) => [name, schema],
    ),
  )
}

/** Answers may get more fields: a client that refuses them would break. The pattern of an instant says no more than its format, in 400 characters; that numbers are safe goes without saying. */
function soften({ jsonSchema }: { readonly jsonSchema: { [keyword: string]: unknown } }): void {
  if (jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties
  if (jsonSchema.format === 'date-time') delete jsonSchema.pattern
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum
}
