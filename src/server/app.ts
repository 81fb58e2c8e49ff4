/** The HTTP server: routes, their description, who may call them, and how it ends. */
import { randomUUID } from 'node:crypto'
import type { Socket } from 'node:net'
import fastifySwagger from '@fastify/swagger'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import { jsonSchemaTransform, serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod'
import { SyncError } from '../core/error.ts'
import type { Log } from '../core/log.ts'
import type { Operations } from '../engine/operations.ts'
import { authenticate } from './auth.ts'
import { refuseUnclean } from './clean.ts'
import { eventStream } from './event-stream.ts'
import { isRemembered, rememberAnswers } from './idempotency.ts'
import { incomingWebhooks } from './incoming.ts'
import { metricsPage } from './metrics-page.ts'
import { brokenRequests, problemAnswers, type Redact } from './problem.ts'
import type { Answer, Route } from './route.ts'
import { healthRoutes } from './routes/health.ts'
import { describedRoutes, routes } from './routes/index.ts'
import { Turns } from './turns.ts'

export interface ServerOptions {
  readonly operations: Operations
  readonly version: string
  /** What the metrics page says. */
  readonly metrics: () => Promise<{ readonly type: string; readonly text: string }>
  readonly log: Log
  /** Takes secrets out of what goes wrong. */
  readonly redact: Redact
  /** Proxies whose word about who calls is taken: addresses, ranges, or how many there are in a row. Default: nobody's. */
  readonly trustProxy?: string | number
  /** Kept as it goes: the requests that are open, by method and route. */
  readonly openRequests?: Map<object, string>
}

const BODY_BYTES = 1024 * 1024
/** Requests of one connection that wait for their answers: a caller may send the next before the last is answered. */
const UNANSWERED = 64
/** After so many a connection is closed, and the caller opens another. */
const REQUESTS_PER_CONNECTION = 10_000
/** A request that has not arrived by then is ended. */
const REQUEST_MS = 30_000

/** The whole API. */
export async function buildServer(options: ServerOptions): Promise<FastifyInstance> {
  const { app, ...serving } = newApp(options)
  await app.register(fastifySwagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Syncline',
        version: options.version,
        description: 'Keeps databases in sync, and proves that both sides are equal.',
      },
      components: { securitySchemes: { key: { type: 'http', scheme: 'bearer', bearerFormat: 'slk_…' } } },
    },
    transform: jsonSchemaTransform,
  })
  await app.register(async (scope) => {
    for (const route of routes) addRoute(scope, route, options, serving)
    eventStream(scope, options.operations)
    await incomingWebhooks(scope, options.operations)
  })
  const description = once(async () => (await import('./document.ts')).describeApi(app.swagger(), describedRoutes))
  const descriptionBytes = once(async () => Buffer.from(JSON.stringify(await description())))
  const pageBytes = once(async () => Buffer.from((await import('./docs-page.ts')).docsPage(await description())))
  app.get('/openapi.json', { schema: { hide: true } }, async (_request, reply) => {
    return await reply.type('application/json; charset=utf-8').send(await descriptionBytes())
  })
  app.get('/docs', { schema: { hide: true } }, async (_request, reply) => {
    return await reply.type('text/html; charset=utf-8').send(await pageBytes())
  })
  metricsPage(app, options.metrics, serving.allow)
  return app
}

/** What a process without the API tells of itself: whether it lives and can work, and its metrics. */
export function buildMetricsServer(options: ServerOptions): FastifyInstance {
  const { app, ...serving } = newApp(options)
  for (const route of healthRoutes) addRoute(app, route, options, serving)
  metricsPage(app, options.metrics, serving.allow)
  return app
}

type Allow = ReturnType<typeof authenticate>

interface Serving {
  readonly allow: Allow
  /** Aborted when the server stops. */
  readonly stopping: AbortSignal
  readonly turns: Turns
}

