/** Connections: those of the config file, and those of integrations, which are made here. None of them tells its credentials. */
import { z } from 'zod'
import { asHandlerError, asSyncError, SyncError } from '../../core/error.ts'
import { failureOf } from '../../core/run.ts'
import { formatSchedule, type Schedule } from '../../core/schedule.ts'
import type { ConnectionRemains, EngineConnection } from '../../engine/connections/connection-store.ts'
import type { KnownConnection, Operations } from '../../engine/operations.ts'
import type { ApiKey } from '../../engine/secrets/api-keys.ts'
import { redactError } from '../../engine/secrets/redact.ts'
import { announce } from '../announce.ts'
import { maySee } from '../auth.ts'
import { projectFor, visibleConnection, visibleConnections } from '../lookup.ts'
import { cutPage } from '../page.ts'
import { type Route, route } from '../route.ts'
import { readSchedule, scheduleText } from '../schedule-text.ts'

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
  schedules: z
    .record(z.string().max(300), scheduleText)
    .nullable()
    .describe('by the names of syncs; these go before minutesBetweenSyncs'),
}
const creation = z.strictObject({
  name: identifier.optional().describe('default: a random one'),
  integration: z.string().min(1).max(300),
  config: settings.config.default({}),
  activeSyncs: settings.activeSyncs.optional(),
  minutesBetweenSyncs: settings.minutesBetweenSyncs.optional(),
  schedules: settings.schedules.optional(),
  project: identifier.optional(),
})
type Settings = Partial<Pick<z.output<typeof creation>, 'activeSyncs' | 'minutesBetweenSyncs' | 'schedules'>>
const update = z
  .strictObject({
    ...settings,
    integration: z
      .string()
      .min(1)
      .max(300)
      .describe('another one only with the whole config, and where it has none any more, or can’t be read'),
  })
  .partial()

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
    answers: { 200: 'ConnectionPage' },
    handle: async ({ operations, query: { integration, after, limit }, key }) => {
      const all = visibleConnections(operations, key).filter(
        (connection) => integration === undefined || connection.integration === integration,
      )
      const { items, next } = cutPage(all, { after, limit }, ({ name }) => name)
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
    answers: { 201: 'Connection' },
    handle: async ({ operations, body, key }) => {
      const { name = crypto.randomUUID(), integration, config } = body
      const project = projectFor(key, body.project)
      await operations.connected.add({
        ...{ id: name, integrationId: integration, config, ...settingsOf({}, body) },
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
    answers: { 200: 'Connection' },
    handle: async ({ operations, params: { name }, key }) => {
      const unlisted = await unlistedConnection(operations, key, name)
      if (unlisted !== null) throw unlisted
      return { body: connectionObject(operations, visibleConnection(operations, key, name)) }
    },
  }),
  route({
    method: 'PUT',
    url: '/api/connections/:name',
    summary:
      'Changes a connection: what is left out stays as it is. One that can’t be read is replaced by its whole config',
    tag: 'connections',
    scope: 'admin',
    params: named,
    body: update,
    answers: { 200: 'Connection' },
    handle: async ({ operations, params: { name }, body, key }) => {
      await changeable(operations, key, name)
      const changed = await operations.connected.update(
        name,
        (before) => changedBy(before, body, operations),
        (left, error) => madeAnew(name, left, body, error),
      )
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
    answers: { 204: null },
    handle: async ({ operations, params: { name }, key }) => {
      const [project = null] = (await changeable(operations, key, name))?.projects ?? []
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
    heavy: true,
    tag: 'connections',
    scope: 'operate',
    params: named,
    answers: { 200: 'ConnectionCheck' },
    handle: async ({ operations, params: { name }, key, signal }) => {
      const { integration } = visibleConnection(operations, key, name)
      try {
        const check = integration === null ? checkOpening(operations, name, signal) : checkAccount(operations, name)
        return { body: { name, ...(await check) } }
      } catch (error) {
        return { body: { name, healthy: false, error: failureOf(asSyncError(error)) } }
      }
    },
  }),
]

/** What is left out stays; null takes away. */
function changedBy(
  before: EngineConnection,
  { integration, config, ...body }: z.output<typeof update>,
  { integrations }: Operations,
): EngineConnection {
  const { activeSyncs: _syncs, minutesBetweenSyncs: _minutes, schedules: _schedules, ...rest } = before
  const other = integration !== undefined && integration !== before.integrationId
  if (other && (config === undefined || integrations.all.some(({ id }) => id === before.integrationId)))
    throw new SyncError('CONFIG_INVALID', `connection "${before.id}" is of integration "${before.integrationId}"`, {
      hint: 'It is moved to another with its whole `config`, and only when there is no such integration any more.',
    })
  return {
    ...rest,
    ...settingsOf(before, body),
    integrationId: integration ?? before.integrationId,
    config: config ?? before.config,
  }
}

/** CONFIG_INVALID: the body does not say all that there is to be known. */
function madeAnew(
  id: string,
  left: ConnectionRemains,
  { config, ...body }: z.output<typeof update>,
  error: SyncError,
): EngineConnection {
  const { integration = left.integrationId } = body
  if (config === undefined || integration === undefined)
    throw new SyncError('CONFIG_INVALID', `connection "${id}" can't be changed in part: ${error.message}`, {
      hint: `Give its whole \`config\`${left.integrationId === undefined ? ' and its `integration`' : ''}, or remove it and make it anew.`,
      cause: error,
    })
  const { project } = left
  const owned = project === undefined ? {} : { project }
  return { id, integrationId: integration, config, ...settingsOf(left, body), ...owned }
}

/** CONFIG_INVALID: a schedule that can't be read. */
function settingsOf(before: ConnectionRemains, body: Settings): ConnectionRemains {
  const activeSyncs = body.activeSyncs === undefined ? before.activeSyncs : body.activeSyncs
  const minutesBetweenSyncs =
    body.minutesBetweenSyncs === undefined ? before.minutesBetweenSyncs : body.minutesBetweenSyncs
  const schedules = body.schedules == null ? body.schedules : schedulesOf(body.schedules)
  const chosen = schedules === undefined ? before.schedules : schedules
  return {
    ...(activeSyncs == null ? {} : { activeSyncs }),
    ...(minutesBetweenSyncs == null ? {} : { minutesBetweenSyncs }),
    ...(chosen == null ? {} : { schedules: chosen }),
  }
}

function schedulesOf(written: NonNullable<Settings['schedules']>): Readonly<Record<string, Schedule>> {
  return Object.fromEntries(
    Object.entries(written).map(([name, text]) => [name, readSchedule(text, `schedules.${name}: `)]),
  )
}

async function checkOpening(
  operations: Operations,
  name: string,
  signal: AbortSignal,
): Promise<Record<string, unknown>> {
  return await operations.use(async (project) => {
    try {
      return { healthy: true, collections: (await (await project.connection(name)).discover()).length }
    } catch (error) {
      return {
        healthy: false,
        error: failureOf(redactError(asHandlerError(error, `opening ${name}`), project.context.redact)),
      }
    }
  }, signal)
}

async function checkAccount({ connected }: Operations, name: string): Promise<Record<string, unknown>> {
  const { success, code = 'INTERNAL', error = '' } = await connected.check(name)
  return success ? { healthy: true } : { healthy: false, error: { code, message: error, hint: null } }
}

/** Null: it can't be read, and is in no list. FORBIDDEN: the config file says it. */
async function changeable(operations: Operations, key: ApiKey | null, name: string): Promise<KnownConnection | null> {
  if ((await unlistedConnection(operations, key, name)) !== null) return null
  const known = visibleConnection(operations, key, name)
  if (known.integration !== null) return known
  throw new SyncError('FORBIDDEN', `connection "${name}" is in the config file`, { hint: 'Change it there.' })
}

/** Why it is in no list, though it is there; null: it is in one, or the key may not know, because nobody knows whose it is. */
async function unlistedConnection(operations: Operations, key: ApiKey | null, name: string): Promise<SyncError | null> {
  if (key?.project != null || operations.connections().some((known) => known.name === name)) return null
  return await operations.connected.unlisted(name)
}

function connectionObject(
  operations: Operations,
  { name, connector, integration, projects, activeSyncs, minutesBetweenSyncs, schedules }: KnownConnection,
): Record<string, unknown> {
  if (integration === null) return { name, connector, integration, origin: 'config' }
  const syncs = operations.syncsOf(name).map(({ sync }) => sync.id)
  const written = Object.entries(schedules ?? {}).map(([sync, schedule]) => [sync, formatSchedule(schedule)])
  return {
    ...{ name, connector, integration, origin: 'api', project: projects[0] ?? null },
    ...{ syncs, activeSyncs, minutesBetweenSyncs, schedules: schedules === null ? null : Object.fromEntries(written) },
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
