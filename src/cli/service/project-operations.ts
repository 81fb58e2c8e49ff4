/** A running project as the server offers it. */
import { z } from 'zod'
import { projectsOf } from '../../config/acting.ts'
import type { ConfigDefinitions } from '../../config/definitions.ts'
import type { Expansion } from '../../config/expand.ts'
import type { LoadedConfig } from '../../config/load.ts'
import { actingNamed, type Made } from '../../config/made.ts'
import { connectionsNamed } from '../../config/schema.ts'
import { type AnySync, placesOf } from '../../core/two-way.ts'
import type { Limiter } from '../../engine/calls/rate-limiter.ts'
import { type MadeSync, madeOf } from '../../engine/connections/api-syncs.ts'
import type { Catalogue } from '../../engine/connections/catalogue.ts'
import type { KnownConnections } from '../../engine/connections/connection-cache.ts'
import type { Connected } from '../../engine/connections/connection-service.ts'
import type { Integrations } from '../../engine/connections/integrations.ts'
import type { Events } from '../../engine/observe/events.ts'
import type { Webhooks } from '../../engine/observe/outgoing-webhooks.ts'
import type { SharedEvents } from '../../engine/observe/shared-events.ts'
import type { KnownConnection, KnownSync, Operations } from '../../engine/operations.ts'
import { askForRun } from '../../engine/queue/permit.ts'
import type { OwnedProject } from '../../engine/queue/project-pool.ts'
import type { Service } from '../../engine/queue/service.ts'
import type { Store } from '../../store/store.ts'
import { MadeChanges } from './api-sync-changes.ts'

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
  /** What there would be with these syncs made. */
  readonly tryMade: (made: ReadonlyMap<string, Made>) => Promise<Expansion>
  /** Takes up what the config and the store say now. */
  readonly reload: () => Promise<void>
  /** Sees what other processes have made. */
  readonly catchUp: () => Promise<void>
}

export function openOperations(options: OperationsOptions): Operations {
  const { store, service, events, definitions, config, makeProject, reload, tryMade, webhooks } = options
  const { connected, integrations, known, made, limiter, catchUp, catalogue, sharedEvents } = options
  const changes = new MadeChanges({
    ...{ store, config, known, tryMade, reload },
    claimed: (name, project) => connected.claims(name, project),
  })
  const ownSync = (sync: AnySync): KnownSync => {
    const found = madeOf(made(), sync.id)
    return { sync, origin: found === undefined ? 'config' : 'api', project: found?.project ?? sync.project ?? null }
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
    limits: (connections) => limiter.statesOfAll(connections),
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
      const put = await changes.put({ name, definition: z.record(z.string(), z.unknown()).parse(written), project })
      return { ...put, syncs: syncs().filter(({ sync }) => madeOf(made(), sync.id)?.name === name) }
    },
    usersOf: (connection) =>
      made().flatMap(({ name, definition }) =>
        [...connectionsNamed(definition), ...actingNamed(definition)].includes(connection) ? [name] : [],
      ),
    madeSync: (name) => made().find((one) => one.name === name) ?? null,
    setAside: (name) => definitions.failure(name),
    removeSync: (name, project) => changes.remove(name, project),
  }
}
