/** Writing rows into one target table, through COPY: straight in when the keys are new, else through a staging table. */
import type { Field } from '../../core/schema.ts'
import type { Rejection } from '../../core/sync.ts'
import { canonical, type Key, type Row, type Value } from '../../core/value.ts'
import type { PutResult, TargetSpec } from '../connector.ts'
import { quote } from '../sql.ts'
import { tableSql } from './catalog.ts'
import { type Client, isRowError } from './client.ts'
import { encodeRow } from './copy.ts'
import { deletedField, rowsTableSql } from './table.ts'
import { keysSql } from './view.ts'

/** Owns the staging table of one target table in one session. */
export class TableWriter {
  readonly #client: Client
  readonly #spec: TargetSpec
  readonly #table: string
  readonly #staging: string
  readonly #columns: string
  readonly #key: readonly Field[]
  #staged = false

  /** `spec.schema` has the native types of this database. */
  constructor(client: Client, spec: TargetSpec, number: number) {
    this.#client = client
    this.#spec = spec
    this.#table = tableSql(spec.collection)
    this.#staging = `pg_temp._syncline_staging_${number}`
    this.#columns = spec.schema.fields.map(({ name }) => quote(name)).join(', ')
    this.#key = spec.schema.key.flatMap((name) => spec.schema.fields.filter((field) => field.name === name))
  }

  async put(rows: readonly Row[], fresh: boolean): Promise<PutResult> {
    if (rows.length === 0) return { inserted: 0, updated: 0, unchanged: 0, rejected: [] }
    if (!fresh) await this.#stage()
    // A refused row must not take the transaction with it.
    await this.#client.query('SAVEPOINT rows')
    try {
      const result = fresh && !this.#spec.adopt ? await this.#insert(rows) : await this.#merge(rows)
      await this.#client.query('RELEASE SAVEPOINT rows')
      return result
    } catch (error) {
      if (!isRowError(error)) throw error
      await this.#client.query('ROLLBACK TO SAVEPOINT rows; RELEASE SAVEPOINT rows')
      if (rows.length === 1) return { inserted: 0, updated: 0, unchanged: 0, rejected: [this.#rejection(rows[0] as Row, error)] }
      const middle = rows.length >> 1
      const [head, tail] = [await this.put(rows.slice(0, middle), fresh), await this.put(rows.slice(middle), fresh)]
      return {
        inserted: head.inserted + tail.inserted,
        updated: head.updated + tail.updated,
        unchanged: head.unchanged + tail.unchanged,
        rejected: [...head.rejected, ...tail.rejected],
      }
    }
  }

  /** Deletes or marks; returns how many rows there were. */
  async delete(keys: readonly Key[]): Promise<number> {
    let deleted = 0
    for (let start = 0; start < keys.length; start += 1000) {
      const isKey = keysSql(this.#key, keys.slice(start, start + 1000))
      if (this.#spec.adopt) await this.#client.query(`DELETE FROM ${rowsTableSql(this.#spec.collection)} WHERE NOT _written AND ${isKey}`)
      deleted += await this.#client.execute(this.#deleteSql(isKey))
      if (this.#spec.adopt) await this.#client.query(`DELETE FROM ${rowsTableSql(this.#spec.collection)} WHERE ${isKey}`)
    }
    return deleted
  }

  async #insert(rows: readonly Row[]): Promise<PutResult> {
    const inserted = await this.#client.copyIn(`COPY ${this.#table} (${this.#columns}) FROM STDIN`, this.#encode(rows))
    return { inserted, updated: 0, unchanged: 0, rejected: [] }
  }

  /** Update what differs, insert what is new. ON CONFLICT would lock, and so write, every equal row. */
  async #merge(rows: readonly Row[]): Promise<PutResult> {
    await this.#client.query(`TRUNCATE ${this.#staging}`)
    await this.#client.copyIn(`COPY ${this.#staging} (${this.#columns}) FROM STDIN`, this.#encode(rows))
    const same = this.#sameKey('target', 'staged')
    const written = this.#spec.adopt ? `, noted AS (${this.#noteSql('target')})` : ''
    const updated = await this.#client.execute(this.#updateSql(same))
    const inserted = Number(
      (
        await this.#client.query(
          `WITH target AS (INSERT INTO ${this.#table} (${this.#columns}) SELECT ${this.#columns} FROM ${this.#staging} AS staged
             WHERE NOT EXISTS (SELECT 1 FROM ${this.#table} AS target WHERE ${same}) RETURNING ${this.#keyColumns()})${written}
           SELECT count(*) FROM target`,
        )
      )[0]?.[0],
    )
    if (this.#spec.adopt) await this.#noteEqual()
    return { inserted, updated, unchanged: rows.length - inserted - updated, rejected: [] }
  }

  #updateSql(same: string): string {
    const others = this.#spec.schema.fields.filter((field) => !this.#key.includes(field))
    const marks = this.#spec.deletes === 'mark'
    const sets = others.map(({ name }) => `${quote(name)} = staged.${quote(name)}`)
    const differs = others.map((field) => `${compared('target', field)} IS DISTINCT FROM ${compared('staged', field)}`)
    if (marks) {
      sets.push(`${quote(deletedField)} = NULL`)
      differs.push(`target.${quote(deletedField)} IS NOT NULL`)
    }
    if (sets.length === 0) return 'SELECT 1 WHERE false'
    const update = `UPDATE ${this.#table} AS target SET ${sets.join(', ')} FROM ${this.#staging} AS staged WHERE ${same} AND (${differs.join(' OR ')})`
    if (!this.#spec.adopt) return update
    const keys = this.#key.map(({ name }) => `target.${quote(name)}`).join(', ')
    return `WITH target AS (${update} RETURNING ${keys}), noted AS (${this.#noteSql('target')}) SELECT 1 FROM target`
  }

  /** For an adopted table: remembers the keys of rows we wrote. */
  #noteSql(from: string): string {
    const keys = this.#keyColumns()
    return `INSERT INTO ${rowsTableSql(this.#spec.collection)} (${keys}, _written) SELECT ${keys}, true FROM ${from} ON CONFLICT (${keys}) DO UPDATE SET _written = true`
  }

  /** … and of rows we found equal, which are not ours to delete. */
  async #noteEqual(): Promise<void> {
    const keys = this.#keyColumns()
    await this.#client.query(`INSERT INTO ${rowsTableSql(this.#spec.collection)} (${keys}, _written) SELECT ${keys}, false FROM ${this.#staging} ON CONFLICT DO NOTHING`)
  }

  #deleteSql(isKey: string): string {
    const ours = this.#spec.adopt ? ` AND EXISTS (SELECT 1 FROM ${rowsTableSql(this.#spec.collection)} AS mine WHERE ${this.#sameKey('mine', 'target')})` : ''
    if (this.#spec.deletes === 'mark') return `UPDATE ${this.#table} AS target SET ${quote(deletedField)} = now() WHERE ${quote(deletedField)} IS NULL AND ${isKey}${ours}`
    return `DELETE FROM ${this.#table} AS target WHERE ${isKey}${ours}`
  }

  async #stage(): Promise<void> {
    if (this.#staged) return
    const columns = this.#spec.schema.fields.map((field) => `${quote(field.name)} ${field.native}`).join(', ')
    await this.#client.query(`CREATE TEMP TABLE IF NOT EXISTS ${this.#staging.replace('pg_temp.', '')} (${columns})`)
    this.#staged = true
  }

  #keyColumns(): string {
    return this.#key.map(({ name }) => quote(name)).join(', ')
  }

