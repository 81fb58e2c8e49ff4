/** Connections: those of the config file, and those of integrations, which are made here. None of them tells its credentials. */
import { z } from 'zod'
import { asSyncError, SyncError } from '../../core/error.ts'
import { failureOf } from '../../core/run.ts'
import type { EngineConnection } from '../../engine/connections.ts'
import type { ApiKey } from '../../engine/keys.ts'
import type { KnownConnection, Operations } from '../../engine/operations.ts'
import { announce } from '../announce.ts'
import { maySee } from '../auth.ts'
import { projectFor, visibleConnection, visibleConnections } from '../lookup.ts'
import { type Route, route } from '../route.ts'

const named = z.object({ name: z.string().min(1).max(300) })
const identifier = z.string().regex(/^[\w-]{1,100}$/, 'letters, digits, _ and -')
const settings = {
  config: z.record(z.string(), z.unknown()).describe('by the connector’s schema, secrets included; kept in the vault'),
  activeSyncs: z.array(z.string().max(300)).max(1000).nullable().describe('null: all of the integration'),
  minutesBetweenSyncs: z
    .number()
    .positive()
    .max(366 * 24 * 60)
    .nullable()
    .describe('null: as the integration says'),
}
const creation = z.strictObject({
  name: identifier.optional().describe('default: a random one'),
  integration: z.string().min(1).max(300),
  config: settings.config.default({}),
  activeSyncs: settings.activeSyncs.optional(),
  minutesBetweenSyncs: settings.minutesBetweenSyncs.optional(),
  project: identifier.optional(),
})
const update = z.strictObject(settings).partial()

export const connectionRoutes: readonly Route[] = [
  route({
    method: 'GET',
    url: '/api/connections',
    summary: 'The connections that the key may see',
    tag: 'connections',
    scope: 'read',
    query: z.object({
      integration: z.string().max(300).optional(),
      after: z.string().max(300).optional(),
      limit: z.coerce.number().int().min(1).max(1000).default(1000),
    }),
    handle: async ({ operations, query: { integration, after, limit }, key }) => {
      const all = visibleConnections(operations, key).filter(
        (connection) => integration === undefined || connection.integration === integration,
      )
      const start = after === undefined ? 0 : all.findIndex(({ name }) => name === after) + 1
      if (after !== undefined && start === 0)
        throw new SyncError('USAGE_INVALID', '`after` is the name of no connection')
      const items = all.slice(start, start + limit)
      const next = start + limit < all.length ? (items.at(-1)?.name ?? null) : null
      return { body: { items: items.map((connection) => connectionObject(operations, connection)), next } }
    },
  }),
  route({
    method: 'POST',
    url: '/api/connections',
    summary: 'Makes a connection of an integration, and lets its syncs run',
    tag: 'connections',
    scope: 'admin',
    body: creation,
    handle: async ({ operations, body, key }) => {
      const { name = crypto.randomUUID(), integration, config, activeSyncs, minutesBetweenSyncs } = body
      const project = projectFor(key, body.project)
      await operations.connected.add({
        ...{ id: name, integrationId: integration, config },
        ...(activeSyncs == null ? {} : { activeSyncs }),
        ...(minutesBetweenSyncs == null ? {} : { minutesBetweenSyncs }),
        ...(project === null ? {} : { project }),
      })
      announce(operations, key, { what: 'connection', name, change: 'made', project })
      return { status: 201, body: connectionObject(operations, visibleConnection(operations, key, name)) }
    },
  }),
  route({
    method: 'GET',
    url: '/api/connections/:name',
    summary: 'One connection',
    tag: 'connections',
    scope: 'read',
    params: named,
    handle: async ({ operations, params: { name }, key }) => ({
      body: connectionObject(operations, visibleConnection(operations, key, name)),
    }),
  }),
  route({
    method: 'PUT',
    url: '/api/connections/:name',
    summary: 'Changes a connection: what is left out stays as it is',
    tag: 'connections',
    scope: 'admin',
    params: named,
    body: update,
    handle: async ({ operations, params: { name }, body, key }) => {
      await changeable(operations, key, name)
      const changed = await operations.connected.update(name, (before) => changedBy(before, body))
      announce(operations, key, { what: 'connection', name, change: 'changed', project: changed.project ?? null })
      return { body: connectionObject(operations, visibleConnection(operations, key, name)) }
    },
  }),
  route({
    method: 'DELETE',
    url: '/api/connections/:name',
    summary: 'Forgets a connection with its credentials and schedules',
    tag: 'connections',
    scope: 'admin',
    params: named,
    handle: async ({ operations, params: { name }, key }) => {
      await changeable(operations, key, name)
      const [project = null] = visibleConnection(operations, key, name).projects
      refuseUsed(operations, key, name)
      await operations.connected.remove(name)
      announce(operations, key, { what: 'connection', name, change: 'removed', project })
      return { status: 204 }
    },
  }),
  route({
    method: 'POST',
    url: '/api/connections/:name/check',
    summary: 'Whether it can be opened, and its account answers',
    tag: 'connections',
    scope: 'operate',
    params: named,
    handle: async ({ operations, params: { name }, key, signal }) => {
      const { integration } = visibleConnection(operations, key, name)
      try {
        if (integration !== null) return { body: { name, ...(await checkAccount(operations, name)) } }
        const collections = await operations.use(
          async (project) => (await (await project.connection(name)).discover()).length,
          signal,
        )
        return { body: { name, healthy: true, collections } }
      } catch (error) {
        return { body: { name, healthy: false, error: failureOf(asSyncError(error)) } }
      }
    },
  }),
]

