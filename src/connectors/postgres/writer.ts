/**
 * Conditional writes into a Postgres table that others write to, too. Writes of one shape go in one statement; when one
 * of them is refused, the batch is done again one by one.
 */
import { SyncError } from '../../core/error.ts'
import { type Field, fieldNamed, type Schema } from '../../core/schema.ts'
import type { Row } from '../../core/value.ts'
import { type Context, keyTaken, type Write, type WriteResult, type Writer, type WriterSpec } from '../connector.ts'
import { generationsOf } from '../sql/fence.ts'
import { anyResults, forgetAllResults, forgetResults, recallResults, recordResults } from '../sql/write-results.ts'
import { quote } from '../sql.ts'
import {
  type Attempt,
  applyOneByOne,
  type Blocked,
  dependentsKept,
  notKept,
  refusedByReference,
  swapParked,
  type Transaction,
} from '../write.ts'
import { apartSql, type Table as CatalogTable, roundingColumns, tableSql } from './catalog.ts'
import { type Client, connect } from './client.ts'
import { Columns, GIVEN, roundsValue } from './columns.ts'
import type { PostgresConfig } from './config.ts'
import { keptConditions } from './dependents.ts'
import { isMissingRight, isRowError, toldByServer, withoutValues } from './errors.ts'
import { beginFenced, type Fence, raiseFence, takeFence } from './fence.ts'
import { keysSql, sameSql } from './loose.ts'
import { migrate, migrated } from './migrations.ts'
import { fetchRows } from './rows.ts'
import { fromText } from './types.ts'

/** The table that is written to. */
type Target = Pick<CatalogTable, 'schema' | 'loose'>

export async function openWriter(
  config: PostgresConfig,
  context: Context,
  { schema, loose }: Target,
  spec: WriterSpec,
): Promise<Writer> {
  const client = await connect(config, context.signal)
  const fence: Fence = { project: spec.project, sync: spec.name, collection: schema.name }
  try {
    await migrate(client)
    const taken = await takeFence(client, fence, spec.held, context)
    const generation = spec.held === null || spec.held === 0 ? taken : await raisedFence(client, fence, taken)
    const kept = await keptConditions(client, schema, spec.keeps ?? [])
    const target = { schema, loose, rounding: await roundingColumns(client, schema.name) }
    return writerOf(client, new Table(client, target, spec.fields, context, kept), fence, generation)
  } catch (error) {
    await client[Symbol.asyncDispose]()
    throw error
  }
}

async function raisedFence(client: Client, fence: Fence, held: number): Promise<number> {
  await client.begin('write')
  try {
    const generation = await raiseFence(client, fence, held)
    await client.commit()
    return generation
  } catch (error) {
    await client.rollback()
    throw error
  }
}

/** The generations of the fences of a name, by project. */
export async function fencesOf(client: Client, schema: Schema, name: string): Promise<ReadonlyMap<string, number>> {
  if (!(await migrated(client))) return new Map()
  return await generationsOf(client, name, schema.name)
}

function writerOf(client: Client, table: Table, fence: Fence, claimed: number): Writer {
  let generation = claimed
  const fenced = async <T>(work: () => Promise<T>): Promise<T> => {
    await beginFenced(client, [{ spec: fence, generation }])
    try {
      const result = await work()
      await client.commit()
      return result
    } catch (error) {
      await client.rollback()
      throw error
    }
  }
  return {
    generation: claimed,
    write: (id, writes, forget) =>
      fenced(async () => {
        const results = await table.asTheyAre(await table.apply(writes))
        await forgetResults(client, fence, forget)
        await recordResults(client, fence, id, results)
        return results
      }),
    recall: (id) => fenced(() => recallResults(client, fence, id)),
    forget: async () => {
      if (!(await anyResults(client, fence))) return generation
      generation = await fenced(async () => {
        await forgetAllResults(client, fence)
        return await raiseFence(client, fence, generation)
      })
      return generation
    },
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  }
}

class Table implements Transaction {
  readonly #client: Client
  readonly #schema: Schema
  /** Names of its loose columns. */
  readonly #loose: readonly string[]
  /** Names of columns of composite types that round. */
  readonly #rounding: readonly string[]
  readonly #fields: readonly Field[]
  readonly #context: Context
  /** What a row that is deleted must not reach. */
  readonly #kept: readonly { readonly collection: string; readonly sql: string }[]

