/**
 * The memory connector: the reference for every other. Collections are maps in this process, with a change log, snapshots
 * and transactions; it can be a source and a transactional target, and a test can make any of its calls fail.
 */
import { z } from 'zod'
import { SyncError } from '../core/error.ts'
import { bindFilter, evaluate } from '../core/filter.ts'
import { keyText, parseKeyText } from '../core/key-text.ts'
import type { Schema } from '../core/schema.ts'
import type { Rejection } from '../core/sync.ts'
import { compareValues, type Key, type Row, type Value } from '../core/value.ts'
import type {
  Collection,
  CollectionOptions,
  Connection,
  ConnectionDefinition,
  Connector,
  Page,
  ReadOptions,
  Selection,
  Sink,
  SinkTransaction,
  TargetSpec,
  View,
} from './connector.ts'
import { changed, keyOfRow, MemorySystem, sorted, type Table, type TargetTable } from './memory-system.ts'
import { openMemoryWriter } from './memory-writer.ts'
import { refuseOtherOwner } from './ownership.ts'

export { type Fault, type MemoryOperation, MemorySystem } from './memory-system.ts'

const memoryConfig = z.strictObject({ system: z.instanceof(MemorySystem) })
export const memoryConnector: Connector<z.infer<typeof memoryConfig>> = {
  name: 'memory',
  config: memoryConfig,
  open: async ({ system }) => openMemory(system),
}

/** A system in this process, as source or target. */
export function memory(options: { readonly system: MemorySystem }): ConnectionDefinition {
  return { connector: memoryConnector as Connector<never>, config: options }
}

function openMemory(system: MemorySystem): Connection {
  return {
    discover: async () => {
      await system.fault('discover', '')
      return [...system.tables.values()].map(({ schema }) => schema)
    },
    collection: async (name, options = {}) => openCollection(system, name, options),
    sink: async () => openSink(system),
    [Symbol.asyncDispose]: async () => {},
  }
}

function openCollection(system: MemorySystem, name: string, { key }: CollectionOptions): Collection {
  const found = system.table(name).schema
  const schema = key === null || key === undefined ? found : { ...found, key }
  const all: Selection = { fields: schema.fields.map((field) => field.name), where: null }
  return {
    schema,
    feed: 'complete',
    feedReason: null,
    read: (cursor, options) => read(system, schema, cursor, options),
    view: async (selection) => {
      await system.fault('view', name)
      return openView(system, { ...system.table(name), schema }, selection, cursorOf(system, system.table(name)))
    },
    lookup: {
      fetch: async (keys, fields = all.fields) => {
        await system.fault('lookup', name)
        return await openView(system, { ...system.table(name), schema }, all, '').fetch(keys, fields)
      },
      find: async (fields, values) => {
        const at = fields.map((field) => all.fields.indexOf(field))
        const wanted = new Set(values.map(keyText))
        return sorted(system.table(name)).filter((row) => wanted.has(keyText(at.map((index) => row[index] ?? null))))
      },
    },
    estimate: async () => system.table(name).rows.size,
    writer: (spec) => openMemoryWriter(system, schema, spec),
    fences: async (of) =>
      new Map(
        [...system.fences].flatMap(([key, generation]) =>
          key.endsWith(`/${of}`) ? [[key.slice(0, -of.length - 1), generation] as const] : [],
        ),
      ),
  }
}

