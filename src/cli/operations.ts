/** A running project as the server offers it. */
import { z } from 'zod'
import type { ConfigDefinitions } from '../config/definitions.ts'
import type { LoadedConfig } from '../config/load.ts'
import { connectionsNamed } from '../config/schema.ts'
import { SyncError } from '../core/error.ts'
import { didYouMean } from '../core/name.ts'
import { type AnySync, placesOf } from '../core/two-way.ts'
import type { ActingConnection } from '../engine/actions.ts'
import type { Catalogue } from '../engine/catalogue.ts'
import type { Connected } from '../engine/connected.ts'
import type { Events } from '../engine/events.ts'
import type { Integrations } from '../engine/integrations.ts'
import type { KnownConnections } from '../engine/known-connections.ts'
import type { Limiter } from '../engine/limits.ts'
import { dropSync, keepSync, type MadeSync, madeOf } from '../engine/made-syncs.ts'
import type { KnownConnection, KnownSync, Operations } from '../engine/operations.ts'
import { askForRun } from '../engine/permit.ts'
import type { Service } from '../engine/service.ts'
import type { SharedEvents } from '../engine/shared-events.ts'
import type { OwnedProject } from '../engine/slots.ts'
import type { Webhooks } from '../engine/webhooks.ts'
import type { Store } from '../store/store.ts'

export interface OperationsOptions {
  readonly store: Store
  readonly service: Service
  readonly events: Events
  readonly sharedEvents: SharedEvents
  readonly definitions: ConfigDefinitions
  readonly webhooks: Webhooks
  readonly catalogue: Catalogue | null
  readonly connected: Connected
  readonly integrations: Integrations
  readonly known: KnownConnections
  readonly limiter: Limiter
  readonly config: () => LoadedConfig
  /** The syncs that calls of the API made. */
  readonly made: () => readonly MadeSync[]
  readonly makeProject: (signal: AbortSignal | null) => OwnedProject
  /** What there would be with these syncs made. Throws what would be wrong. */
  readonly tryMade: (made: Readonly<Record<string, unknown>>) => Promise<readonly AnySync[]>
  /** Takes up what the config and the store say now. */
  readonly reload: () => Promise<void>
  /** Sees what other processes have made. */
  readonly catchUp: () => Promise<void>
}

export function openOperations(options: OperationsOptions): Operations {
  const { store, service, events, definitions, config, makeProject, reload, tryMade, webhooks } = options
  const { connected, integrations, known, made, limiter, catchUp, catalogue, sharedEvents } = options
  const ownSync = (sync: AnySync): KnownSync => {
    const found = madeOf(made(), sync.id)
    return { sync, origin: found === undefined ? 'config' : 'api', project: found?.project ?? null }
  }
  const syncs = () => [
    ...definitions.all.map(ownSync),
    ...known.syncs().map((one): KnownSync => ({ ...one, origin: 'connection' })),
  ]
  return {
    ...{ store, service, events, syncs, webhooks, connected, integrations, catchUp, catalogue, sharedEvents },
    sync: (id) => {
      const own = definitions.known(id)
      if (own !== null) return ownSync(own)
      const one = known.sync(id)
      return one === null ? null : { ...one, origin: 'connection' }
    },
    verifyWebhook: async (name, request) => {
      const own = config().connections.get(name)
      return own === undefined ? await connected.verifyWebhook(name, request) : ((await own.webhook?.(request)) ?? null)
    },
    reads: (sync, name) => placesOf(sync).some(({ connection }) => connection === name),
    syncsOf: (connection) => known.syncsOf(connection).map((one) => ({ ...one, origin: 'connection' })),
    connections: () => [
      ...[...config().connections].map(([name, { system }]): KnownConnection => {
        const rest = { integration: null, activeSyncs: null, minutesBetweenSyncs: null, schedules: null }
        return { name, connector: system, projects: projectsOf(name, config()), ...rest }
      }),
      ...known.all.map(
        ({
          id,
          integrationId,
          project,
          activeSyncs = null,
          minutesBetweenSyncs = null,
          schedules = null,
        }): KnownConnection => {
          const integration = integrations.all.find((one) => one.id === integrationId)
          const projects = project === undefined ? [] : [project]
          const rest = { integration: integrationId, activeSyncs, minutesBetweenSyncs, schedules }
          return { name: id, connector: integration?.connectorId ?? '', projects, ...rest }
        },
      ),
    ],
    limits: () => limiter.states(),
    limitsOf: ({ name, integration, connector }) =>
      (integration === null
        ? config().connections.get(name)?.acting?.connector
        : integrations.connectors.find((one) => one.name === connector)
      )?.limits ?? {},
    actionsOf: ({ name, integration }) => {
      if (integration === null) return config().connections.get(name)?.acting?.connector.actions ?? new Map()
      const found = integrations.all.find(({ id }) => id === integration)
      if (found === undefined) return new Map()
      const { actions } = integrations.connector(found.connectorId)
      return new Map([...actions].filter(([action]) => found.actions?.includes(action) ?? true))
    },
    askForRun: (one, { id, name }) => askForRun(config().permit, one, { id, name }),
    use: async (work, signal) => {
      await using project = makeProject(signal)
      return await work(project)
    },
    putSync: async (name, written, project) => {
      const definition = z.record(z.string(), z.unknown()).parse(written)
      refuseReferences(name, definition)
      if (known.find(name) !== null)
        throw new SyncError('CONFIG_INVALID', `there is a connection "${name}"`, { hint: 'Choose another name.' })
      refuseUnknown(name, definition, project, config(), known)
      // Tried before it is kept: one mistake must not take the others away.
      const all = [...made().filter((one) => one.name !== name), { name, definition, project }]
      const tried = await tryMade(Object.fromEntries(all.map((one) => [one.name, one.definition])))
      for (const sync of tried.filter(({ id }) => madeOf(all, id)?.name === name))
        refuseForeign(sync, project, config(), known)
      await keepSync(store.records, { name, definition, project })
      await reload()
      return syncs().filter(({ sync }) => madeOf(made(), sync.id)?.name === name)
    },
    usersOf: (connection) =>
      made().flatMap(({ name, definition }) => (connectionsNamed(definition).includes(connection) ? [name] : [])),
    madeSync: (name) => made().find((one) => one.name === name) ?? null,
    removeSync: async (name) => {
      const dropped = await dropSync(store.records, name)
      for (const { sync } of await store.schedules.list({}))
        if (sync === name || sync.startsWith(`${name}/`)) await store.schedules.remove(sync)
      await reload()
      return dropped
    },
  }
}

