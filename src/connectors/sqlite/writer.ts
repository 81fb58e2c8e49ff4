/** Conditional writes into a SQLite table that others write to, too. */
import type { DatabaseSync } from 'node:sqlite'
import { SyncError } from '../../core/error.ts'
import { type Field, fieldNamed, type Schema } from '../../core/schema.ts'
import type { Key, Row, Value } from '../../core/value.ts'
import {
  type Context,
  keyTaken,
  type Patch,
  type Write,
  type WriteResult,
  type Writer,
  type WriterSpec,
} from '../connector.ts'
import { type Fence, generationOf, generationsOf, raiseGeneration, takeGeneration } from '../sql/fence.ts'
import { hasOwnTables } from '../sql/own-tables.ts'
import type { SqlSession } from '../sql/session.ts'
import { anyResults, forgetAllResults, forgetResults, recallResults, recordResults } from '../sql/write-results.ts'
import { joined, quote } from '../sql.ts'
import {
  type Attempt,
  applyOneByOne,
  type Blocked,
  dependentsKept,
  leaseLost,
  notKept,
  refusedByReference,
  swapParked,
  type Transaction,
} from '../write.ts'
import { tableSql } from './catalog.ts'
import type { SqliteConfig } from './config.ts'
import { keepsNul, prepareArrays } from './database.ts'
import { asStored } from './decode.ts'
import { keptConditions } from './dependents.ts'
import { isRowError, isSqliteError, referenceRefusal } from './errors.ts'
import { type Lent, lend } from './handles.ts'
import { migrate } from './migrations.ts'
import { orAbort } from './own-rules.ts'
import { inTransaction, sessionOf } from './session.ts'
import { asBound, keyDuplicate, mayRespell, noteUndone, noteWritten, storedKeys, valueSql } from './spelling.ts'
import { tableOf } from './track.ts'
import { type Bindable, fromStorage, toStorage } from './types.ts'
import { breathe, returnedSql } from './view.ts'

export async function openWriter(
  config: SqliteConfig,
  context: Context,
  schema: Schema,
  spec: WriterSpec,
): Promise<Writer> {
  const lent = lend(config, { readOnly: false, create: false })
  try {
    const session = sessionOf(lent.database, config.file, context)
    await migrate(lent.database, config.file, session)
    const fence: Fence = { project: spec.project, sync: spec.name }
    const generation = await takeGeneration(session, fence, schema.name, spec.held)
    if (generation === null) throw leaseLost(spec)
    const table = new Table(lent.database, schema, spec, context)
    return writerOf(lent, { file: config.file, session, fence, spec }, table, generation)
  } catch (error) {
    lent[Symbol.dispose]()
    throw error
  }
}

/** The generations of the fences of a name, by project. */
export async function fencesOf(
  config: SqliteConfig,
  context: Context,
  schema: Schema,
  name: string,
): Promise<ReadonlyMap<string, number>> {
  using lent = lend(config, { readOnly: true, create: false })
  const session = sessionOf(lent.database, config.file, context)
  return (await hasOwnTables(session)) ? await generationsOf(session, name, schema.name) : new Map()
}

/** A file, and the fence that was taken in it. */
interface Fenced {
  readonly file: string
  readonly session: SqlSession
  readonly fence: Fence
  readonly spec: WriterSpec
}

