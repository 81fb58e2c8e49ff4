/** Syncs made, changed and taken away by calls of the API: tried before they are kept, one after the other, whichever process is called. */
import { randomUUID } from 'node:crypto'
import type { Expansion } from '../../config/expand.ts'
import type { LoadedConfig } from '../../config/load.ts'
import { type Made, syncsNamed } from '../../config/made.ts'
import { connectionsNamed } from '../../config/schema.ts'
import { SyncError } from '../../core/error.ts'
import { didYouMean } from '../../core/name.ts'
import { systemClock } from '../../engine/clock.ts'
import {
  dropSync,
  formerlyOthers,
  keepFormerOwner,
  keepSync,
  type MadeSync,
  madeSyncs,
} from '../../engine/connections/api-syncs.ts'
import type { KnownConnections } from '../../engine/connections/connection-cache.ts'
import type { PutSync } from '../../engine/operations.ts'
import { Mutex } from '../../engine/queue/mutex.ts'
import type { Store } from '../../store/store.ts'

/** The lease of who changes them. */
const CHANGING = 'made-syncs'
const CHANGE_MS = 60_000
const LOOK_MS = 100

export interface MadeChangesOptions {
  readonly store: Store
  readonly config: () => LoadedConfig
  readonly known: KnownConnections
  /** Whether a connection has this name, or had it and was another project's. */
  readonly claimed: (name: string, project: string | null) => Promise<boolean>
  /** What there would be with these syncs made. */
  readonly tryMade: (made: ReadonlyMap<string, Made>) => Promise<Expansion>
  /** Takes up what the store says now. */
  readonly reload: () => Promise<void>
}

/** A sync as a caller writes it, and whose key that is; null: a key of no project. */
export interface WrittenSync {
  readonly name: string
  readonly definition: Readonly<Record<string, unknown>>
  readonly project: string | null
}

export class MadeChanges {
  readonly #options: MadeChangesOptions
  readonly #mutex = new Mutex()

  constructor(options: MadeChangesOptions) {
    this.#options = options
  }

  /**
   * Whoever changes a sync, it stays whose it was. FORBIDDEN: the name is the config file's or another project's, whether what has it
   * works, is set aside or is gone. Throws what is wrong with the definition. Says what was done.
   */
  async put({ name, definition, project }: WrittenSync): Promise<Omit<PutSync, 'syncs'>> {
    const { store, config, known, claimed, tryMade, reload } = this.#options
    refuseReferences(name, definition)
    return await this.#alone(async () => {
      if (await claimed(writtenAs(name), project)) throw notYours(name)
      if (isOfConfig(name, config()))
        throw new SyncError('FORBIDDEN', `sync "${name}" is in the config file`, { hint: 'Change it there.' })
      const all = new Map((await madeSyncs(store.records)).map((one) => [one.name, one]))
      const before = all.get(name)
      const holder = all.get(writtenAs(name))
      if (holder !== undefined && !mayChange(project, holder)) throw notYours(name)
      const whose = before === undefined ? project : before.project
      if (await formerlyOthers(store.records, name, whose)) throw notYours(name)
      refuseUnknown({ name, definition, project }, { config: config(), known, made: [...all.values()] })
      all.set(name, { name, definition, project: whose })
      const failed = (await tryMade(all)).failures.find((failure) => failure.name === name)
      if (failed !== undefined) throw told(failed.error, name, project)
      await keepSync(store.records, { name, definition, project: whose })
      await reload()
      return { change: before === undefined ? 'made' : 'changed', project: whose }
    })
  }

  /** `project`: of the caller. False: there was none. FORBIDDEN: it is another project's. SYNC_USED: others name it. */
  async remove(name: string, project: string | null): Promise<boolean> {
    const { store, reload } = this.#options
    return await this.#alone(async () => {
      const all = await madeSyncs(store.records)
      const names = (one: MadeSync) => one.name !== name && syncsNamed(one.definition).some((id) => isOf(id, name))
      const users = all.filter(names).length
      if (users > 0)
        throw new SyncError('SYNC_USED', `sync "${name}" is named by ${users} other(s) made by the API`, {
          hint: 'Those that run after it, or refer to its rows, have to be changed or taken away first.',
        })
      const found = all.find((one) => one.name === name)
      if (found !== undefined && !mayChange(project, found)) throw notYours(name)
      if (found !== undefined) await keepFormerOwner(store.records, name, found.project)
      const dropped = await dropSync(store.records, name)
      for (const { sync } of await store.schedules.list({})) if (isOf(sync, name)) await store.schedules.remove(sync)
      await reload()
      return dropped
    })
  }

  async #alone<Result>(change: () => Promise<Result>): Promise<Result> {
    const { leases } = this.#options.store
    using _ = await this.#mutex.hold([CHANGING])
    const lease = await this.#lease()
    try {
      return await change()
    } finally {
      await leases.free(CHANGING, lease)
    }
  }

  /** Waits until no other process has it. */
  async #lease(): Promise<number> {
    const { leases } = this.#options.store
    const waiting = AbortSignal.timeout(CHANGE_MS)
    for (;;) {
      const lease = await leases.take(CHANGING, randomUUID(), systemClock.now(), CHANGE_MS).catch((error: unknown) => {
        if (error instanceof SyncError && error.code === 'LEASE_LOST') return null
        throw error
      })
      if (lease !== null) return lease
      await systemClock.sleep(LOOK_MS, waiting)
    }
  }
}

/** Whether a caller's key may change what there is: one of a project what is that project's, one of none everything. */
function mayChange(project: string | null, { project: owner }: MadeSync): boolean {
  return project === null || owner === project
}

/** Also of one that its pattern expands to, and of one that fails as it is written. */
function isOfConfig(name: string, { syncs, made }: LoadedConfig): boolean {
  const written = writtenAs(name)
  return !made.has(written) && syncs.some((setup) => setup.name === written)
}

/** The name of the definition, or the connection, that a sync of this name would be of. */
function writtenAs(name: string): string {
  return name.split('/')[0] ?? name
}

function notYours(name: string): SyncError {
  return new SyncError('FORBIDDEN', `sync "${name}" is not for this key to change`, { hint: 'Choose another name.' })
}

/** Whether a sync's id is that of a definition, or of one that its pattern expanded to. */
function isOf(id: string, definition: string): boolean {
  return id === definition || id.startsWith(`${definition}/`)
}

/** Of what other projects have, a key of a project hears nothing, also not that there is any. */
function refuseUnknown(
  { name: sync, definition, project }: WrittenSync,
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
    if (!own.some((one) => isOf(name, one)))
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