/** A connection of the config that can act. It is of a project if it is of no other. */
export function actingIn(config: LoadedConfig, connection: string): ActingConnection | null {
  const acting = config.connections.get(connection)?.acting ?? null
  const [project = null, ...others] = projectsOf(connection, config)
  return acting === null ? null : { ...acting, project: others.length === 0 ? project : null }
}

/** The projects whose keys may use a connection. */
function projectsOf(connection: string, { projects }: LoadedConfig): readonly string[] {
  return [...projects].filter(([, connections]) => connections.includes(connection)).map(([name]) => name)
}

/** Of other projects' connections a key of a project hears nothing, also not that there are any. */
function refuseUnknown(
  sync: string,
  definition: unknown,
  project: string | null,
  { connections }: LoadedConfig,
  known: KnownConnections,
): void {
  const kept = known.all.filter((one) => project === null || one.project === project).map(({ id }) => id)
  for (const name of connectionsNamed(definition)) {
    if (connections.has(name) || kept.includes(name)) continue
    const own = project === null ? [...connections.keys()] : []
    throw new SyncError(
      'CONFIG_INVALID',
      `sync "${sync}": no connection "${name}"${didYouMean(name, [...own, ...kept])}`,
      {
        hint: 'GET /api/connections tells which there are.',
      },
    )
  }
}

/** A sync of a project uses its connections only: through another's it would read what is not its own. */
function refuseForeign(sync: AnySync, project: string | null, config: LoadedConfig, known: KnownConnections): void {
  if (project === null) return
  for (const { connection } of placesOf(sync)) {
    if (projectsOf(connection, config).includes(project) || known.find(connection)?.project === project) continue
    throw new SyncError('FORBIDDEN', `project "${project}" may not use the connection "${connection}"`, {
      hint: 'The config file says which connections a project may use: projects: { name: [connections] }.',
    })
  }
  for (const step of [sync.steps?.before ?? null, sync.steps?.after ?? null]) {
    if (step === null || known.find(step.connection)?.project === project) continue
    if (projectsOf(step.connection, config).includes(project)) continue
    throw new SyncError('FORBIDDEN', `project "${project}" has no connection "${step.connection}" to act through`, {
      hint: 'Steps of a project’s syncs are actions of connections that its keys have made, or that the config lets it use.',
    })
  }
}

/** Who calls the API may not read the service's environment by way of a sync. */
function refuseReferences(name: string, definition: unknown): void {
  const references = (value: unknown): boolean =>
    typeof value === 'object' &&
    value !== null &&
    ((Object.keys(value).length === 1 &&
      ['env', 'secret'].some((key) => typeof Reflect.get(value, key) === 'string')) ||
      Object.values(value).some(references))
  if (references(definition))
    throw new SyncError('CONFIG_INVALID', `sync "${name}": a sync made by the API names no variables and no secrets`)
}
