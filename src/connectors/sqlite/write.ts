/** Writing rows into one target table: inserts, upserts that write nothing when nothing differs, deletes. */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Field } from '../../core/schema.ts'
import type { Rejection } from '../../core/sync.ts'
import { canonical, type Key, type Row, type Value } from '../../core/value.ts'
import { type Context, type DeleteResult, keyTaken, notKept, type PutResult, type TargetSpec } from '../connector.ts'
import { parkedValue, putParked } from '../park.ts'
import { joined, quote } from '../sql.ts'
import { keepsNul, prepareArrays } from './database.ts'
import { isRowError, isUniqueError, referenceRefusal } from './errors.ts'
import { hasTrigger, orAbort } from './own-rules.ts'
import { RolledBack } from './restart.ts'
import { keyDuplicate, keysSql, mayRespell, storedKeys } from './spelling.ts'
import { adoptedKey, deletedField, keepsAny, keptTable, listedSql, ownedTable, rowsTable } from './table.ts'
import { type Bindable, toStorage } from './types.ts'

/**
 * Parameters per statement. Measured with rows of ten columns: 200 is the best of 50 to 1000 (50 takes 1.14 times as
 * long, one row per statement 1.6 times).
 */
const PARAMETERS = 200

/** Owns the prepared statements of one target table. */
export class TableWriter {
  readonly #database: DatabaseSync
  readonly #spec: TargetSpec
  readonly #context: Pick<Context, 'clock' | 'random'>
  readonly #table: string
  readonly #fields: readonly Field[]
  readonly #key: readonly Field[]
  readonly #keyNames: readonly string[]
  readonly #keyAt: readonly number[]
  /** Parts of the key whose type has several spellings of one value. */
  readonly #respelled: readonly number[]
  /** The keys in an adopted table that are a key, where it may spell them in its own way. */
  readonly #stored: ReturnType<typeof storedKeys> | null
  readonly #keepsNul: boolean
  /** Leaves rows out that are marked as deleted. */
  readonly #live: string
  readonly #perStatement: number
  readonly #or: ReturnType<typeof orAbort>
  /** Whether the table may take a row without an error and not keep it: an adopted one by its constraints, any by a trigger. */
  readonly #maySwallow: boolean
  readonly #hasTrigger: boolean
  /** Whether rows are kept that the source deleted. */
  #keepsAny: boolean
  readonly #statements = new Map<string, StatementSync>()
  readonly #inserts: string[] = []
  readonly #upserts: string[] = []
  /** Reused for every statement: binding copies. */
  #values: Bindable[] = []

