/** A running project as the server offers it. */
import { z } from 'zod'
import type { ConfigDefinitions } from '../config/definitions.ts'
import type { LoadedConfig } from '../config/load.ts'
import { SyncError } from '../core/error.ts'
import { type AnySync, placesOf } from '../core/two-way.ts'
import type { Catalogue } from '../engine/catalogue.ts'
import type { Connected } from '../engine/connected.ts'
import type { Events } from '../engine/events.ts'
import type { Integrations } from '../engine/integrations.ts'
import type { KnownConnections } from '../engine/known-connections.ts'
import { dropSync, keepSync, type MadeSync, madeOf } from '../engine/made-syncs.ts'
import type { KnownConnection, KnownSync, Operations } from '../engine/operations.ts'
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
  const { connected, integrations, known, made, catchUp, catalogue, sharedEvents } = options
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
        const rest = { integration: null, activeSyncs: null, minutesBetweenSyncs: null }
        return { name, connector: system, projects: projectsOf(name, config()), ...rest }
      }),
      ...known.all.map(
        ({ id, integrationId, project, activeSyncs = null, minutesBetweenSyncs = null }): KnownConnection => {
          const integration = integrations.all.find((one) => one.id === integrationId)
          const projects = project === undefined ? [] : [project]
          const rest = { integration: integrationId, activeSyncs, minutesBetweenSyncs }
          return { name: id, connector: integration?.connectorId ?? '', projects, ...rest }
        },
      ),
    ],
    use: async (work, signal) => {
      await using project = makeProject(signal)
      return await work(project)
    },
    putSync: async (name, written, project) => {
      const definition = z.record(z.string(), z.unknown()).parse(written)
      refuseReferences(name, definition)
      if (known.find(name) !== null)
        throw new SyncError('CONFIG_INVALID', `there is a connection "${name}"`, { hint: 'Choose another name.' })
      // Tried before it is kept: one mistake must not take the others away.
      const all = [...made().filter((one) => one.name !== name), { name, definition, project }]
      const tried = await tryMade(Object.fromEntries(all.map((one) => [one.name, one.definition])))
      for (const sync of tried.filter(({ id }) => madeOf(all, id)?.name === name))
        refuseForeign(sync, project, config(), known)
      await keepSync(store.records, { name, definition, project })
      await reload()
      return syncs().filter(({ sync }) => madeOf(made(), sync.id)?.name === name)
    },
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

/** The projects whose keys may use a connection. */
function projectsOf(connection: string, { projects }: LoadedConfig): readonly string[] {
  return [...projects].filter(([, connections]) => connections.includes(connection)).map(([name]) => name)
}

/** A sync of a project uses its connections only: through another's it would read what is not its own. */
function refuseForeign(sync: AnySync, project: string | null, config: LoadedConfig, known: KnownConnections): void {
  if (project === null) return
  for (const { connection } of placesOf(sync)) {
    if (projectsOf(connection, config).includes(project)) continue
    throw new SyncError('FORBIDDEN', `project "${project}" may not use the connection "${connection}"`, {
      hint: 'The config file says which connections a project may use: projects: { name: [connections] }.',
    })
  }
  for (const step of [sync.steps?.before ?? null, sync.steps?.after ?? null]) {
    if (step === null || known.find(step.connection)?.project === project) continue
    throw new SyncError('FORBIDDEN', `project "${project}" has no connection "${step.connection}" to act through`, {
      hint: 'Steps of a project’s syncs are actions of connections that its keys have made.',
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
