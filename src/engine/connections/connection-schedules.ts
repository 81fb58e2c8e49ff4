/** When the syncs of connections run: their schedules in the store, as connections and integrations say. */
import { isDeepStrictEqual } from 'node:util'
import type { Clock } from '../../connectors/connector.ts'
import { firstInstant, type Schedule } from '../../core/schedule.ts'
import type { SyncId } from '../../core/sync-id.ts'
import { allRecords } from '../../store/all-records.ts'
import type { ScheduleRecord } from '../../store/jobs.ts'
import type { Store } from '../../store/store.ts'
import { type ConnectionOutline, type ConnectionStore, outlineOf, unknownConnection } from './connection-store.ts'
import { namesOf, partsOf, syncOf } from './handler-syncs.ts'
import type { Integrations } from './integrations.ts'

/** Connections whose syncs do not run by themselves. */
const UNSCHEDULED = 'unscheduled'

export interface ConnectionSchedulesOptions {
  readonly store: Pick<Store, 'records' | 'schedules'>
  readonly context: { readonly clock: Clock }
  readonly connections: ConnectionStore
  readonly integrations: Integrations
  readonly minutesBetweenSyncs: number
  /** After connections or their schedules have changed. */
  readonly changed: () => Promise<void>
}

export class ConnectionSchedules {
  readonly #options: ConnectionSchedulesOptions

  constructor(options: ConnectionSchedulesOptions) {
    this.#options = options
  }

  /** Lets the connection's syncs run by themselves, those that were switched off no more. CONNECTION_UNKNOWN. */
  async put(id: string): Promise<void> {
    const { connections, store, changed } = this.#options
    const outline = await outlineOf(connections, id)
    if (outline === undefined) throw unknownConnection(id)
    const wanted = this.#schedulesFor(outline)
    await store.records.delete(UNSCHEDULED, id)
    await this.#set(id, wanted)
    await changed()
  }

  /** Takes up how a connection and its integration are now, unless its syncs are not to run by themselves. */
  async renew(id: string): Promise<void> {
    if ((await this.#options.store.records.get(UNSCHEDULED, id)) === null) await this.put(id)
  }

  /** The same for many. What there is is read once for all of them; those that differ are looked at again, one by one. */
  async takeUp(outlines: readonly ConnectionOutline[], failed: (error: unknown) => void): Promise<void> {
    const { connections, store, changed } = this.#options
    if (outlines.length === 0) return await changed()
    const all = await store.schedules.list({ origin: 'api' })
    const known = Map.groupBy(all, ({ sync }) => partsOf(sync)?.connectionId)
    const unscheduled = new Set<string>()
    for await (const { id } of allRecords(store.records, UNSCHEDULED)) unscheduled.add(id)
    for (const outline of outlines) {
      const { id } = outline
      try {
        if (unscheduled.has(id) || same(known.get(id) ?? [], this.#wanted(outline))) continue
        const now = await outlineOf(connections, id)
        if (now !== undefined) await this.#set(id, this.#wanted(now))
      } catch (error) {
        failed(error)
      }
    }
    await changed()
  }

  /** Until `put` they run only when asked to, also after a restart. */
  async suspend(id: string): Promise<void> {
    await this.#options.store.records.put({ kind: UNSCHEDULED, id, body: '', expiresAt: null })
    await this.drop(id)
  }

  async forget(id: string): Promise<void> {
    await this.drop(id)
    await this.#options.store.records.delete(UNSCHEDULED, id)
  }

  async drop(id: string): Promise<void> {
    await this.#set(id, new Map())
  }

  /** None where its integration is gone. */
  #wanted(outline: ConnectionOutline): ReadonlyMap<SyncId, Schedule> {
    const known = this.#options.integrations.all.some(({ id }) => id === outline.integrationId)
    return known ? this.#schedulesFor(outline) : new Map()
  }

  /** INTEGRATION_UNKNOWN, CONFIG_INVALID. */
  #schedulesFor(outline: ConnectionOutline): ReadonlyMap<SyncId, Schedule> {
    const { integrations, minutesBetweenSyncs } = this.#options
    const syncs = namesOf(outline, integrations).map((name) => syncOf(outline, name, integrations, minutesBetweenSyncs))
    return new Map(syncs.map(({ id, schedule }) => [id, schedule]))
  }

  /** From now on these, and no others. */
  async #set(id: string, wanted: ReadonlyMap<SyncId, Schedule>): Promise<void> {
    const { store, context } = this.#options
    for (const [sync, schedule] of wanted)
      await store.schedules.put({ sync, schedule, origin: 'api' }, firstInstant(schedule, context.clock.now()))
    for (const { sync } of await store.schedules.list({ origin: 'api', connection: id }))
      if (!wanted.has(sync)) await store.schedules.remove(sync)
  }
}

function same(known: readonly ScheduleRecord[], wanted: ReadonlyMap<SyncId, Schedule>): boolean {
  const says = ({ sync, schedule }: ScheduleRecord) => isDeepStrictEqual(wanted.get(sync), schedule)
  return known.length === wanted.size && known.every(says)
}