  #sameKey(a: string, b: string): string {
    return this.#key.map(({ name }) => `${a}.${quote(name)} = ${b}.${quote(name)}`).join(' AND ')
  }

  #encode(rows: readonly Row[]): string[] {
    const pieces: string[] = []
    let piece = ''
    for (const row of rows) {
      piece += encodeRow(this.#spec.schema.fields, row)
      if (piece.length < 65_536) continue
      pieces.push(piece)
      piece = ''
    }
    if (piece !== '') pieces.push(piece)
    return pieces
  }

  #rejection(row: Row, error: unknown): Rejection {
    const key = this.#key.map((field) => canonical(field.type, row[this.#spec.schema.fields.indexOf(field)] as Value))
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'VALUE_REFUSED'
    return { key, code: code === 'VALUE_REFUSED' ? code : `VALUE_REFUSED (${code})`, message: messageOf(error) }
  }
}

/** Postgres' message without its detail, which holds row values. */
function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  return message.replace(/: ".*"$/s, '')
}

/** Equality by spelling where `=` is missing (json) or blurs it (1.0 and 1.00, 1 day and 24:00:00). */
function compared(table: string, field: Field): string {
  const column = `${table}.${quote(field.name)}`
  const exact = ['boolean', 'integer', 'uuid', 'date', 'time', 'timestamp', 'instant', 'bytes'].includes(field.type) || ['text', 'character varying'].includes(field.native)
  return exact ? column : `${column}::text`
}
