/**
 * Writing rows into one target table, through COPY: straight in when the keys are new, else through a staging table.
 * Straight in, one COPY stays open for the whole transaction, so that the server works while we read on: rows are
 * counted as inserted at once, and `flush` corrects that if one of them was refused.
 */
import type { Field } from '../../core/schema.ts'
import type { Rejection } from '../../core/sync.ts'
import { canonical, type Key, type Row, type Value } from '../../core/value.ts'
import { type DeleteResult, type Encoded, keyTaken, type PutResult, type TargetSpec } from '../connector.ts'
import { parkedValue, putParked } from '../park.ts'
import { addPuts, nothingPut } from '../put-result.ts'
import { quote } from '../sql.ts'
import { apartSql, tableSql } from './catalog.ts'
import type { Client, Inflow } from './client.ts'
import { keepsValue, rounds, roundsValue, withoutLimits } from './columns.ts'
import { CopyDecoder, encodeRow, quoteText } from './copy.ts'
import { isRowError, toldByServer, withoutValues } from './errors.ts'
import { FRAME_CHARACTERS, FrameLog, frameOf, framesOf } from './frames.ts'
import { keysSql, sameSql } from './loose.ts'
import { deletedField, entrySql, keptTableSql, rowsTableSql } from './table.ts'
import { tellsApart } from './types.ts'

/** A COPY under way, and how many rows went into it. */
interface OpenInflow {
  readonly copy: Inflow
  rows: number
}

/** Lines that are sent in one frame, and how many. */
interface Piece {
  lines: string
  rows: number
}

/** Owns the staging table of one target table, one per transaction that needs it. */
export class TableWriter {
  readonly #client: Client
  readonly #spec: TargetSpec
  readonly #table: string
  readonly #staging: string
  readonly #columns: string
  readonly #random: () => number
  readonly #key: readonly Field[]
  /** Names of the table's loose columns. */
  readonly #loose: readonly string[]
  /** In the transaction that is under way. */
  #staged = false
  #inflow: OpenInflow | null = null
  /** What went into it, to find the refused row if there is one. */
  #log = new FrameLog()

  /** `spec.schema` has the native types of this database. */
  constructor(
    client: Client,
    spec: TargetSpec,
    { number, loose }: { readonly number: number; readonly loose: readonly string[] },
    random: () => number,
  ) {
    this.#loose = loose
    this.#client = client
    this.#random = random
    this.#spec = spec
    this.#table = tableSql(spec.collection)
    this.#staging = `pg_temp._syncline_staging_${number}`
    this.#columns = spec.schema.fields.map(({ name }) => quote(name)).join(', ')
    this.#key = spec.schema.key.flatMap((name) => spec.schema.fields.filter((field) => field.name === name))
  }

  /** A transaction has begun; what was staged went with the one before. */
  begin(): void {
    this.#staged = false
  }

