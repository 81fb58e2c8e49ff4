/** A running project as the server offers it. */
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import type { ConfigDefinitions } from '../config/definitions.ts'
import type { Expansion } from '../config/expand.ts'
import type { LoadedConfig } from '../config/load.ts'
import { actingNamed, type Made, syncsNamed } from '../config/made.ts'
import { connectionsNamed } from '../config/schema.ts'
import { SyncError } from '../core/error.ts'
import { didYouMean } from '../core/name.ts'
import { type AnySync, placesOf } from '../core/two-way.ts'
import type { ActingConnection } from '../engine/actions.ts'
import type { Catalogue } from '../engine/catalogue.ts'
import { systemClock } from '../engine/clock.ts'
import type { Connected } from '../engine/connected.ts'
import type { Events } from '../engine/events.ts'
import type { Integrations } from '../engine/integrations.ts'
import type { KnownConnections } from '../engine/known-connections.ts'
import {
  dropSync,
  formerOwner,
  keepFormerOwner,
  keepSync,
  type MadeSync,
  madeOf,
  madeSyncs,
} from '../engine/made-syncs.ts'
import { Mutex } from '../engine/mutex.ts'
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
  /** What there would be with these syncs made. */
  readonly tryMade: (made: ReadonlyMap<string, Made>) => Promise<Expansion>
  /** Takes up what the config and the store say now. */
  readonly reload: () => Promise<void>
  /** Sees what other processes have made. */
  readonly catchUp: () => Promise<void>
}

/** For changes of what the API made: by one process at a time, one after the other. */
const CHANGING = 'made-syncs'
const CHANGE_MS = 60_000
const LOOK_MS = 100

export function openOperations(options: OperationsOptions): Operations {
  const { store, service, events, definitions, config, makeProject, reload, tryMade, webhooks } = options
  const { connected, integrations, known, made, catchUp, catalogue, sharedEvents } = options
  const changes = new Mutex()
  const serially = async <Result>(change: () => Promise<Result>): Promise<Result> => {
    using _ = await changes.hold([CHANGING])
    const lease = await leaseOf(store)
    try {
      return await change()
    } finally {
      await store.leases.free(CHANGING, lease)
    }
  }
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
    actionsOf: ({ name, integration }) => {
      if (integration === null) return config().connections.get(name)?.acting?.connector.actions ?? new Map()
      const found = integrations.all.find(({ id }) => id === integration)
      if (found === undefined) return new Map()
      const { actions } = integrations.connector(found.connectorId)
      return new Map([...actions].filter(([action]) => found.actions?.includes(action) ?? true))
    },
    use: async (work, signal) => {
      await using project = makeProject(signal)
      return await work(project)
    },
    putSync: async (name, written, project) => {
      const definition = z.record(z.string(), z.unknown()).parse(written)
      refuseReferences(name, definition)
      if (known.find(name) !== null)
        throw new SyncError('CONFIG_INVALID', `there is a connection "${name}"`, { hint: 'Choose another name.' })
      return await serially(async () => {
        const all = new Map((await madeSyncs(store.records)).map((one) => [one.name, one]))
        // Whoever changes it, it stays whose it was.
        const whose = all.get(name)?.project ?? (all.has(name) ? null : project)
        const former = await formerOwner(store.records, name)
        if (former !== null && whose !== null && former !== whose)
          throw new SyncError('CONFIG_INVALID', `the name "${name}" was another sync's`, {
            hint: 'Choose another: its runs are still there.',
          })
        refuseUnknown({ name, definition, project }, { config: config(), known, made: [...all.values()] })
        all.set(name, { name, definition, project: whose })
        // Tried before it is kept.
        const { failures } = await tryMade(all)
        const failed = failures.find((failure) => failure.name === name)
        if (failed !== undefined) throw told(failed.error, name, project)
        await keepSync(store.records, { name, definition, project: whose })
        await reload()
        return syncs().filter(({ sync }) => madeOf(made(), sync.id)?.name === name)
      })
    },
    usersOf: (connection) =>
      made().flatMap(({ name, definition }) =>
        [...connectionsNamed(definition), ...actingNamed(definition)].includes(connection) ? [name] : [],
      ),
    madeSync: (name) => made().find((one) => one.name === name) ?? null,
    setAside: (name) => definitions.failure(name),
    removeSync: async (name) =>
      await serially(async () => {
        const all = await madeSyncs(store.records)
        const users = all.filter(
          (one) => one.name !== name && syncsNamed(one.definition).some((id) => isNamed(id, name)),
        )
        if (users.length > 0)
          throw new SyncError('SYNC_USED', `sync "${name}" is named by ${users.length} other(s) made by the API`, {
            hint: 'Those that run after it, or refer to its rows, have to be changed or taken away first.',
          })
        const project = all.find((one) => one.name === name)?.project ?? null
        if (project !== null) await keepFormerOwner(store.records, name, project)
        const dropped = await dropSync(store.records, name)
        for (const { sync } of await store.schedules.list({}))
          if (isNamed(sync, name)) await store.schedules.remove(sync)
        await reload()
        return dropped
      }),
  }
}

/** Waits until no other process has it. */
async function leaseOf({ leases }: Store): Promise<number> {
  for (;;) {
    const lease = await leases.take(CHANGING, randomUUID(), systemClock.now(), CHANGE_MS).catch((error: unknown) => {
      if (error instanceof SyncError && error.code === 'LEASE_LOST') return null
      throw error
    })
    if (lease !== null) return lease
    await systemClock.sleep(LOOK_MS, AbortSignal.timeout(CHANGE_MS))
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

/** Whether a sync's id is that of a definition, or of one that its pattern expanded to. */
function isNamed(id: string, definition: string): boolean {
  return id === definition || id.startsWith(`${definition}/`)
}

/** Of what other projects have, a key of a project hears nothing, also not that there is any. */
function refuseUnknown(
  { name: sync, definition, project }: MadeSync,
  { config, known, made }: { config: LoadedConfig; known: KnownConnections; made: readonly MadeSync[] },
): void {
  const kept = known.all.filter((one) => project === null || one.project === project).map(({ id }) => id)
  for (const name of connectionsNamed(definition)) {
    if (config.connections.has(name) || kept.includes(name)) continue
    const own = project === null ? [...config.connections.keys()] : []
    const near = didYouMean(name, [...own, ...kept])
    throw new SyncError('CONFIG_INVALID', `sync "${sync}": no connection "${name}"${near}`, {
      hint: 'GET /api/connections tells which there are.',
    })
  }
  if (project === null) return
  const own = made.filter((one) => one.project === project && one.name !== sync).map(({ name }) => name)
  for (const name of syncsNamed(definition))
    if (!own.some((one) => isNamed(name, one)))
      throw new SyncError('CONFIG_INVALID', `sync "${sync}": no sync "${name}"${didYouMean(name, own)}`)
}

/** What is wrong with a sync, as its caller is told: a key of a project hears no names of others' syncs. */
function told(error: SyncError, name: string, project: string | null): SyncError {
  if (error.code !== 'TARGET_SHARED' || project === null) return error
  return new SyncError('TARGET_SHARED', `sync "${name}" would write what another sync writes`, {
    hint: 'Give it another target.',
  })
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