/** What is left out stays; null takes away. */
function changedBy(before: EngineConnection, body: z.output<typeof update>): EngineConnection {
  const { config, activeSyncs, minutesBetweenSyncs, ...rest } = before
  const changed = {
    activeSyncs: body.activeSyncs === undefined ? activeSyncs : body.activeSyncs,
    minutesBetweenSyncs: body.minutesBetweenSyncs === undefined ? minutesBetweenSyncs : body.minutesBetweenSyncs,
  }
  return {
    ...rest,
    config: body.config ?? config,
    ...(changed.activeSyncs == null ? {} : { activeSyncs: changed.activeSyncs }),
    ...(changed.minutesBetweenSyncs == null ? {} : { minutesBetweenSyncs: changed.minutesBetweenSyncs }),
  }
}

async function checkAccount({ connected }: Operations, name: string): Promise<Record<string, unknown>> {
  const { success, code = 'INTERNAL', error = '' } = await connected.check(name)
  return success ? { healthy: true } : { healthy: false, error: { code, message: error, hint: null } }
}

/** FORBIDDEN: the config file says it. */
async function changeable(operations: Operations, key: ApiKey | null, name: string): Promise<void> {
  if (visibleConnection(operations, key, name).integration !== null) return
  throw new SyncError('FORBIDDEN', `connection "${name}" is in the config file`, { hint: 'Change it there.' })
}

function connectionObject(
  operations: Operations,
  { name, connector, integration, projects, activeSyncs, minutesBetweenSyncs }: KnownConnection,
): Record<string, unknown> {
  if (integration === null) return { name, connector, integration, origin: 'config' }
  const syncs = operations.syncsOf(name).map(({ sync }) => sync.id)
  return {
    ...{ name, connector, integration, origin: 'api', project: projects[0] ?? null },
    ...{ syncs, activeSyncs, minutesBetweenSyncs },
  }
}

/** A sync whose connection is gone could only fail. */
function refuseUsed(operations: Operations, key: ApiKey | null, name: string): void {
  const users = operations.usersOf(name)
  if (users.length === 0) return
  const named = users.filter((user) => maySee(key, operations.madeSync(user)?.project ?? null))
  const what = named.length === 0 ? 'a sync' : `sync ${named.join(', ')}`
  throw new SyncError('CONNECTION_USED', `connection "${name}" is used by ${what}`, {
    hint: 'Take that away first: DELETE /api/syncs/<name>.',
  })
}