  async put(rows: readonly Row[], fresh: boolean): Promise<PutResult> {
    if (rows.length === 0) return nothingPut
    const rejected: Rejection[] = []
    const pieces = this.#encode(rows, rejected)
    if (fresh && !this.#spec.adopt) {
      for (const { lines, rows } of pieces) await this.#flow((log) => log.addLines(lines), rows)
      return { ...nothingPut, inserted: rows.length - rejected.length, rejected }
    }
    const late = await this.flush()
    await this.#stage()
    const result = await this.#attempt(
      pieces.flatMap(({ lines }) => splitLines(lines)),
      (part) => this.#merge(part),
    )
    return addPuts(addPuts({ ...nothingPut, rejected }, late), result)
  }

  async putEncoded(encoded: Encoded): Promise<PutResult> {
    await this.#flow((log) => log.add(encoded.bytes), encoded.rows)
    return { ...nothingPut, inserted: encoded.rows }
  }

  /**
   * Ends the COPY under way. When it failed on a row, its rows go in again by halves, without the refused ones. A trigger
   * may have swallowed some.
   */
  async flush(): Promise<PutResult> {
    const inflow = this.#inflow
    if (inflow === null) return nothingPut
    this.#inflow = null
    try {
      const rows = await inflow.copy.end()
      this.#log.clear()
      return { ...nothingPut, inserted: rows - inflow.rows }
    } catch (error) {
      if (!isRowError(error)) throw error
      await this.#client.query('ROLLBACK TO SAVEPOINT inflow; RELEASE SAVEPOINT inflow')
      const lines = this.#takeLog().lines()
      const result = await this.#attempt(lines, (part) => this.#insert(part))
      return { ...result, inserted: result.inserted - inflow.rows }
    }
  }

  /** Gives up what is under way; the transaction is rolled back next. */
  async abandon(): Promise<void> {
    const inflow = this.#inflow
    this.#inflow = null
    this.#takeLog()
    await inflow?.copy.abandon()
  }

  /** Of a COPY that failed, some may still be on its way to the server: its buffer is not used again. */
  #takeLog(): FrameLog {
    const log = this.#log
    this.#log = new FrameLog()
    return log
  }

  /** Deletes or marks; rows that others refer to stay. */
  async delete(keys: readonly Key[]): Promise<DeleteResult> {
    let result: DeleteResult = { deleted: 0, rejected: [] }
    await this.flush()
    for (let start = 0; start < keys.length; start += 1000) {
      const { deleted, rejected } = await this.#deletePart(keys.slice(start, start + 1000))
      result = { deleted: result.deleted + deleted, rejected: [...result.rejected, ...rejected] }
    }
    return result
  }

  /** By halves down to a row that a reference stands in the way of. */
  async #deletePart(keys: readonly Key[]): Promise<DeleteResult> {
    const mine = rowsTableSql(this.#spec.collection)
    const isKey = keysSql(this.#key, keys, this.#loose)
    await this.#client.query('SAVEPOINT part')
    try {
      if (this.#spec.adopt) await this.#client.query(`DELETE FROM ${mine} WHERE NOT _written AND ${isKey}`)
      const deleted =
        this.#spec.deletes === 'keep' ? await this.#keep(isKey) : await this.#client.execute(this.#deleteSql(isKey))
      if (this.#spec.adopt) await this.#client.query(`DELETE FROM ${mine} WHERE ${isKey}`)
      await this.#client.query('RELEASE SAVEPOINT part')
      return { deleted, rejected: [] }
    } catch (error) {
      if (toldByServer(error)?.code !== states.reference) throw error
      await this.#client.query('ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part')
      const [key] = keys
      if (keys.length === 1 && key !== undefined) return { deleted: 0, rejected: [referenced(key)] }
      const middle = keys.length >> 1
      const first = await this.#deletePart(keys.slice(0, middle))
      const second = await this.#deletePart(keys.slice(middle))
      return { deleted: first.deleted + second.deleted, rejected: [...first.rejected, ...second.rejected] }
    }
  }

  /** The rows stay, and are not this sync's any more; returns how many that are. Of an adopted table its list says so. */
  async #keep(isKey: string): Promise<number> {
    const { collection, adopt } = this.#spec
    if (!adopt)
      return await this.#client.execute(
        `INSERT INTO ${keptTableSql(collection)} SELECT ${this.#keyColumns()} FROM ${this.#table} AS target WHERE ${isKey} ON CONFLICT DO NOTHING`,
      )
    const [row] = await this.#client.query(`SELECT count(*) FROM ${rowsTableSql(collection)} WHERE ${isKey}`)
    return Number(row?.[0])
  }

  /** Rows that are put are this sync's again. */
  async #unkeep(): Promise<void> {
    const { collection, adopt, deletes } = this.#spec
    if (deletes !== 'keep' || adopt) return
    const same = this.#sameKey('kept', 'staged')
    await this.#client.query(
      `DELETE FROM ${keptTableSql(collection)} AS kept USING ${this.#staging} AS staged WHERE ${same}`,
    )
  }

  /** Puts rows whose unique values stand in each other's way. */
  async putTogether(rows: readonly Row[]): Promise<PutResult> {
    // Before the savepoint, which would take it along.
    await this.flush()
    await this.#stage()
    const parked = await this.#parked()
    return await putParked(rows, {
      park: (row) => this.#park(row, parked),
      put: (row) => this.put([row], false),
      begin: async () => void (await this.#client.query('SAVEPOINT together')),
      keep: async () => void (await this.#client.query('RELEASE SAVEPOINT together')),
      undo: async () => void (await this.#client.query('ROLLBACK TO SAVEPOINT together; RELEASE SAVEPOINT together')),
    })
  }

  /** Columns of ours that the table holds apart, as fields that say whether they may be NULL there. */
  async #parked(): Promise<readonly Field[]> {
    const columns = await this.#client.query(
      `SELECT DISTINCT a.attname, a.attnotnull FROM ${apartSql}
       WHERE i.indrelid = ${quoteText(this.#table)}::regclass AND NOT i.indisprimary AND a.attgenerated = ''`,
    )
    return this.#spec.schema.fields.flatMap((field) => {
      const column = columns.find(([name]) => name === field.name)
      return column === undefined || this.#key.includes(field) ? [] : [{ ...field, nullable: column[1] === 'f' }]
    })
  }

  async #park(row: Row, fields: readonly Field[]): Promise<Rejection | null> {
    const sets = fields.flatMap((field) => {
      const value = parkedValue(field, this.#random())
      if (value === undefined) return []
      return [`${quote(field.name)} = ${value === null ? 'NULL' : quoteText(String(value))}`]
    })
    if (sets.length === 0) return null
    const isKey = keysSql(this.#key, [this.#keyOf(row)], this.#loose)
    await this.#client.query('SAVEPOINT park')
    try {
      await this.#client.query(`UPDATE ${this.#table} AS target SET ${sets.join(', ')} WHERE ${isKey}`)
      await this.#client.query('RELEASE SAVEPOINT park')
      return null
    } catch (error) {
      if (!isRowError(error)) throw error
      await this.#client.query('ROLLBACK TO SAVEPOINT park; RELEASE SAVEPOINT park')
      return await this.#refusal(row, error)
    }
  }

  /** Into the open COPY. A failure shows in flush(), which knows what to do. */
  async #flow(enter: (log: FrameLog) => Uint8Array, rows: number): Promise<void> {
    if (rows === 0) return
    if (this.#inflow === null) {
      // A refused row must not take the transaction with it. With the commit the savepoint ends.
      const copy = this.#client.copyIn(`SAVEPOINT inflow; ${this.#copySql(this.#table)}`)
      this.#inflow = { copy, rows: 0 }
    }
    this.#inflow.rows += rows
    await this.#inflow.copy.write(enter(this.#log)).catch((error) => {
      if (!isRowError(error)) throw error
    })
  }

  /** Writes lines in a savepoint; on a refused row, by halves down to that row. */
  async #attempt(
    lines: readonly string[],
    write: (lines: readonly string[]) => Promise<PutResult>,
  ): Promise<PutResult> {
    if (lines.length === 0) return nothingPut
    await this.#client.query('SAVEPOINT rows')
    try {
      const result = await write(lines)
      await this.#client.query('RELEASE SAVEPOINT rows')
      return result
    } catch (error) {
      if (!isRowError(error)) throw error
      await this.#client.query('ROLLBACK TO SAVEPOINT rows; RELEASE SAVEPOINT rows')
      if (lines.length === 1)
        return { ...nothingPut, rejected: [await this.#refusal(this.#decode(lines[0] as string), error)] }
      const middle = lines.length >> 1
      return addPuts(
        await this.#attempt(lines.slice(0, middle), write),
        await this.#attempt(lines.slice(middle), write),
      )
    }
  }

  async #insert(lines: readonly string[]): Promise<PutResult> {
    return { ...nothingPut, inserted: await this.#copy(this.#table, lines) }
  }

  async #copy(table: string, lines: readonly string[]): Promise<number> {
    const copy = this.#client.copyIn(this.#copySql(table))
    for (const frame of framesOf(lines)) await copy.write(frame)
    return copy.end()
  }

  #copySql(table: string): string {
    return `COPY ${table} (${this.#columns}) FROM STDIN`
  }

  /** Update what differs, insert what is new. ON CONFLICT would lock, and so write, every equal row. */
  async #merge(lines: readonly string[]): Promise<PutResult> {
    await this.#client.query(`TRUNCATE ${this.#staging}`)
    await this.#copy(this.#staging, lines)
    await this.#refuseBent()
    const same = this.#sameKey('target', 'staged')
    const noted = this.#spec.adopt ? `, noted AS (${this.#noteSql('target')})` : ''
    const revived = await this.#countRevived(same)
    await this.#unkeep()
    const updated = (await this.#client.execute(this.#updateSql(same))) - revived.changing
    const [row] = await this.#client.query(
      `WITH target AS (INSERT INTO ${this.#table} (${this.#columns}) OVERRIDING SYSTEM VALUE SELECT ${this.#columns} FROM ${this.#staging} AS staged
         WHERE NOT EXISTS (SELECT 1 FROM ${this.#table} AS target WHERE ${same}) RETURNING ${this.#keyColumns()})${noted}
       SELECT count(*) FROM target`,
    )
    const inserted = Number(row?.[0]) + revived.rows
    if (this.#spec.adopt) await this.#noteEqual()
    return { inserted, updated, unchanged: lines.length - inserted - updated, rejected: [] }
  }

  /** Of an adopted table: VALUE_REFUSED when one of the staged values would be rounded. */
  async #refuseBent(): Promise<void> {
    const fields = this.#rounding
    if (fields.length === 0) return
    const bends = fields.map((field) => `NOT ${keepsValue(field, quote(field.name))}`)
    const [row] = await this.#client.query(
      `SELECT ${bends.join(', ')} FROM ${this.#staging} WHERE ${bends.join(' OR ')} LIMIT 1`,
    )
    const bent = fields.find((_, at) => row?.[at] === 't')
    if (bent !== undefined) throw roundsValue(bent)
  }

  /** A table of ours has columns that hold what they are given. */
  get #rounding(): readonly Field[] {
    return this.#spec.adopt ? this.#spec.schema.fields.filter(rounds) : []
  }

  /** Rows that were marked as deleted, or kept, and come back: inserts, as `plan` and `verify` see them. `changing`: those that an update meets. */
  async #countRevived(same: string): Promise<{ readonly rows: number; readonly changing: number }> {
    const { collection, adopt, deletes } = this.#spec
    const pairs = `${this.#table} AS target JOIN ${this.#staging} AS staged ON ${same}`
    if (deletes === 'mark') {
      const [row] = await this.#client.query(
        `SELECT count(*) FROM ${pairs} WHERE target.${quote(deletedField)} IS NOT NULL`,
      )
      return { rows: Number(row?.[0]), changing: Number(row?.[0]) }
    }
    if (deletes !== 'keep' || adopt) return { rows: 0, changing: 0 }
    const differs = this.#changed.map(differsSql).join(' OR ') || 'false'
    const [row] = await this.#client.query(
      `SELECT count(*), count(*) FILTER (WHERE ${differs}) FROM ${pairs} JOIN ${keptTableSql(collection)} AS kept ON ${this.#sameKey('kept', 'staged')}`,
    )
    return { rows: Number(row?.[0]), changing: Number(row?.[1]) }
  }

  /** Of keys that are equal, one may be spelled anew (1 day, 24:00:00); numbers have one canonical spelling. */
  get #changed(): readonly Field[] {
    return this.#spec.schema.fields.filter(
      (field) => !this.#key.includes(field) || (field.type === 'text' && !tellsApart(field)),
    )
  }

  #updateSql(same: string): string {
    const others = this.#changed
    const marks = this.#spec.deletes === 'mark'
    const sets = others.map(({ name }) => `${quote(name)} = staged.${quote(name)}`)
    const differs = others.map(differsSql)
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
    await this.#client.query(
      `INSERT INTO ${rowsTableSql(this.#spec.collection)} (${keys}, _written) SELECT ${keys}, false FROM ${this.#staging} ON CONFLICT DO NOTHING`,
    )
  }

  #deleteSql(isKey: string): string {
    const ours = this.#spec.adopt
      ? ` AND EXISTS (${entrySql(rowsTableSql(this.#spec.collection), 'target', this.#spec.schema.key, this.#loose)})`
      : ''
    if (this.#spec.deletes === 'mark')
      return `UPDATE ${this.#table} AS target SET ${quote(deletedField)} = now() WHERE ${quote(deletedField)} IS NULL AND ${isKey}${ours}`
    return `DELETE FROM ${this.#table} AS target WHERE ${isKey}${ours}`
  }

  async #stage(): Promise<void> {
    if (this.#staged) return
    const rounding = this.#rounding
    const typeOf = (field: Field) => (rounding.includes(field) ? withoutLimits(field.native) : field.native)
    const columns = this.#spec.schema.fields.map((field) => `${quote(field.name)} ${typeOf(field)}`).join(', ')
    // Gone with the transaction: the next may have another session of the server, and this one other users.
    await this.#client.query(`CREATE TEMP TABLE ${this.#staging.replace('pg_temp.', '')} (${columns}) ON COMMIT DROP`)
    this.#staged = true
  }

  #keyColumns(): string {
    return this.#key.map(({ name }) => quote(name)).join(', ')
  }

  #sameKey(a: string, b: string): string {
    return this.#key
      .map(({ name }) => sameSql(`${a}.${quote(name)}`, `${b}.${quote(name)}`, this.#loose.includes(name)))
      .join(' AND ')
  }

  /** Rows as lines, in pieces that can be sent; a value that Postgres can't hold rejects its row. */
  #encode(rows: readonly Row[], rejected: Rejection[]): readonly Piece[] {
    const pieces: Piece[] = []
    let piece: Piece = { lines: '', rows: 0 }
    for (const row of rows) {
      try {
        const line = encodeRow(this.#spec.schema.fields, row)
        if (piece.lines.length + line.length > FRAME_CHARACTERS && piece.rows > 0) {
          pieces.push(piece)
          piece = { lines: '', rows: 0 }
        }
        piece.lines += line
        piece.rows++
      } catch (error) {
        if (!isRowError(error)) throw error
        rejected.push(this.#rejection(row, error))
      }
    }
    return [...pieces, piece]
  }

  #decode(line: string): Row {
    return (
      new CopyDecoder(this.#spec.schema.fields.map(({ type }) => type)).decode({ bytes: frameOf(line), rows: 1 })[0] ??
      []
    )
  }

  #keyOf(row: Row): Key {
    return this.#key.map((field) => canonical(field.type, row[this.#spec.schema.fields.indexOf(field)] as Value))
  }

  /** Of a row that the server refused: where a unique index did, it may have taken the key for another row's. */
  async #refusal(row: Row, error: unknown): Promise<Rejection> {
    const key = this.#keyOf(row)
    const isLoose = this.#key.some(({ name }) => this.#loose.includes(name))
    if (!isLoose || toldByServer(error)?.code !== states.unique) return this.#rejection(row, error)
    const isKey = keysSql(this.#key, [key], this.#loose)
    const [other] = await this.#client.query(
      `SELECT 1 FROM ${this.#table} WHERE ${keysSql(this.#key, [key], [])} AND NOT (${isKey}) LIMIT 1`,
    )
    return other === undefined ? this.#rejection(row, error) : keyTaken(key)
  }

  #rejection(row: Row, error: unknown): Rejection {
    const key = this.#keyOf(row)
    const refusal = toldByServer(error)
    if (refusal === null)
      return { key, code: 'VALUE_REFUSED', message: error instanceof Error ? error.message : String(error) }
    const { code } = refusal
    const kind =
      code === states.unique || code === states.exclusion
        ? 'VALUE_TAKEN'
        : code === states.reference
          ? 'PARENT_MISSING'
          : `VALUE_REFUSED (${code})`
    return { key, code: kind, message: withoutValues(refusal.message) }
  }
}

/** SQLSTATEs of rows that may go in once others have changed. */
const states = { reference: '23503', unique: '23505', exclusion: '23P01' } as const

function referenced(key: Key): Rejection {
  return { key, code: 'ROW_REFERENCED', message: 'rows of another table refer to it' }
}

function differsSql(field: Field): string {
  return `${compared('target', field)} IS DISTINCT FROM ${compared('staged', field)}`
}

/** Equality by spelling where `=` is missing (json) or blurs it (1.0 and 1.00, 1 day and 24:00:00); of text by its bytes, whatever its collation. */
function compared(table: string, field: Field): string {
  const column = `${table}.${quote(field.name)}`
  const spelled = tellsApart(field) ? column : `${column}::text`
  return field.type === 'text' ? `${spelled} COLLATE "C"` : spelled
}

/** Lines of COPY text, each with its newline (a newline inside a value is escaped). */
function splitLines(lines: string): string[] {
  return lines.match(/[^\n]*\n/g) ?? []
}