async function* read(
  system: MemorySystem,
  schema: Schema,
  cursor: string | null,
  options: ReadOptions,
): AsyncIterable<Page> {
  await system.fault('read', schema.name)
  const table = system.table(schema.name)
  const here = cursorOf(system, table)
  const [after, witness] = cursor === null ? [0, 0] : (JSON.parse(cursor) as [number, number])
  if (after > system.seq || idAt(table, after) !== witness)
    throw new SyncError('CURSOR_UNUSABLE', `${schema.name} is older than the cursor, or has another history`)
  const since = [...new Set(table.log.filter(({ seq }) => seq > after).map(({ key }) => key))]
  const keys = cursor === null ? [...table.rows.keys()] : since
  const gone = new Set(table.log.filter((entry) => entry.gone && entry.seq > after).map(({ key }) => key))
  const view = openView(system, { ...table, schema }, options, here)
  for (let start = 0; start < keys.length; start += system.pageRows) {
    await system.fault('read', schema.name)
    const part = keys.slice(start, start + system.pageRows).map(parseKeyText)
    const { rows: puts } = await view.fetch(part, options.fields)
    const found = new Set(
      puts.map((row) => keyText(schema.key.map((name) => row[options.fields.indexOf(name)] ?? null))),
    )
    const deletes = part.filter((key) => !found.has(keyText(key)))
    const replaced = cursor === null ? [] : part.filter((key) => found.has(keyText(key)) && gone.has(keyText(key)))
    yield {
      puts,
      deletes,
      replaced,
      rejects: [],
      cursor: cursor ?? '[0,0]',
      bytes: 100 * puts.length,
      distinct: cursor === null,
    }
  }
  yield { puts: [], deletes: [], rejects: [], cursor: here, bytes: 0, distinct: false, view }
}

/** How far the log was read, and the newest change that was there, by which its history is known. */
function cursorOf({ seq }: MemorySystem, table: Table): string {
  return JSON.stringify([seq, idAt(table, seq)])
}

function idAt({ log }: Table, seq: number): number {
  return log.findLast((change) => change.seq <= seq)?.id ?? 0
}

function openView(system: MemorySystem, table: Table, selection: Selection, cursor: string): View {
  const { schema } = table
  const filter = selection.where === null ? null : bindFilter(selection.where, schema)
  const rows = sorted(table).filter((row) => filter === null || evaluate(filter, schema, row) === true)
  const first = schema.fields.findIndex((field) => field.name === schema.key[0])
  const type = schema.fields[first]?.type ?? 'text'
  const project = (row: Row, fields: readonly string[]) =>
    fields.map((name) => row[schema.fields.findIndex((field) => field.name === name)] ?? null)
  const inRange = (value: Value, from: Value, to: Value) =>
    (from === null || compareValues(type, value, from) >= 0) && (to === null || compareValues(type, value, to) < 0)
  return {
    cursor,
    count: async () => rows.length,
    extent: async () => (rows.length === 0 ? null : [rows[0]?.[first] ?? null, rows.at(-1)?.[first] ?? null]),
    summarize: async (bounds) =>
      [...bounds, null].map(
        (to, i) => rows.filter((row) => inRange(row[first] ?? null, bounds[i - 1] ?? null, to)).length,
      ),
    scan: async function* (ranges, fields) {
      await system.fault('scan', schema.name)
      const inside = rows.filter((row) => ranges.some(({ from, to }) => inRange(row[first] ?? null, from, to)))
      for (let start = 0; start < inside.length; start += system.pageRows) {
        const part = inside.slice(start, start + system.pageRows)
        yield { rows: part.map((row) => project(row, fields)), rejects: [], bytes: 100 * part.length }
      }
    },
    fetch: async (keys, fields) => {
      await system.fault('fetch', schema.name)
      const wanted = new Set(keys.map(keyText))
      const found = rows.filter((row) => wanted.has(keyText(keyOfRow(schema, row))))
      return { rows: found.map((row) => project(row, fields)), rejects: [], bytes: 100 * found.length }
    },
    [Symbol.asyncDispose]: async () => {},
  }
}

