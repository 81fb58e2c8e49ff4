/** Two systems in memory and a two-way sync between them, to tell stories with: put, sync, look. */

import type { Connection, Context } from '../../src/connectors/connector.ts'
import { memoryConnector } from '../../src/connectors/memory.ts'
import { MemorySystem } from '../../src/connectors/memory-system.ts'
import type { StepEvent } from '../../src/core/event.ts'
import { plainField } from '../../src/core/pairing.ts'
import type { RunEvent, RunRecord } from '../../src/core/run.ts'
import type { Field, Schema } from '../../src/core/schema.ts'
import { defaults } from '../../src/core/sync.ts'
import type { PairField, SideName, TwoWaySync } from '../../src/core/two-way.ts'
import type { Row, Type } from '../../src/core/value.ts'
import type { Project } from '../../src/engine/project.ts'
import { runSync } from '../../src/engine/runs/run-sync.ts'
import type { ConflictRecord } from '../../src/store/pairs.ts'
import { openMemoryStore } from '../../src/store/sqlite/store.ts'
import type { Store } from '../../src/store/store.ts'

export const contactFields: Record<string, Type> = { id: 'integer', name: 'text', email: 'text', phone: 'text' }

export function schemaOf(name: string, fields: Readonly<Record<string, Type>>, key: readonly string[]): Schema {
  return {
    name,
    system: 'memory',
    key,
    fields: Object.entries(fields).map(
      ([field, type]): Field => ({ name: field, type, native: '', nullable: !key.includes(field), writable: true }),
    ),
  }
}

export function field(name: string, over: Partial<PairField> = {}): PairField {
  return { ...plainField(name), ...over }
}

/** A sync of `contacts` on both sides with everything at its default. */
export function contactsSync(over: Partial<TwoWaySync> = {}): TwoWaySync {
  return {
    id: 'contacts',
    left: { connection: 'left', collection: 'contacts' },
    right: { connection: 'right', collection: 'contacts' },
    match: [{ field: 'email', by: null }],
    fields: [field('name'), field('email'), field('phone')],
    direction: 'both',
    onConflict: 'ask',
    onDeleteConflict: 'keep',
    deletes: 'propagate',
    stamp: null,
    key: { left: null, right: null },
    guard: defaults.guard,
    bases: 'values',
    batch: { rows: 1000, bytes: defaults.batch.bytes },
    journalDays: 30,
    schedule: { kind: 'manual' },
    cycle: [],
    ...over,
  }
}

export class World {
  readonly left = new MemorySystem()
  readonly right = new MemorySystem()
  readonly store: Store
  readonly events: RunEvent[] = []
  readonly steps: StepEvent[] = []
  syncs: TwoWaySync[]
  projectId = 'project'
  now = Date.UTC(2026, 0, 1)

  constructor(
    over: Partial<TwoWaySync> = {},
    fields: { readonly left?: Record<string, Type>; readonly right?: Record<string, Type> } = {},
    store: Store = openMemoryStore(),
  ) {
    this.store = store
    this.syncs = [contactsSync(over)]
    this.left.create(schemaOf('contacts', fields.left ?? contactFields, ['id']))
    this.right.create(schemaOf('contacts', fields.right ?? contactFields, ['id']))
    // Keys that the systems assign don't meet those that the stories choose.
    this.left.assigned = 1000
    this.right.assigned = 2000
  }

  get project(): Project {
    const connection = async (name: string): Promise<Connection> =>
      memoryConnector.open({ system: name === 'left' ? this.left : this.right }, this.context)
    return {
      id: this.projectId,
      store: this.store,
      context: this.context,
      connection,
      reconnect: async () => {},
      unreachable: new Set(),
      emit: (event) => this.events.push(event),
      emitStep: (event) => this.steps.push(event),
    }
  }

  get context(): Context {
    return {
      signal: new AbortController().signal,
      clock: { now: () => this.now++, sleep: async () => {} },
      random: () => 0.5,
      log: () => {},
    }
  }

  /** Runs every sync once, in order; returns the last record. */
  async sync(): Promise<RunRecord> {
    let record: RunRecord | null = null
    for (const sync of this.syncs) record = await runSync(sync, this.project)
    return record as RunRecord
  }

  /** Rows of a side without their keys, sorted. */
  values(side: SideName, collection = 'contacts'): Row[] {
    return this[side]
      .rows(collection)
      .map((row) => row.slice(1))
      .sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
  }

  /** Writes of a run. */
  static writes({ inserted, updated, deleted }: RunRecord): number {
    return inserted + updated + deleted
  }

  async conflicts(status?: ConflictRecord['status']): Promise<readonly ConflictRecord[]> {
    return this.store.pairs.conflicts.list({ limit: 1000, ...(status === undefined ? {} : { status: [status] }) })
  }
}