function writerOf(lent: Lent, { file, session, fence, spec }: Fenced, table: Table, claimed: number): Writer {
  let generation = claimed
  const { database } = lent
  const fenced = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      const result = await inTransaction(database, file, async () => {
        if ((await generationOf(session, fence)) !== generation) throw leaseLost(spec)
        return await work()
      })
      // All of this answers at once: signals and timers get their turn here.
      await breathe()
      return result
    } catch (error) {
      noteUndone(database)
      throw error
    }
  }
  /** Where references are checked at the end of a transaction, or a row ends it, so that each write needs one of its own. */
  const apart = async (id: string, writes: readonly Write[]): Promise<readonly WriteResult[]> => {
    const done: WriteResult[] = writes.map(() => ({ status: 'stale' }))
    const take = async (at: number, result: Attempt): Promise<Attempt> => {
      if (result.status !== 'written') return result
      const [now = result] = table.asTheyAre([result])
      done[at] = now
      await forgetResults(session, fence, [id])
      await recordResults(session, fence, id, done)
      return now
    }
    return await applyOneByOne(writes, {
      attempt: async (write, at) => {
        try {
          return await fenced(async () => await take(at, await table.attempt(write)))
        } catch (error) {
          if (error instanceof TransactionGone)
            return { status: 'rejected', code: 'VALUE_REFUSED', message: error.reason }
          const refusal = referenceRefusal(error)
          if (refusal !== null) return refusedByReference(write, refusal)
          throw error
        }
      },
      swap: async (members) => {
        try {
          return await fenced(async () => {
            const swapped = await table.swap(members)
            for (const [i, result] of swapped?.entries() ?? []) await take(members[i]?.at ?? 0, result)
            return swapped
          })
        } catch (error) {
          if (error instanceof TransactionGone) return null
          throw error
        }
      },
    })
  }
  return {
    generation: claimed,
    write: async (id, writes, forget) => {
      try {
        return await fenced(async () => {
          await forgetResults(session, fence, [...forget, id])
          const results = table.asTheyAre(await applyOneByOne(writes, table))
          await recordResults(session, fence, id, results)
          return results
        })
      } catch (error) {
        if (referenceRefusal(error) !== null || error instanceof TransactionGone) return await apart(id, writes)
        throw error
      }
    },
    recall: (id) => fenced(() => recallResults(session, fence, id)),
    forget: async () => {
      if (!(await anyResults(session, fence))) return generation
      generation = await fenced(async () => {
        await forgetAllResults(session, fence)
        const raised = await raiseGeneration(session, fence, generation)
        if (raised === null) throw leaseLost(spec)
        return raised
      })
      return generation
    },
    [Symbol.asyncDispose]: async () => {
      lent[Symbol.dispose]()
    },
  }
}

/** A row ended the transaction that it was written in (restart.ts): all of it is undone. */
class TransactionGone extends SyncError {
  readonly reason: string

  constructor(reason: string) {
    super('VALUE_REFUSED', `the table rolled back the transaction for one row: ${reason}`)
    this.reason = reason
  }
}

/** One table's statements, each prepared once. */
class Table implements Transaction {
  readonly #database: DatabaseSync
  readonly #schema: Schema
  readonly #table: string
  readonly #fields: readonly Field[]
  /** The keys in the table that are a key, where it may spell them in its own way. */
  readonly #stored: ReturnType<typeof storedKeys> | null
  readonly #keyed: Parameters<typeof storedKeys>[1]
  readonly #keepsNul: boolean
  readonly #or: ReturnType<typeof orAbort>
  readonly #context: Context
  /** What a row that is deleted must not reach. */
  readonly #kept: ReturnType<typeof keptConditions>
  readonly #statements = new Map<string, ReturnType<typeof prepareArrays>>()