function openSink(system: MemorySystem): Sink {
  const claims = new Map<string, { spec: TargetSpec; generation: number }>()
  const fence = (spec: Pick<TargetSpec, 'project' | 'sync'>) => `${spec.project}/${spec.sync}`
  const specOf = (sync: string) => {
    const claim = claims.get(sync)
    if (claim === undefined || system.fences.get(fence(claim.spec)) !== claim.generation) throw leaseLost(sync)
    return claim.spec
  }
  return {
    inspect: async (spec) => {
      await system.fault('inspect', spec.collection)
      const target = system.targets.get(spec.collection)
      return {
        schema: system.tables.get(spec.collection)?.schema ?? null,
        orphans: target?.orphans ?? system.tables.get(spec.collection)?.schema.fields.map((field) => field.name) ?? [],
        owner: target?.owner ?? null,
        ...(target === undefined ? {} : { adopted: target.adopted }),
        checkpoint: system.checkpoints.get(fence(spec)) ?? null,
      }
    },
    claim: async (spec, changes, held) => {
      await system.fault('claim', spec.collection)
      const before = system.fences.get(fence(spec)) ?? 0
      if (held !== null && held !== before) throw leaseLost(spec.sync)
      if (changes.some((change) => change.kind === 'create')) {
        system.targets = without(system.targets, spec.collection)
        system.checkpoints = without(system.checkpoints, fence(spec))
      }
      for (const change of changes) alter(system, spec, change)
      const table = system.targets.get(spec.collection) ?? newTarget(spec)
      refuseOtherOwner(spec, table.owner)
      system.targets = new Map(system.targets).set(spec.collection, table)
      const generation = before + 1
      system.fences = new Map(system.fences).set(fence(spec), generation)
      claims.set(spec.sync, { spec, generation })
      return {
        checkpoint: system.checkpoints.get(fence(spec)) ?? null,
        generation,
        empty: system.table(spec.collection).rows.size === 0,
      }
    },
    begin: async () => {
      await system.fault('begin', '')
      return openTransaction(system, specOf, fence)
    },
    view: async (spec, only) => {
      await system.fault('view', spec.collection)
      const table = system.table(spec.collection)
      const ours = system.targets.get(spec.collection)?.ours
      const rows =
        spec.adopt && ours !== undefined
          ? new Map([...table.rows].filter(([key]) => (only === 'written' ? ours.get(key) === true : ours.has(key))))
          : spec.deletes === 'keep'
            ? new Map([...table.rows].filter(([key]) => system.targets.get(spec.collection)?.kept.has(key) !== true))
            : table.rows
      return openView(system, { ...table, rows }, { fields: [], where: null }, '')
    },
    rejections: async ({ collection }) => [...(system.targets.get(collection)?.rejected.values() ?? [])],
    reset: async (spec, drop) => {
      system.checkpoints = without(system.checkpoints, fence(spec))
      const owner = system.targets.get(spec.collection)?.owner
      if (!drop || owner?.project !== spec.project || owner.sync !== spec.sync) return
      if (system.targets.get(spec.collection)?.adopted !== true) system.tables = without(system.tables, spec.collection)
      system.targets = without(system.targets, spec.collection)
    },
    [Symbol.asyncDispose]: async () => {},
  }
}

function leaseLost(sync: string): SyncError {
  return new SyncError('LEASE_LOST', `another process took over sync ${sync}; this one writes nothing more`)
}