  constructor(database: DatabaseSync, spec: TargetSpec, context: Pick<Context, 'clock' | 'random'>) {
    this.#database = database
    this.#spec = spec
    this.#context = context
    this.#table = ownedTable(spec)
    this.#fields = spec.schema.fields
    this.#key = spec.schema.key.flatMap((name) => this.#fields.filter((field) => field.name === name))
    this.#keyNames = this.#key.map(({ name }) => quote(name))
    this.#keyAt = this.#key.map((field) => this.#fields.indexOf(field))
    this.#respelled = this.#key.flatMap(({ type }, at) =>
      ['decimal', 'uuid', 'json', 'float'].includes(type) ? [at] : [],
    )
    const theirs = spec.adopt ? adoptedKey(database, spec) : null
    this.#stored = theirs !== null && mayRespell(theirs) ? storedKeys(database, theirs) : null
    this.#keepsNul = keepsNul(database)
    this.#or = orAbort(database, this.#table)
    this.#live = spec.deletes === 'mark' ? ` AND ${quote(deletedField)} IS NULL` : ''
    this.#keepsAny = spec.deletes === 'keep' && !spec.adopt && keepsAny(database, this.#table)
    this.#hasTrigger = hasTrigger(database, this.#table)
    this.#maySwallow = spec.adopt || this.#hasTrigger
    this.#perStatement = this.#maySwallow ? 1 : Math.max(1, Math.floor(PARAMETERS / this.#fields.length))
  }

  put(rows: readonly Row[], fresh: boolean): PutResult {
    const rejected: Rejection[] = []
    let inserted = 0
    let updated = 0
    let done = 0
    for (let start = 0; start < rows.length; start += this.#perStatement) {
      const end = Math.min(start + this.#perStatement, rows.length)
      const [more, changed] = this.#putChunk(rows, start, end, fresh, rejected)
      inserted += more
      updated += changed
      done += end - start
    }
    return { inserted, updated, unchanged: done - inserted - updated - rejected.length, rejected }
  }

  /** Deletes or marks; rows that others refer to stay. */
  delete(keys: readonly Key[]): DeleteResult {
    let deleted = 0
    const twins = this.#stored === null ? [] : keys.filter((key) => this.#storedOf(key).length > 1)
    const rejected: Rejection[] = twins.map(keyDuplicate)
    const single = twins.length === 0 ? keys : keys.filter((key) => !twins.includes(key))
    for (let start = 0; start < single.length; start += PARAMETERS) {
      const part = single.slice(start, start + PARAMETERS)
      const gone = this.#deletePart(part)
      // One by one, where a row of them is referred to.
      for (const key of gone === null ? part : []) {
        const one = this.#deletePart([key])
        if (one === null) rejected.push(referenced(key))
        deleted += one ?? 0
      }
      deleted += gone ?? 0
    }
    return { deleted, rejected }
  }

  /** Null: a reference stands in the way, and nothing was deleted. */
  #deletePart(keys: readonly Key[]): number | null {
    const values = keys.flatMap((key) => this.#boundKey(key))
    const isKey = keysSql(this.#keyNames, keys.length, this.#spec.adopt)
    const there = this.#stored === null ? values : keys.flatMap((key) => this.#storedOf(key)).flat()
    const keeps = this.#spec.deletes === 'keep'
    this.#database.exec('SAVEPOINT part')
    try {
      if (this.#spec.adopt) this.#forget(isKey, values)
      const ours = this.#spec.adopt ? ` AND ${this.#writtenSql()}` : ''
      const deleted = keeps ? this.#keep(isKey, values) : this.#run(`${this.#deleteSql()} ${isKey}${ours}`, there)
      if (this.#spec.adopt) this.#run(`DELETE FROM ${quote(rowsTable(this.#table))} WHERE ${isKey}`, values)
      this.#database.exec('RELEASE part')
      return deleted
    } catch (error) {
      if (referenceRefusal(error) === null) throw error
      this.#database.exec('ROLLBACK TO part; RELEASE part')
      return null
    }
  }

  /** The rows stay, and are not this sync's any more; returns how many that are. Of an adopted table its list says so. */
  #keep(isKey: string, values: readonly Bindable[]): number {
    if (this.#spec.adopt) {
      const count = this.#statement(`SELECT count(*) FROM ${quote(rowsTable(this.#table))} WHERE ${isKey}`)
      return Number((count.get(...values) as unknown as [number])[0])
    }
    this.#keepsAny = true
    const names = this.#keyNames.join(', ')
    return this.#run(
      `INSERT OR IGNORE INTO ${quote(keptTable(this.#table))} SELECT ${names} FROM ${quote(this.#table)} WHERE ${isKey}`,
      values,
    )
  }

  /** Whether the sync keeps one of these though the source had deleted it. */
  #isAnyKept(rows: readonly Row[], start: number, end: number): boolean {
    if (!this.#keepsAny) return false
    const { values, isKey } = this.#keysOf(rows, start, end)
    const found = this.#statement(`SELECT 1 FROM ${quote(keptTable(this.#table))} WHERE ${isKey} LIMIT 1`)
    return found.get(...values) !== undefined
  }

  #keysOf(rows: readonly Row[], start: number, end: number): { values: Bindable[]; isKey: string } {
    const values = rows.slice(start, end).flatMap((row) => this.#boundKey(this.#keyOf(row)))
    return { values, isKey: keysSql(this.#keyNames, end - start, false) }
  }

  /** Rows that are put are this sync's again. Returns how many were kept. */
  #unkeep(rows: readonly Row[], start: number, end: number): number {
    if (!this.#keepsAny) return 0
    const { values, isKey } = this.#keysOf(rows, start, end)
    return this.#run(`DELETE FROM ${quote(keptTable(this.#table))} WHERE ${isKey}`, values)
  }

  /** Puts rows whose unique values stand in each other's way. */
  async putTogether(rows: readonly Row[]): Promise<PutResult> {
    const parked = this.#parked()
    return await putParked(rows, {
      park: async (row) => this.#park(row, parked),
      put: async (row) => this.#putOne(row),
      begin: async () => this.#database.exec('SAVEPOINT together'),
      keep: async () => this.#database.exec('RELEASE together'),
      undo: async () => this.#database.exec('ROLLBACK TO together; RELEASE together'),
    })
  }

  #putOne(row: Row): PutResult {
    const rejected: Rejection[] = []
    const [inserted, updated] = this.#putChunk([row], 0, 1, false, rejected)
    return { inserted, updated, unchanged: 1 - inserted - updated - rejected.length, rejected }
  }

  /** Columns of ours that the table holds unique, as fields that say whether they may be NULL there. */
  #parked(): readonly Field[] {
    const columns = this.#database
      .prepare(
        `SELECT DISTINCT c.name AS name, x."notnull" AS required FROM pragma_index_list(?) AS i, pragma_index_info(i.name) AS c, pragma_table_xinfo(?) AS x
         WHERE i."unique" AND i.origin <> 'pk' AND c.name IS NOT NULL AND x.name = c.name AND x.hidden = 0`,
      )
      .all(this.#table, this.#table)
    return this.#fields.flatMap((field) => {
      const column = columns.find(({ name }) => name === field.name)
      return column === undefined || this.#key.includes(field) ? [] : [{ ...field, nullable: column.required !== 1 }]
    })
  }

  #park(row: Row, fields: readonly Field[]): Rejection | null {
    const values = fields.map((field) => parkedValue(field, this.#context.random()))
    const at = fields.flatMap((_field, i) => (values[i] === undefined ? [] : [i]))
    if (at.length === 0) return null
    const sets = at.map((i) => `${quote(fields[i]?.name ?? '')} = ?`).join(', ')
    const isKey = this.#keyNames.map((name) => `${name} COLLATE BINARY = ?`).join(' AND ')
    try {
      this.#run(`UPDATE${this.#or} ${quote(this.#table)} SET ${sets} WHERE ${isKey}`, [
        ...at.map((i) => toStorage(fields[i] as Field, values[i] as Value, this.#keepsNul)),
        ...(this.#storedOf(this.#keyOf(row))[0] ?? []),
      ])
      return null
    } catch (error) {
      if (!isRowError(error)) throw error
      return this.#refusal(row, error)
    }
  }

  /** Inserted and updated rows of a chunk; when a row is refused, the chunk goes row by row. */
  #putChunk(rows: readonly Row[], start: number, end: number, fresh: boolean, rejected: Rejection[]): [number, number] {
    if (end - start > 1 && this.#isAnyKept(rows, start, end)) return this.#putSingly(rows, start, end, fresh, rejected)
    // RAISE(FAIL) leaves what its statement did.
    if (this.#hasTrigger) this.#database.exec('SAVEPOINT row')
    try {
      const counts = this.#writeChunk(rows, start, end, fresh, rejected)
      if (this.#hasTrigger) this.#database.exec('RELEASE row')
      return counts
    } catch (error) {
      if (!isRowError(error)) throw error
      if (end - start > 1) return this.#putSingly(rows, start, end, fresh, rejected)
      rejected.push(this.#refusal(rows[start] as Row, error))
      if (this.#hasTrigger) this.#database.exec('ROLLBACK TO row; RELEASE row')
      return [0, 0]
    }
  }

  #writeChunk(
    rows: readonly Row[],
    start: number,
    end: number,
    fresh: boolean,
    rejected: Rejection[],
  ): [number, number] {
    const values = this.#bind(rows, start, end)
    if (fresh && !this.#maySwallow) return [this.#run(this.#insertSql(end - start), values), 0]
    // Kept rows that come back, by key.
    const kept = this.#unkeep(rows, start, end)
    if (this.#stored !== null && !this.#takeStored(rows[start] as Row, values, rejected)) return [0, 0]
    const existing = this.#existing(values, end - start)
    const changed = this.#run(this.#adoptedRowSql(existing) ?? this.#upsertSql(end - start), values)
    const inserted = end - start - existing
    if (this.#maySwallow && changed < inserted) {
      rejected.push(this.#unkept(rows[start] as Row))
      return [0, 0]
    }
    if (this.#spec.adopt) this.#note(rows[start] as Row, changed > 0)
    // They count as inserts, as the view sees them.
    return kept > 0 ? [end - start, 0] : [inserted, changed - inserted]
  }

  /** Gives a row that is to be written the key that it has in the table already. False: two rows there have it. */
  #takeStored(row: Row, values: Bindable[], rejected: Rejection[]): boolean {
    const key = this.#keyOf(row)
    const [stored = [], ...others] = this.#storedOf(key)
    if (others.length > 0) rejected.push(keyDuplicate(key))
    stored.forEach((part, i) => {
      values[this.#keyAt[i] as number] = part
    })
    return others.length === 0
  }

  #putSingly(
    rows: readonly Row[],
    start: number,
    end: number,
    fresh: boolean,
    rejected: Rejection[],
  ): [number, number] {
    let inserted = 0
    let updated = 0
    for (let i = start; i < end; i++) {
      const [more, changed] = this.#putChunk(rows, i, i + 1, fresh, rejected)
      inserted += more
      updated += changed
    }
    return [inserted, updated]
  }

  #refusal(row: Row, error: unknown): Rejection {
    const key = this.#keyOf(row)
    const message = error instanceof Error ? error.message : String(error)
    const code =
      referenceRefusal(error) !== null ? 'PARENT_MISSING' : isUniqueError(error) ? 'VALUE_TAKEN' : 'VALUE_REFUSED'
    const refusal = { key, code, message }
    if (!this.#database.isTransaction) throw new RolledBack(row, refusal)
    return refusal
  }

  /** Why a row is not there after it was put: the table takes its key for another row's, or does not keep it. */
  #unkept(row: Row): Rejection {
    const key = this.#keyOf(row)
    const same = this.#keyNames.map((name) => `${name} = ?`).join(' AND ')
    const statement = this.#statement(`SELECT 1 FROM ${quote(this.#table)} WHERE ${same}`)
    const other = statement.get(...this.#boundKey(key))
    return other === undefined ? notKept(key) : keyTaken(key)
  }

  #bind(rows: readonly Row[], start: number, end: number): Bindable[] {
    const fields = this.#fields
    const width = fields.length
    const values = this.#values
    values.length = (end - start) * width
    let at = 0
    for (let i = start; i < end; i++) {
      const row = rows[i] as Row
      for (let column = 0; column < width; column++)
        values[at++] = toStorage(fields[column] as Field, row[column] as Value, this.#keepsNul)
      for (const key of this.#respelled)
        values[at - width + (this.#keyAt[key] as number)] = this.#keyValue(
          key,
          row[this.#keyAt[key] as number] as Value,
        )
    }
    return values
  }

  /** Keys have one spelling, so that 1.0 and 1.00 are one row. */
  #keyValue(at: number, value: Value): Bindable {
    const field = this.#key[at] as Field
    return toStorage(field, canonical(field.type, value), this.#keepsNul)
  }

  #boundKey(key: Key): Bindable[] {
    return key.map((value, at) => this.#keyValue(at, value))
  }

  /** The keys that stand in the table for a key; its own, where there is none. */
  #storedOf(key: Key): readonly (readonly Bindable[])[] {
    const stored = this.#stored?.(key) ?? []
    return stored.length > 0 ? stored : [this.#boundKey(key)]
  }

  #keyOf(row: Row): Key {
    return this.#keyAt.map((at) => row[at] as Value)
  }

  /** How many of the rows that were bound are in the target: one that is marked as deleted is not, and comes back as an insert. */
  #existing(bound: readonly Bindable[], count: number): number {
    const width = this.#fields.length
    const values: Bindable[] = []
    for (let i = 0; i < count; i++) for (const at of this.#keyAt) values.push(bound[i * width + at] ?? null)
    const statement = this.#statement(
      `SELECT count(*) FROM ${quote(this.#table)} WHERE ${keysSql(this.#keyNames, count, this.#spec.adopt)}${this.#live}`,
    )
    return Number((statement.get(...values) as unknown as [number])[0])
  }

  /** For an adopted table: remembers that this key is ours, and whether we wrote the row. */
  #note(row: Row, written: boolean): void {
    const names = [...this.#key.map((field) => quote(field.name)), '_written'].join(', ')
    const marks = Array(this.#key.length + 1)
      .fill('?')
      .join(', ')
    this.#run(
      `INSERT INTO ${quote(rowsTable(this.#table))} (${names}) VALUES (${marks})
       ON CONFLICT DO UPDATE SET _written = max(_written, excluded._written) WHERE _written < excluded._written`,
      [...this.#boundKey(this.#keyOf(row)), written ? 1 : 0],
    )
  }

  /** A row of an adopted table that we only found equal is not ours to delete: its key is forgotten. */
  #forget(isKey: string, values: readonly Bindable[]): void {
    this.#run(`DELETE FROM ${quote(rowsTable(this.#table))} WHERE _written = 0 AND ${isKey}`, values)
  }

  #writtenSql(): string {
    const same = listedSql(this.#database, this.#spec)
    return `EXISTS (SELECT 1 FROM ${quote(rowsTable(this.#table))} AS mine WHERE ${same})`
  }

  #insertSql(count: number): string {
    this.#inserts[count] ??= this.#makeInsertSql(count)
    return this.#inserts[count]
  }

  #upsertSql(count: number): string {
    this.#upserts[count] ??= this.#makeUpsertSql(count)
    return this.#upserts[count]
  }

  #makeInsertSql(count: number): string {
    const tuple = `(${this.#fields.map(() => '?').join(', ')})`
    return `INSERT${this.#or} INTO ${quote(this.#table)} (${this.#fields.map(({ name }) => quote(name)).join(', ')}) VALUES ${Array(count).fill(tuple).join(', ')}`
  }

  #makeUpsertSql(count: number): string {
    const table = quote(this.#table)
    const others = this.#fields.filter((field) => !this.#key.includes(field)).map(({ name }) => quote(name))
    const marks = this.#spec.deletes === 'mark'
    const sets = [
      ...others.map((name) => `${name} = excluded.${name}`),
      ...(marks ? [`${quote(deletedField)} = NULL`] : []),
    ]
    const differs = [
      ...others.map((name) => `${table}.${name} COLLATE BINARY IS NOT excluded.${name}`),
      ...(marks ? [`${table}.${quote(deletedField)} IS NOT NULL`] : []),
    ]
    const target = this.#keyNames.join(', ')
    // Of an adopted table the key may be without case: then it is another row's.
    const same = this.#spec.adopt
      ? this.#keyNames.map((name) => ` AND ${table}.${name} COLLATE BINARY = excluded.${name}`).join('')
      : ''
    const action =
      sets.length === 0 ? 'DO NOTHING' : `DO UPDATE SET ${sets.join(', ')} WHERE ${joined(differs, 'OR')}${same}`
    return `${this.#insertSql(count)} ON CONFLICT (${target}) ${action}`
  }

  /**
   * The update of a row of an adopted table that is there: an upsert would be refused for a column that is no field of the sync, is NOT
   * NULL and has no default. Null: an upsert serves.
   */
  #adoptedRowSql(existing: number): string | null {
    if (!this.#spec.adopt || existing !== 1) return null
    const others = this.#fields.flatMap((field, at) =>
      this.#key.includes(field) ? [] : [{ name: quote(field.name), value: `?${at + 1}` }],
    )
    const marks = this.#spec.deletes === 'mark'
    const sets = others.map(({ name, value }) => `${name} = ${value}`)
    const differs = others.map(({ name, value }) => `${name} COLLATE BINARY IS NOT ${value}`)
    if (marks) {
      sets.push(`${quote(deletedField)} = NULL`)
      differs.push(`${quote(deletedField)} IS NOT NULL`)
    }
    if (sets.length === 0) return null
    const isKey = this.#keyNames.flatMap((name, i) => {
      const value = `?${(this.#keyAt[i] as number) + 1}`
      return [`${name} = ${value}`, `${name} COLLATE BINARY = ${value}`]
    })
    return `UPDATE${this.#or} ${quote(this.#table)} SET ${sets.join(', ')} WHERE ${isKey.join(' AND ')} AND ${joined(differs, 'OR')}`
  }

  #deleteSql(): string {
    if (this.#spec.deletes !== 'mark') return `DELETE FROM ${quote(this.#table)} WHERE`
    const at = new Date(this.#context.clock.now()).toISOString().replace('Z', '000Z')
    return `UPDATE${this.#or} ${quote(this.#table)} SET ${quote(deletedField)} = '${at}' WHERE ${quote(deletedField)} IS NULL AND`
  }

  #run(sql: string, values: readonly Bindable[]): number {
    return Number(this.#statement(sql).run(...values).changes)
  }

  #statement(sql: string): StatementSync {
    const known = this.#statements.get(sql)
    if (known !== undefined) return known
    const statement = prepareArrays(this.#database, sql)
    // Marks carry a time in their text; the cache must not grow with every run of a long watch.
    if (this.#statements.size >= 64) this.#statements.clear()
    this.#statements.set(sql, statement)
    return statement
  }
}

function referenced(key: Key): Rejection {
  return { key, code: 'ROW_REFERENCED', message: 'rows of another table refer to it' }
}