function newApp(options: ServerOptions): Serving & { readonly app: FastifyInstance } {
  const proxies = options.trustProxy ?? 0
  const problems = problemAnswers(options.log, options.redact)
  const app = Fastify({
    bodyLimit: BODY_BYTES,
    requestTimeout: REQUEST_MS,
    maxRequestsPerSocket: REQUESTS_PER_CONNECTION,
    // Only what the service logs itself; request logs would be a copy of every URL.
    logger: false,
    genReqId: () => randomUUID(),
    // Requests that are open when the server stops get their answers; idle connections are closed.
    forceCloseConnections: 'idle',
    return503OnClosing: true,
    routerOptions: { maxParamLength: 500 },
    frameworkErrors: problems,
    clientErrorHandler: brokenRequests,
    trustProxy: typeof proxies === 'number' ? (_address, hop) => hop < proxies : proxies,
  })
  // One for all routes: it counts wrong keys.
  const allow = authenticate(options.operations.store.records)
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  app.decorateRequest('apiKey', null)
  app.setErrorHandler(problems)
  app.addHook('preValidation', refuseUnclean)
  app.setNotFoundHandler((request, reply) => reply.code(404).type('application/problem+json').send(nowhere(request)))
  // An empty body is none, whatever its type says.
  app.removeContentTypeParser('application/json')
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, text, done) => {
    if (text === '') return done(null, undefined)
    try {
      done(null, JSON.parse(String(text)))
    } catch {
      done(Object.assign(new Error('the body is no JSON'), { statusCode: 400 }))
    }
  })
  boundUnanswered(app)
  const { openRequests } = options
  if (openRequests !== undefined) {
    app.addHook('onRequest', async ({ raw, method, routeOptions }) => {
      openRequests.set(raw, `${method} ${routeOptions.url ?? 'no route'}`)
    })
    app.addHook('onResponse', async ({ raw }) => void openRequests.delete(raw))
  }
  const stop = new AbortController()
  app.addHook('preClose', async () => stop.abort())
  return { app, allow, stopping: stop.signal, turns: new Turns() }
}

/** Requests that a connection sends without waiting for answers are bounded: each holds memory until it is answered. */
function boundUnanswered(app: FastifyInstance): void {
  const open = new WeakMap<Socket, number>()
  const count = (socket: Socket, more: number) => {
    const now = (open.get(socket) ?? 0) + more
    open.set(socket, now)
    return now
  }
  app.addHook('onRequest', async (request) => {
    if (count(request.raw.socket, 1) <= UNANSWERED) return
    throw new SyncError('RATE_LIMITED', `${UNANSWERED} requests of this connection wait for their answers`, {
      hint: 'Wait for some of them, or open another connection.',
    })
  })
  app.addHook('onResponse', async (request) => void count(request.raw.socket, -1))
}

/** Made when somebody asks for it first, and served as it is from then on. */
function once<Made>(make: () => Promise<Made>): () => Promise<Made> {
  let made: Promise<Made> | null = null
  return async () => {
    made ??= make()
    return await made
  }
}

function addRoute(
  app: FastifyInstance,
  route: Route,
  { operations }: ServerOptions,
  { allow, stopping, turns }: Serving,
): void {
  const { method, url, scope, params, query, body } = route
  app.route({
    method,
    url,
    schema: {
      summary: route.summary,
      tags: [route.tag],
      ...(scope === null ? {} : { security: [{ key: [] }], description: `Needs a key with the scope ${scope}.` }),
      ...(params === undefined ? {} : { params }),
      ...(query === undefined ? {} : { querystring: query }),
      ...(body === undefined ? {} : { body }),
    },
    ...(scope === null ? {} : { onRequest: allow(scope) }),
    handler: async (request, reply) => {
      const call = async () => await answer(route, request, operations, { stopping, turns })
      const {
        status = 200,
        body: content,
        headers = {},
      } = isRemembered(route) ? await rememberAnswers(request, operations.store.records, call) : await call()
      reply.code(status).headers(headers)
      return await reply.send(content ?? null)
    },
  })
}

async function answer(
  route: Route,
  request: FastifyRequest,
  operations: Operations,
  { stopping, turns }: Pick<Serving, 'stopping' | 'turns'>,
): Promise<Answer> {
  const hungUp = new AbortController()
  const end = () => hungUp.abort(new SyncError('INTERRUPTED', 'who asked has hung up'))
  request.raw.socket.once('close', end)
  try {
    const { params, query, body, apiKey: key } = request
    if (key !== null) await operations.catchUp()
    using _turn = route.heavy === true ? await turns.take(key?.project ?? null, hungUp.signal) : null
    return await route.handle({ params, query, body, key, operations, signal: hungUp.signal, stopping })
  } finally {
    request.raw.socket.off('close', end)
  }
}

function nowhere(request: FastifyRequest) {
  return {
    type: 'about:blank',
    title: 'Not Found',
    status: 404,
    code: 'USAGE_INVALID',
    detail: `there is no ${request.method} ${request.url.split('?')[0]?.slice(0, 200)}`,
    hint: 'GET /docs describes every route.',
  }
}