/** Works on copies, which the commit puts in place of what stands if the fence still holds. */
function openTransaction(
  system: MemorySystem,
  specOf: (sync: string) => TargetSpec,
  fence: (spec: TargetSpec) => string,
): SinkTransaction {
  const base = { tables: system.tables }
  let { tables, targets, checkpoints } = system
  const touched = new Set<string>()
  const edit = (sync: string, key: Key, row: Row | null) => {
    const { collection } = specOf(sync)
    tables = new Map(tables).set(
      collection,
      changed(tables.get(collection) ?? system.table(collection), key, row, ++system.seq),
    )
  }
  const own = (sync: string, key: Key, state: 'written' | 'equal' | 'gone') => {
    const target = targets.get(specOf(sync).collection)
    if (target === undefined || !specOf(sync).adopt) return
    const before = target.ours.get(keyText(key)) ?? false
    const ours =
      state === 'gone'
        ? without(target.ours, keyText(key))
        : new Map(target.ours).set(keyText(key), before || state === 'written')
    targets = new Map(targets).set(specOf(sync).collection, { ...target, ours })
  }
  const keep = (sync: string, keys: readonly Key[], kept: boolean) => {
    const target = targets.get(specOf(sync).collection)
    if (target === undefined || specOf(sync).deletes !== 'keep') return
    const texts = new Set(keys.map(keyText))
    const others = [...target.kept].filter((key) => !texts.has(key))
    targets = new Map(targets).set(specOf(sync).collection, {
      ...target,
      kept: new Set([...others, ...(kept ? texts : [])]),
    })
  }
  return {
    put: async (sync, rows) => {
      await system.fault('put', specOf(sync).collection)
      touched.add(sync)
      const counts = { inserted: 0, updated: 0, unchanged: 0, rejected: [] }
      for (const row of rows) {
        const { schema, rows: held } = tables.get(specOf(sync).collection) ?? system.table(specOf(sync).collection)
        const key = keyOfRow(specOf(sync).schema, row)
        const placed = schema.fields.map(
          ({ name }) => row[specOf(sync).schema.fields.findIndex((field) => field.name === name)] ?? null,
        )
        const before = held.get(keyText(key))
        const equal = before !== undefined && keyText(before) === keyText(placed)
        // A kept row that comes back is an insert, as the view sees it.
        const revived = before !== undefined && targets.get(specOf(sync).collection)?.kept.has(keyText(key)) === true
        own(sync, key, equal ? 'equal' : 'written')
        keep(sync, [key], false)
        if (equal) counts[revived ? 'inserted' : 'unchanged']++
        else {
          edit(sync, key, placed)
          counts[before === undefined || revived ? 'inserted' : 'updated']++
        }
      }
      return counts
    },
    delete: async (sync, keys) => {
      await system.fault('delete', specOf(sync).collection)
      const { adopt, collection } = specOf(sync)
      const mine = (key: Key) => !adopt || targets.get(collection)?.ours.get(keyText(key)) === true
      const there = keys.filter((key) => tables.get(collection)?.rows.has(keyText(key)) && mine(key))
      if (specOf(sync).deletes === 'keep') keep(sync, there, true)
      else for (const key of there) edit(sync, key, null)
      for (const key of keys) own(sync, key, 'gone')
      return { deleted: there.length, rejected: [] }
    },
    reject: async (sync, rejected, settled) => {
      const { collection } = specOf(sync)
      const target = targets.get(collection)
      if (target === undefined) return
      const gone = new Set(settled.map(keyText))
      const kept = [...target.rejected].filter(([key]) => !gone.has(key))
      targets = new Map(targets).set(collection, {
        ...target,
        rejected: new Map([
          ...kept,
          ...rejected.map((rejection): [string, Rejection] => [keyText(rejection.key), rejection]),
        ]),
      })
    },
    checkpoint: async (sync, checkpoint) => {
      await system.fault('checkpoint', specOf(sync).collection)
      touched.add(sync)
      if (checkpoint !== null) checkpoints = new Map(checkpoints).set(fence(specOf(sync)), checkpoint)
    },
    commit: async () => {
      await system.fault('commit', '')
      for (const sync of touched) specOf(sync)
      // Tables that others changed meanwhile keep their changes.
      const mine = [...tables].filter(([name, table]) => base.tables.get(name) !== table)
      system.tables = new Map([...system.tables, ...mine])
      system.targets = targets
      system.checkpoints = checkpoints
      await system.fault('committed', '')
    },
    rollback: async () => {},
  }
}

function alter(system: MemorySystem, spec: TargetSpec, change: Parameters<Sink['claim']>[1][number]): void {
  const target = system.targets.get(spec.collection) ?? newTarget(spec)
  if (change.kind === 'create') system.create({ ...change.schema, name: spec.collection })
  if (change.kind === 'add' || change.kind === 'widen') {
    const table = system.table(spec.collection)
    const others = table.schema.fields.filter((field) => field.name !== change.field.name)
    const fields =
      change.kind === 'add'
        ? [...others, change.field]
        : table.schema.fields.map((field) => (field.name === change.field.name ? change.field : field))
    const rows =
      change.kind === 'add' ? new Map([...table.rows].map(([key, row]) => [key, [...row, null]])) : table.rows
    system.tables = new Map(system.tables).set(spec.collection, { ...table, schema: { ...table.schema, fields }, rows })
  }
  const orphans = change.kind === 'orphan' ? [...target.orphans, change.field.name] : target.orphans
  system.targets = new Map(system.targets).set(spec.collection, { ...target, orphans })
}

function newTarget({ project, sync, adopt }: TargetSpec): TargetTable {
  return {
    owner: { project, sync },
    adopted: adopt,
    orphans: [],
    rejected: new Map(),
    ours: new Map(),
    kept: new Set(),
  }
}

function without<V>(map: ReadonlyMap<string, V>, key: string): ReadonlyMap<string, V> {
  return new Map([...map].filter(([name]) => name !== key))
}
