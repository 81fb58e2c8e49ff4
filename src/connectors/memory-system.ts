/** A system that lives in memory: tables, their change log, and what targets remember. */
import { SyncError } from '../core/error.ts'
import { keyText } from '../core/key-text.ts'
import { nearestNames } from '../core/name.ts'
import type { Schema } from '../core/schema.ts'
import type { Rejection } from '../core/sync.ts'
import { canonical, compareKeys, type Key, type Row, type Type } from '../core/value.ts'
import type { Checkpoint, Owner, WriteResult } from './connector.ts'

/** Called before each operation; what it throws, the operation throws. */
export type Fault = (operation: MemoryOperation, collection: string) => void | Promise<void>
export type MemoryOperation =
  | 'discover'
  | 'read'
  | 'view'
  | 'scan'
  | 'fetch'
  | 'inspect'
  | 'claim'
  | 'begin'
  | 'put'
  | 'delete'
  | 'checkpoint'
  | 'commit'
  | 'committed'
  | 'lookup'
  | 'claimWriter'
  | 'write'
  | 'written'
  | 'recall'
  | 'forget'
export interface Table {
  readonly schema: Schema
  readonly rows: ReadonlyMap<string, Row>
  /** Key and number of every change, oldest first. */
  readonly log: readonly Change[]
}
export interface TargetTable {
  readonly owner: Owner
  readonly adopted: boolean
  readonly orphans: readonly string[]
  readonly rejected: ReadonlyMap<string, Rejection>
  /** Keys the sync put there, and whether it wrote the row or found it equal: of an adopted table, only these are its own. */
  readonly ours: ReadonlyMap<string, boolean>
  /** Keys of rows that the source deleted and that stay. */
  readonly kept: ReadonlySet<string>
}
export interface Change {
  readonly seq: number
  readonly key: string
  readonly gone: boolean
  /** No other change of this process has it: a system that was put back gives its `seq` again. */
  readonly id: number
}

/** A system in memory. All changes replace immutable values, so a snapshot is a reference. */
export class MemorySystem {
  tables: ReadonlyMap<string, Table> = new Map()
  targets: ReadonlyMap<string, TargetTable> = new Map()
  checkpoints: ReadonlyMap<string, Checkpoint> = new Map()
  fences: ReadonlyMap<string, number> = new Map()
  seq = 0
  fault: Fault = () => {}
  /** Rows per page. */
  pageRows = 100
  /** What the system makes of a row that a writer gives it: trims, rounds, stamps. Default: nothing. */
  normalize: (collection: string, row: Row) => Row = (_collection, row) => row
  /** The last number given to a row inserted without a key. */
  assigned = 0
  /** Fields no two rows share, by collection. */
  unique: ReadonlyMap<string, readonly string[]> = new Map()
  /** What became of writes, by fence and id: what SQL systems keep in `_syncline_write`. */
  results: ReadonlyMap<string, ReadonlyMap<string, readonly (WriteResult | null)[]>> = new Map()

  create(schema: Schema): void {
    this.tables = new Map(this.tables).set(schema.name, { schema, rows: new Map(), log: [] })
  }

  put(name: string, ...rows: readonly Row[]): void {
    for (const row of rows) this.#change(name, keyOfRow(this.table(name).schema, row), row)
  }

  delete(name: string, ...keys: readonly Key[]): void {
    for (const key of keys) this.#change(name, key, null)
  }

  rows(name: string): readonly Row[] {
    return sorted(this.table(name))
  }

  table(name: string): Table {
    const table = this.tables.get(name)
    if (table !== undefined) return table
    const nearest = nearestNames(name, [...this.tables.keys()])
    throw new SyncError('COLLECTION_UNKNOWN', `there is no collection ${name}`, {
      hint: nearest.length > 0 ? `Did you mean ${nearest.join(' or ')}?` : 'The system has none of that name.',
    })
  }

  #change(name: string, key: Key, row: Row | null): void {
    this.tables = new Map(this.tables).set(name, changed(this.table(name), key, row, ++this.seq))
  }
}

export function changed(table: Table, key: Key, row: Row | null, seq: number): Table {
  const rows = new Map(table.rows)
  if (row === null) rows.delete(keyText(key))
  else rows.set(keyText(key), row)
  return { ...table, rows, log: [...table.log, { seq, key: keyText(key), gone: row === null, id: ++changes }] }
}

export function keyOfRow(schema: Schema, row: Row): Key {
  return schema.key.map((name) => {
    const at = schema.fields.findIndex((field) => field.name === name)
    return canonical(schema.fields[at]?.type ?? 'text', row[at] ?? null)
  })
}
export function sorted({ schema, rows }: Table): readonly Row[] {
  const types = schema.key.map((name): Type => schema.fields.find((field) => field.name === name)?.type ?? 'text')
  return [...rows.values()].sort((a, b) => compareKeys(types, keyOfRow(schema, a), keyOfRow(schema, b)))
}
export let changes = 0
