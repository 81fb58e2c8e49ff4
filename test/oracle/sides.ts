/** The two sides of a sync as the oracle sees them: whoever writes on the left, and whoever looks on the right. */
import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'
import { createDatabase } from '../../tools/database.ts'
import { type Cell, fromSqlite, type Kind, lossOf, type Rows } from './canonical.ts'
import { createSql, nameOf, quote, readRows, settings } from './postgres-table.ts'
import { typesSql } from './postgres-types.ts'
import { PostgresWriter } from './postgres-writer.ts'
import type { Random } from './random.ts'

export interface Column {
  readonly name: string
  readonly kind: Kind
  readonly isKey: boolean
}

export interface SourceTable {
  /** As a config writes it. */
  readonly collection: string
  readonly columns: () => readonly Column[]
  /** As it was created, or stands now. */
  readonly describe: () => string
  /** Whether Postgres takes keys for one that plan takes for two: intervals of 1 day and of 24:00:00. */
  readonly twins: boolean
  /** A field that every change moves on. */
  readonly cursor: string | null
  /** Whether a run can find what changed without comparing everything. */
  readonly follows: boolean
  /** `condition` is SQL that both systems understand. */
  readonly read: (columns: readonly Column[], condition: string) => Promise<Rows>
}

export interface SourceSide extends AsyncDisposable {
  readonly connection: object
  readonly tables: readonly SourceTable[]
  /** One thing that somebody does. */
  step(): Promise<void>
  /** Nearly every row changes. */
  upheave(): Promise<void>
  /** Ends what is under way. */
  settle(): Promise<void>
  readonly writes: () => number
  readonly log: () => readonly string[]
}

export interface TargetSide extends AsyncDisposable {
  readonly connection: object
  readonly loss: (kind: Kind, cell: Cell) => Cell
  read(table: string, columns: readonly Column[], condition: string): Promise<Rows>
  /** Makes a table that Syncline wrote one that somebody else made, as it stands. */
  disown(table: string): Promise<void>
  /** Why rows were refused. */
  rejections(): Promise<readonly string[]>
}

export interface SourceOptions {
  readonly random: Random
  readonly folder: string
  readonly tables: number
  readonly rows: number
  readonly changesSchema: boolean
  readonly reach: Reach
}

/** How Syncline gets to a database of its own: the URL that it is given. */
export type Reach = (url: string) => Promise<string>

export async function postgresSource(options: SourceOptions): Promise<SourceSide> {
  const database = await createDatabase()
  const writer = new PostgresWriter({ ...options, url: database.url })
  try {
    await execute(database.url, typesSql)
    await writer.open()
  } catch (error) {
    await writer[Symbol.asyncDispose]()
    await database[Symbol.asyncDispose]()
    throw error
  }
  return {
    connection: { connector: 'postgres', url: await options.reach(database.url) },
    tables: writer.tables.map((table) => ({
      collection: [table.schema, table.name].map(quotePart).join('.'),
      columns: () => table.columns.map(({ name, type, isKey }) => ({ name, kind: type.kind, isKey })),
      describe: () => createSql(table),
      twins: table.columns.some(({ isKey, type }) => isKey && type.native === 'interval'),
      cursor: table.columns.find(({ stamped }) => stamped)?.name ?? null,
      follows: true,
      read: (columns, condition) => readRows(writer.client, nameOf(table), columns, condition),
    })),
    step: () => writer.step(),
    upheave: () => writer.upheave(),
    settle: () => writer.settle(),
    writes: () => writer.writes,
    log: () => writer.log,
    [Symbol.asyncDispose]: async () => {
      await writer.settle().catch(() => {})
      await writer[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
    },
  }
}

/** A target database that has the source's types only sometimes: without them, such columns are text. */
export async function postgresTarget({ random, reach }: { random: Random; reach: Reach }): Promise<TargetSide> {
  const database = await createDatabase()
  if (random.chance(0.6)) await execute(database.url, typesSql)
  const client = new pg.Client({ connectionString: database.url })
  client.on('error', () => {})
  await client.connect()
  // A hostile role has another schema before public, where its tables of ours stand.
  await client.query(`${settings}; SET search_path = public, hostile`)
  return {
    connection: { connector: 'postgres', url: await reach(database.url) },
    loss: (_kind, cell) => cell,
    read: (table, columns, condition) => readRows(client, `public.${quote(table)}`, columns, condition),
    disown: async (table) => {
      await client.query(disownSql(`public.${table}`))
    },
    rejections: async () =>
      (await client.query<{ why: string }>(`${rejectionsSql} LIMIT 5`)).rows.map(({ why }) => why),
    [Symbol.asyncDispose]: async () => {
      await client.end().catch(() => {})
      await database[Symbol.asyncDispose]()
    },
  }
}

export async function sqliteTarget({ folder }: { folder: string }): Promise<TargetSide> {
  return {
    connection: { connector: 'sqlite', file: './target.db' },
    loss: lossOf,
    read: async (table, columns, condition) => {
      using database = new DatabaseSync(`${folder}/target.db`, { readOnly: true, timeout: 5000 })
      return readSqlite(database, table, columns, condition)
    },
    disown: async (table) => {
      using database = new DatabaseSync(`${folder}/target.db`, { timeout: 5000 })
      database.exec(disownSql(table))
    },
    rejections: async () => {
      using database = new DatabaseSync(`${folder}/target.db`, { readOnly: true, timeout: 5000 })
      return database
        .prepare(`${rejectionsSql} LIMIT 5`)
        .all()
        .map(({ why }) => String(why))
    },
    [Symbol.asyncDispose]: async () => {},
  }
}

export function readSqlite(database: DatabaseSync, table: string, columns: readonly Column[], condition: string): Rows {
  const statement = database.prepare(
    `SELECT ${columns.map((column) => quote(column.name)).join(', ')} FROM ${quote(table)} WHERE ${condition}`,
  )
  statement.setReturnArrays(true)
  statement.setReadBigInts(true)
  const found = new Map<string, readonly Cell[]>()
  for (const row of statement.all() as unknown as unknown[][]) {
    const cells = row.map((value, at) => fromSqlite(columns[at]?.kind ?? 'text', value))
    const key = JSON.stringify(cells.filter((_cell, at) => columns[at]?.isKey))
    if (found.has(key)) throw new Error(`two rows of ${table} have the key ${key}`)
    found.set(key, cells)
  }
  return found
}

function disownSql(table: string): string {
  return `DELETE FROM _syncline_collection WHERE name = '${table}'; DELETE FROM _syncline_checkpoint WHERE collection = '${table}';
    DELETE FROM _syncline_rejected`
}

const rejectionsSql = `SELECT sync || ' ' || key || ': ' || message AS why FROM _syncline_rejected ORDER BY at DESC`

/** A part of a dotted name, as configs write it. */
function quotePart(name: string): string {
  return /[."]/.test(name) ? quote(name) : name
}

async function execute(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(sql)
  } finally {
    await client.end()
  }
}