  constructor(
    client: Client,
    { schema, loose, rounding }: Target & { readonly rounding: readonly string[] },
    fields: readonly string[],
    context: Context,
    kept: readonly { readonly collection: string; readonly sql: string }[],
  ) {
    this.#kept = kept
    this.#client = client
    this.#schema = schema
    this.#loose = loose
    this.#rounding = rounding
    this.#fields = fields.map((name) => fieldNamed(schema, name))
    this.#context = context
  }

  /** All at once if nothing is refused, else one by one. */
  async apply(writes: readonly Write[]): Promise<readonly WriteResult[]> {
    await this.#client.query('SAVEPOINT batch')
    try {
      const results = await this.#together(writes)
      // What would be checked at the end of the transaction would then refuse all of it.
      await this.#client.query('SET CONSTRAINTS ALL IMMEDIATE')
      if (results !== null) {
        await this.#refuseBroken(results)
        return await this.#notKept(writes, await this.#leavesFirst(writes, results))
      }
    } catch (error) {
      if (!isRowError(error) && !isMissingRight(error)) throw error
    }
    await this.#client.query('ROLLBACK TO SAVEPOINT batch; SET CONSTRAINTS ALL IMMEDIATE')
    return await applyOneByOne(writes, this)
  }

  /** RETURNING gives rows as they were before AFTER triggers: where a table has any, they are read again. */
  async asTheyAre(results: readonly WriteResult[]): Promise<readonly WriteResult[]> {
    const written = results.flatMap((result, at) =>
      result.status === 'written' && result.row !== null ? [{ at, row: result.row }] : [],
    )
    if (written.length === 0 || !(await this.#hasAfterTriggers())) return results
    const table = tableSql(this.#schema.name)
    const columns = new Columns(this.#schema)
    const where = this.#schema.key.map((name) => {
      const part = this.#fields.findIndex((field) => field.name === name)
      const values = columns.add(
        name,
        written.map(({ row }) => row[part] ?? null),
      )
      return this.#sameKey(table, name, values)
    })
    const rows = await this.#client.query(
      `SELECT ${GIVEN}.ord, ${this.#fields.map(({ name }) => `${table}.${quote(name)}`).join(', ')}
       FROM ${table} JOIN ${columns.source} ON ${where.join(' AND ')}`,
      columns.arrays,
    )
    const again = [...results]
    for (const [ordinal, ...row] of rows)
      again[written[Number(ordinal) - 1]?.at as number] = { status: 'written', row: this.#decode(row) }
    return again
  }

  /** A database of any bytes may store what is no text (by a trigger): results would hold other characters. */
  async #refuseBroken(results: readonly WriteResult[]): Promise<void> {
    if (this.#client.traits.encoding !== 'SQL_ASCII') return
    const names = this.#fields.map(({ name }) => name)
    const keyAt = this.#schema.key.map((name) => names.indexOf(name))
    const keys = results.flatMap((result) =>
      result.status === 'written' && result.row !== null ? [keyAt.map((at) => result.row?.[at] ?? null)] : [],
    )
    const key = this.#schema.key.map((name) => fieldNamed(this.#schema, name))
    const relation = { from: tableSql(this.#schema.name), where: null, fields: this.#schema.fields, key, indexed: true }
    const { rejects } = await fetchRows(this.#client, { ...relation, loose: this.#loose }, keys, names)
    const [first] = rejects
    if (first !== undefined) throw new SyncError('VALUE_REFUSED', `as it would be stored, ${first.message}`)
  }

  async #hasAfterTriggers(): Promise<boolean> {
    // Bit 1 of tgtype: BEFORE; bit 6: INSTEAD OF.
    const found = await this.#client.query(
      `SELECT 1 FROM pg_trigger WHERE tgrelid = $1::regclass AND NOT tgisinternal AND tgenabled <> 'D' AND tgtype & 66 = 0 LIMIT 1`,
      [tableSql(this.#schema.name)],
    )
    return found.length > 0
  }

  async attempt(write: Write): Promise<Attempt> {
    await this.#client.query('SAVEPOINT one')
    try {
      const [result] = (await this.#together([write])) ?? []
      if (result?.status !== 'written') {
        await this.#client.query('ROLLBACK TO SAVEPOINT one')
        return await this.#refusal(write)
      }
      await this.#refuseBroken([result])
      await this.#client.query('RELEASE SAVEPOINT one')
      return result
    } catch (error) {
      if (!(isRowError(error) || isMissingRight(error)) || !(error instanceof Error)) throw error
      await this.#client.query('ROLLBACK TO SAVEPOINT one')
      if (isMissingRight(error)) return await this.#withoutRight(write, error)
      const told = toldByServer(error)
      const message = withoutValues(told?.message ?? error.message)
      if (told?.code === '23505' && (await this.#keyIsTaken(write))) {
        const { code, message } = keyTaken([])
        return { status: 'rejected', code, message }
      }
      if (told?.code === '23505' || told?.code === '23P01')
        return { status: 'taken', columns: await this.#columnsOf(told.constraint ?? ''), message }
      if (told?.code === '23503' || told?.code === '23001') return refusedByReference(write, message)
      return { status: 'rejected', code: 'VALUE_REFUSED', message }
    }
  }

  async swap(members: readonly Blocked[]): Promise<readonly WriteResult[] | null> {
    await this.#client.query('SAVEPOINT swap')
    const results = await swapParked(members, this.#schema, this.#context.random, (write) => this.attempt(write))
    if (results === null) await this.#client.query('ROLLBACK TO SAVEPOINT swap')
    return results
  }

  /** Rows that refer to each other go in as many steps as they are deep: none may take another along. */
  async #leavesFirst(writes: readonly Write[], first: readonly WriteResult[]): Promise<readonly WriteResult[]> {
    const results = [...first]
    const waiting = () =>
      results.flatMap(({ status }, at) => (status === 'stale' && writes[at]?.kind === 'delete' ? [at] : []))
    for (
      let left = waiting(), before = writes.length;
      this.#kept.length > 0 && left.length < before;
      left = waiting()
    ) {
      before = left.length
      const again = await this.#together(left.map((at) => writes[at] as Write))
      again?.forEach((result, i) => {
        results[left[i] as number] = result
      })
    }
    return results
  }

  async #notKept(writes: readonly Write[], results: readonly WriteResult[]): Promise<WriteResult[]> {
    const known = [...results]
    for (const [at, { status }] of results.entries())
      if (status === 'stale') known[at] = await this.#refusal(writes[at] as Write)
    return known
  }

  /** Why a write had no effect, though nothing was refused. */
  async #refusal(write: Write): Promise<WriteResult> {
    const columns = new Columns(this.#schema, this.#rounding)
    if (write.kind !== 'delete') {
      const given = write.kind === 'insert' ? write.row : write.fields
      for (const [name, value] of Object.entries(given)) columns.assign(name, [value])
      const bent = await this.#bent(columns)
      if (bent !== null) return { status: 'rejected', code: 'VALUE_REFUSED', message: roundsValue(bent).message }
    }
    if (write.kind === 'insert') return notKept(write)
    const there = new Columns(this.#schema)
    const where = this.#condition([write], there)
    const found = await this.#client.query(
      `SELECT 1 FROM ${tableSql(this.#schema.name)}, ${there.source} WHERE ${where.join(' AND ')} LIMIT 1`,
      there.arrays,
    )
    if (found.length === 0) return { status: 'stale' }
    for (const { collection, sql } of write.kind === 'delete' ? this.#kept : []) {
      const reached = await this.#client.query(
        `SELECT 1 FROM ${tableSql(this.#schema.name)}, ${there.source} WHERE ${[...where, sql].join(' AND ')} LIMIT 1`,
        there.arrays,
      )
      if (reached.length > 0) return dependentsKept(collection)
    }
    return notKept(write)
  }

  /** Whether the table takes the key that a write gives its row for the key of another row. */
  async #keyIsTaken(write: Write): Promise<boolean> {
    const key = this.#schema.key
    if (write.kind === 'delete' || !key.some((name) => this.#loose.includes(name))) return false
    const given = write.kind === 'insert' ? write.row : write.fields
    const values = key.map((name, at) => given[name] ?? (write.kind === 'update' ? write.key[at] : null) ?? null)
    const fields = key.map((name) => fieldNamed(this.#schema, name))
    const isKey = keysSql(fields, [values], this.#loose)
    const [other] = await this.#client.query(
      `SELECT 1 FROM ${tableSql(this.#schema.name)} WHERE ${keysSql(fields, [values], [])} AND NOT (${isKey}) LIMIT 1`,
    )
    return other !== undefined
  }

  /** The column that would not keep its value as it is; null: none. */
  async #bent(columns: Columns): Promise<Field | null> {
    if (columns.keeping.length === 0) return null
    const checks = columns.keeping.map(({ sql }) => sql).join(', ')
    const [row] = await this.#client.query(`SELECT ${checks} FROM ${columns.source}`, columns.arrays)
    return columns.keeping.find((_, at) => row?.[at] === 'f')?.field ?? null
  }

  /** A column that the user may not write concerns the rows that need it. Any other right is about the table: its error is thrown. */
  async #withoutRight(write: Write, error: Error): Promise<WriteResult> {
    const names =
      write.kind === 'insert' ? Object.keys(write.row) : write.kind === 'update' ? Object.keys(write.fields) : []
    const right = write.kind.toUpperCase()
    const [row] = await this.#client.query(
      `SELECT has_any_column_privilege($1::regclass, $2),
         (SELECT min(name) FROM unnest($3::text[]) AS name WHERE NOT has_column_privilege($1::regclass, name, $2))`,
      [tableSql(this.#schema.name), right, names],
    )
    const [any, column] = row ?? []
    if (any !== 't' || column == null) throw error
    const grant = `GRANT ${right} (${quote(column)}) ON ${tableSql(this.#schema.name)}`
    const message = `there is no right to ${write.kind} column ${column} (as the table's owner: ${grant} TO <user>)`
    return { status: 'rejected', code: 'VALUE_REFUSED', message }
  }

  /** One statement per shape. Null: an insert gave fewer rows than it got. */
  async #together(writes: readonly Write[]): Promise<WriteResult[] | null> {
    const results: WriteResult[] = writes.map(() => ({ status: 'stale' }))
    const shapes = new Map<string, number[]>()
    writes.forEach((write, at) => {
      const shape = shapeOf(write)
      const members = shapes.get(shape)
      if (members === undefined) shapes.set(shape, [at])
      else members.push(at)
    })
    // Deletions make room for what comes; insertions come last.
    const order = ['delete', 'update', 'insert']
    const sorted = [...shapes.values()].sort(
      ([a], [b]) =>
        order.indexOf((writes[a as number] as Write).kind) - order.indexOf((writes[b as number] as Write).kind),
    )
    for (const members of sorted) {
      const group = members.map((at) => writes[at] as Write)
      const rows = await this.#statement(group)
      if (group[0]?.kind === 'insert') {
        if (rows.length !== group.length) return null
        members.forEach((at, i) => {
          results[at] = { status: 'written', row: this.#decode(rows[i] as readonly (string | null)[]) }
        })
        continue
      }
      for (const [ordinal, ...row] of rows)
        results[members[Number(ordinal) - 1] as number] = {
          status: 'written',
          row: group[0]?.kind === 'delete' ? null : this.#decode(row),
        }
    }
    return results
  }

  async #statement(group: readonly Write[]): Promise<readonly (readonly (string | null)[])[]> {
    const table = tableSql(this.#schema.name)
    const columns = new Columns(this.#schema, this.#rounding)
    const first = group[0] as Write
    const returning = this.#fields.map(({ name }) => `${table}.${quote(name)}`).join(', ')
    if (first.kind === 'insert') {
      const names = Object.keys(first.row)
      if (names.length === 0) {
        const rows = []
        for (const _ of group)
          rows.push(...(await this.#client.query(`INSERT INTO ${table} DEFAULT VALUES RETURNING ${returning}`)))
        return rows
      }
      const values = names.map((name) =>
        columns.assign(
          name,
          group.map((write) => (write.kind === 'insert' ? (write.row[name] ?? null) : null)),
        ),
      )
      return await this.#client.query(
        `INSERT INTO ${table} (${names.map(quote).join(', ')}) OVERRIDING SYSTEM VALUE
         SELECT ${values.join(', ')} FROM ${columns.source} ${whereAll(columns.kept)} ORDER BY ${GIVEN}.ord RETURNING ${returning}`,
        columns.arrays,
      )
    }
    const where = this.#condition(group, columns)
    if (first.kind === 'delete' && this.#kept.length > 0) {
      await this.#lock(group)
      where.push(...this.#kept.map(({ sql }) => `NOT ${sql}`))
    }
    if (first.kind === 'delete')
      return await this.#client.query(
        `DELETE FROM ${table} USING ${columns.source} ${whereAll(where)} RETURNING ${GIVEN}.ord`,
        columns.arrays,
      )
    const sets = Object.keys(first.fields).map((name) => {
      const values = group.map((write) => (write.kind === 'update' ? (write.fields[name] ?? null) : null))
      return `${quote(name)} = ${columns.assign(name, values)}`
    })
    return await this.#client.query(
      `UPDATE ${table} SET ${sets.join(', ')} FROM ${columns.source} ${whereAll([...where, ...columns.kept])} RETURNING ${GIVEN}.ord, ${returning}`,
      columns.arrays,
    )
  }

  /** From now on nobody can refer to these rows: what does is seen by the next statement. */
  async #lock(group: readonly Write[]): Promise<void> {
    const columns = new Columns(this.#schema)
    const key = this.#schema.key.map((name, part) => {
      const values = group.map((write) => (write.kind === 'insert' ? null : (write.key[part] ?? null)))
      return this.#sameKey('_root', name, columns.add(name, values))
    })
    await this.#client.query(
      `SELECT 1 FROM ${tableSql(this.#schema.name)} AS _root JOIN ${columns.source} ON ${key.join(' AND ')} FOR UPDATE OF _root`,
      columns.arrays,
    )
  }

  /** That a row has its key and is as it is expected. */
  #condition(group: readonly Write[], columns: Columns): string[] {
    const table = tableSql(this.#schema.name)
    const key = this.#schema.key.map((name, part) => {
      const values = group.map((write) => (write.kind === 'insert' ? null : (write.key[part] ?? null)))
      return this.#sameKey(table, name, columns.add(name, values))
    })
    const first = group[0]
    const expected = Object.keys(first === undefined || first.kind === 'insert' ? {} : first.expected).map((name) => {
      const values = group.map((write) => (write.kind === 'insert' ? null : (write.expected[name] ?? null)))
      return same(fieldNamed(this.#schema, name), `${table}.${quote(name)}`, columns.add(name, values))
    })
    return [...key, ...expected]
  }

  #sameKey(table: string, name: string, values: string): string {
    return sameSql(`${table}.${quote(name)}`, values, this.#loose.includes(name))
  }

  #decode(row: readonly (string | null)[]): Row {
    return this.#fields.map((field, at) => {
      const text = row[at] ?? null
      return text === null ? null : fromText(field.type, text)
    })
  }

  async #columnsOf(constraint: string): Promise<readonly string[]> {
    const rows = await this.#client.query(
      `SELECT DISTINCT a.attname FROM ${apartSql}
       WHERE i.indrelid = $1::regclass AND i.indexrelid = (SELECT oid FROM pg_class WHERE relname = $2 AND oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = $1::regclass))`,
      [tableSql(this.#schema.name), constraint],
    )
    return rows.map(([name]) => String(name))
  }
}

function whereAll(conditions: readonly string[]): string {
  return conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`
}

function shapeOf(write: Write): string {
  switch (write.kind) {
    case 'insert':
      return JSON.stringify([write.kind, Object.keys(write.row)])
    case 'update':
      return JSON.stringify([write.kind, Object.keys(write.fields), Object.keys(write.expected)])
    case 'delete':
      return JSON.stringify([write.kind, Object.keys(write.expected)])
  }
}

/** Types without an equality of their own (json, xml, geometry) are compared as they are spelled; text by its bytes, whatever its collation. */
function same(field: Field, column: string, value: string): string {
  const spelled =
    field.native === 'json' ||
    (field.type === 'text' && !/^(text|character|"char"|name|citext|inet|cidr)/.test(field.native))
  const bytes = /^(text|character)/.test(field.native) ? ' COLLATE "C"' : ''
  return spelled
    ? `${column}::text IS NOT DISTINCT FROM (${value})::text`
    : `${column}${bytes} IS NOT DISTINCT FROM (${value})${bytes}`
}
