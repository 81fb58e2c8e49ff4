/** A running project as the server offers it. */
import { z } from 'zod'
import type { ConfigDefinitions } from '../config/definitions.ts'
import type { LoadedConfig } from '../config/load.ts'
import { SyncError } from '../core/error.ts'
import { placesOf } from '../core/two-way.ts'
import type { Events } from '../engine/events.ts'
import { dropSync, keepSync, type MadeSync, madeSyncs } from '../engine/made-syncs.ts'
import type { KnownSync, Operations } from '../engine/operations.ts'
import type { Service } from '../engine/service.ts'
import type { OwnedProject } from '../engine/slots.ts'
import type { Webhooks } from '../engine/webhooks.ts'
import type { Store } from '../store/store.ts'

export interface OperationsOptions {
  readonly store: Store
  readonly service: Service
  readonly events: Events
  readonly definitions: ConfigDefinitions
  readonly webhooks: Webhooks
  readonly config: () => LoadedConfig
  readonly makeProject: (signal: AbortSignal) => OwnedProject
  /** Takes up what the config and the store say now. */
  readonly reload: () => Promise<void>
}

export async function openOperations(options: OperationsOptions): Promise<Operations> {
  const { store, service, events, definitions, config, makeProject, reload, webhooks } = options
  let made = await madeSyncs(store.records)
  const syncs = () =>
    definitions.all.map((sync): KnownSync => {
      const found = madeOf(made, sync.id)
      return { sync, origin: found === undefined ? 'config' : 'api', project: found?.project ?? null }
    })
  const changed = async () => {
    made = await madeSyncs(store.records)
    await reload()
  }
  return {
    ...{ store, service, events, syncs, webhooks },
    verifyWebhook: async (name, request) => (await config().connections.get(name)?.webhook?.(request)) ?? null,
    reads: (sync, name) => placesOf(sync).some(({ connection }) => connection === name),
    connections: () =>
      [...config().connections].map(([name, { system }]) => ({ name, connector: system, project: null })),
    use: async (work, signal) => {
      await using project = makeProject(signal)
      return await work(project)
    },
    putSync: async (name, written, project) => {
      const definition = z.record(z.string(), z.unknown()).parse(written)
      refuseReferences(name, definition)
      const before = made.find((one) => one.name === name)
      await keepSync(store.records, { name, definition, project })
      await changed()
      const { setAside } = config()
      if (setAside === null) return syncs().filter(({ sync }) => madeOf(made, sync.id)?.name === name)
      // As it was: one mistake must not take the others away.
      if (before === undefined) await dropSync(store.records, name)
      else await keepSync(store.records, before)
      await changed()
      throw setAside
    },
    removeSync: async (name) => {
      const dropped = await dropSync(store.records, name)
      await changed()
      return dropped
    },
  }
}

function madeOf(made: readonly MadeSync[], id: string): MadeSync | undefined {
  return made.find(({ name }) => id === name || id.startsWith(`${name}/`))
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