  constructor(
    database: DatabaseSync,
    schema: Schema,
    { fields, keeps = [] }: Pick<WriterSpec, 'fields' | 'keeps'>,
    context: Context,
  ) {
    this.#kept = keptConditions(database, schema, keeps)
    this.#context = context
    this.#database = database
    this.#schema = schema
    this.#table = tableSql(schema.name)
    this.#fields = fields.map((name) => fieldNamed(schema, name))
    this.#keyed = {
      system: schema.system,
      from: this.#table,
      key: schema.key.map((name) => fieldNamed(schema, name)),
    }
    this.#stored = mayRespell(this.#keyed) ? storedKeys(database, this.#keyed) : null
    this.#keepsNul = keepsNul(database)
    this.#or = orAbort(database, tableOf(schema))
  }

  async attempt(write: Write): Promise<Attempt> {
    this.#database.exec('SAVEPOINT one')
    try {
      const result = this.#respelledKey(write) ?? this.#apply(write)
      const given = this.#givenKey(write)
      if (given !== null) noteWritten(this.#database, this.#keyed, given)
      this.#database.exec('RELEASE one')
      return result.status === 'stale' ? this.#refusal(write) : result
    } catch (error) {
      // It may have ended the transaction, and the savepoint with it.
      const gone = !this.#database.isTransaction
      if (!gone) this.#database.exec('ROLLBACK TO one; RELEASE one')
      noteUndone(this.#database)
      if (!isRowError(error) || !(error instanceof Error)) throw error
      if (gone) throw new TransactionGone(error.message)
      const taken = /^UNIQUE constraint failed: (.*)$/.exec(error.message)
      if (taken !== null && isSqliteError(error)) {
        if (this.#keyIsTaken(write)) {
          const { code, message } = keyTaken([])
          return { status: 'rejected', code, message }
        }
        const columns = (taken[1] ?? '').split(', ').map((name) => name.slice(name.lastIndexOf('.') + 1))
        return { status: 'taken', columns, message: error.message }
      }
      if (referenceRefusal(error) !== null) return refusedByReference(write, error.message)
      return { status: 'rejected', code: 'VALUE_REFUSED', message: error.message }
    }
  }

  async swap(members: readonly Blocked[]): Promise<readonly WriteResult[] | null> {
    this.#database.exec('SAVEPOINT swap')
    const results = await swapParked(members, this.#schema, this.#context.random, (write) => this.attempt(write))
    this.#database.exec(results === null ? 'ROLLBACK TO swap; RELEASE swap' : 'RELEASE swap')
    if (results === null) noteUndone(this.#database)
    return results
  }

  /** RETURNING gives rows as they were before AFTER triggers: where a table has any, they are read again. */
  asTheyAre(results: readonly WriteResult[]): readonly WriteResult[] {
    if (!hasTriggers(this.#database, this.#schema)) return results
    const names = this.#fields.map(({ name }) => name)
    const sql = `SELECT ${this.#columnsSql()} FROM ${this.#table} WHERE ${sameKeySql(this.#schema)}`
    return results.map((result) => {
      if (result.status !== 'written' || result.row === null) return result
      const row = result.row
      const bound = this.#boundKey(this.#schema.key.map((name) => row[names.indexOf(name)] ?? null))
      const stored = this.#run(sql, [...bound, ...bound])
      return stored === undefined ? result : { status: 'written', row: this.#decode(stored) }
    })
  }

  /** What a write is whose key the table has in another spelling, and not in this alone; null: nothing stands in its way. */
  #respelledKey(write: Write): WriteResult | null {
    if (this.#stored === null) return null
    const own = write.kind === 'insert' ? [] : this.#stored(write.key)
    const { code, message } = keyDuplicate([])
    if (own.length > 1) return { status: 'rejected', code, message }
    const given = this.#givenKey(write)
    if (given === null) return null
    const bound = given.map((value, at) => asBound(fieldNamed(this.#schema, this.#schema.key[at] ?? ''), value))
    const others = this.#stored(given).filter((key) => !sameParts(key, own[0] ?? []))
    // The same spelling is refused by the table itself.
    if (others.every((key) => sameParts(key, bound))) return null
    return {
      status: 'rejected',
      code: 'KEY_TAKEN',
      message: 'another row of the table has its key in another spelling',
    }
  }

  /** The key that a write gives its row; null: it has it already, or gets it from the system. */
  #givenKey(write: Write): Key | null {
    const { key } = this.#schema
    if (write.kind === 'delete') return null
    const given = write.kind === 'insert' ? write.row : write.fields
    if (!key.some((name) => Object.hasOwn(given, name))) return null
    const whole = key.map((name, at) => given[name] ?? (write.kind === 'update' ? write.key[at] : null) ?? null)
    return whole.includes(null) ? null : whole
  }

  #columnsSql(): string {
    return this.#fields.map((field) => returnedSql(this.#schema.system, field)).join(', ')
  }

  /** The key as it stands in the table, or as it would. */
  #boundKey(key: Key): readonly Bindable[] {
    const own = () =>
      this.#schema.key.map((name, at) => toStorage(fieldNamed(this.#schema, name), key[at] ?? null, true))
    return this.#stored?.(key)[0] ?? own()
  }

  #apply(write: Write): WriteResult {
    const returning = `RETURNING ${this.#columnsSql()}`
    if (write.kind === 'insert') {
      const names = Object.keys(write.row)
      const values =
        names.length === 0
          ? 'DEFAULT VALUES'
          : `(${names.map(quote).join(', ')}) VALUES (${names.map(() => '?').join(', ')})`
      const stored = this.#run(`INSERT${this.#or} INTO ${this.#table} ${values} ${returning}`, this.#bind(write.row))
      if (stored === undefined) return notKept(write)
      return { status: 'written', row: this.#decode(stored) }
    }
    const { where, bound } = this.#condition(write)
    if (write.kind === 'delete') {
      const keeps = this.#kept.map(({ sql }) => ` AND NOT ${sql}`).join('')
      const gone = this.#run(`DELETE FROM ${this.#table} WHERE ${where}${keeps} RETURNING 1`, bound)
      return gone === undefined ? { status: 'stale' } : { status: 'written', row: null }
    }
    const sets = Object.keys(write.fields).map((name) => `${quote(name)} = ?`)
    const stored = this.#run(`UPDATE${this.#or} ${this.#table} SET ${sets.join(', ')} WHERE ${where} ${returning}`, [
      ...this.#bind(write.fields),
      ...bound,
    ])
    return stored === undefined ? { status: 'stale' } : { status: 'written', row: this.#decode(stored) }
  }

  /** That the row has its key and is as it is expected. */
  #condition(write: Exclude<Write, { kind: 'insert' }>): { readonly where: string; readonly bound: Bindable[] } {
    const { system } = this.#schema
    const fields = Object.keys(write.expected).map((name) => fieldNamed(this.#schema, name))
    const expected = fields.map((field) => `${valueSql(system, field)} COLLATE BINARY IS ?`)
    const key = this.#boundKey(write.key)
    const bound = fields.map((field) => {
      const value = write.expected[field.name] ?? null
      return mayRespell({ system, key: [field] }) ? asBound(field, value) : toStorage(field, value, true)
    })
    return { where: joined([sameKeySql(this.#schema), ...expected], 'AND'), bound: [...key, ...key, ...bound] }
  }

  /** Whether the table takes the key that a write gives its row for the key of another row. */
  #keyIsTaken(write: Write): boolean {
    if (write.kind === 'delete') return false
    const given = write.kind === 'insert' ? write.row : write.fields
    const values = this.#schema.key.map((name, at) => [
      name,
      given[name] ?? (write.kind === 'update' ? write.key[at] : null) ?? null,
    ])
    const key = this.#bind(Object.fromEntries(values))
    const same = (collation: string) => this.#schema.key.map((name) => `${quote(name)}${collation} = ?`).join(' AND ')
    const sql = `SELECT 1 FROM ${this.#table} WHERE ${same('')} AND NOT (${same(' COLLATE BINARY')}) LIMIT 1`
    return this.#run(sql, [...key, ...key]) !== undefined
  }

  /** Why a write had no effect, though nothing was refused. */
  #refusal(write: Write): WriteResult {
    if (write.kind === 'insert') return notKept(write)
    const { where, bound } = this.#condition(write)
    const there = (condition: string) =>
      this.#run(`SELECT 1 FROM ${this.#table} WHERE ${condition}`, bound) !== undefined
    if (!there(where)) return { status: 'stale' }
    const kept = write.kind === 'delete' ? this.#kept.find(({ sql }) => there(`${where} AND ${sql}`)) : undefined
    return kept === undefined ? notKept(write) : dependentsKept(kept.collection)
  }

  #bind(patch: Patch): Bindable[] {
    return Object.entries(patch).map(([name, value]) => {
      const field = fieldNamed(this.#schema, name)
      refuseBending(field, value)
      return toStorage(field, value, this.#keepsNul)
    })
  }

  #run(sql: string, values: readonly Bindable[]): Bindable[] | undefined {
    let statement = this.#statements.get(sql)
    if (statement === undefined) {
      statement = prepareArrays(this.#database, sql, true)
      this.#statements.set(sql, statement)
    }
    const stored = statement.get(...values)
    return stored === undefined ? undefined : asStored(stored)
  }

  #decode(stored: readonly Bindable[] | undefined): Row {
    return this.#fields.map((field, at) => fromStorage(field, stored?.[at] ?? null))
  }
}

/** The row of a key, its values bound twice: a column may compare without case, and the bytes are compared beside that (hazard 33). */
function sameKeySql({ key }: Schema): string {
  const parts = (collation: string) => key.map((name) => `${quote(name)}${collation} = ?`)
  return [...parts(''), ...parts(' COLLATE BINARY')].join(' AND ')
}

function sameParts(a: readonly Bindable[], b: readonly Bindable[]): boolean {
  // 1 as a number and as a bigint are one, '1' is another.
  const part = (one: Bindable | undefined) => (typeof one === 'string' ? `'${one}'` : String(one))
  return a.length === b.length && a.every((one, at) => part(one) === part(b[at]))
}

/** Whether a table has triggers but ours. */
function hasTriggers(database: DatabaseSync, schema: Schema): boolean {
  const row = database
    .prepare(
      "SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE AND name NOT LIKE '\\_syncline\\_track\\_%' ESCAPE '\\' LIMIT 1",
    )
    .get(tableOf(schema))
  return row !== undefined
}

/** A column of numeric affinity keeps 15 digits of a decimal. */
function refuseBending(field: Field, value: Value): void {
  if (field.type !== 'decimal' || typeof value !== 'string' || /CHAR|CLOB|TEXT/i.test(field.native)) return
  const digits = value
    .replace(/[eE].*$/, '')
    .replace(/\D/g, '')
    .replace(/^0+/, '')
  if (digits.length <= 15 && /^[+-]?[\d.]+$/.test(value)) return
  throw new SyncError('VALUE_REFUSED', `column ${field.name} (${field.native}) would round the decimal`)
}
