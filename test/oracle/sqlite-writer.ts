/** People at work on SQLite tables: one connection, as SQLite has one writer, with transactions that stay open across runs. */
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Kind } from './canonical.ts'
import type { Random } from './random.ts'
import { readSqlite, type SourceOptions, type SourceSide } from './sides.ts'
import {
  columnTypes,
  fillerType,
  gradeType,
  keyTypes,
  levelType,
  type SqliteType,
  smallKeyTypes,
  strayValue,
} from './sqlite-types.ts'

interface SqliteColumn {
  readonly name: string
  readonly type: SqliteType
  readonly isKey: boolean
}

interface SqliteTable {
  readonly name: string
  columns: readonly SqliteColumn[]
  readonly strict: boolean
  /** How the key is declared. */
  readonly keyed: 'primary key' | 'without rowid' | 'unique index'
  /** A column with a unique index of its own: REPLACE deletes other rows by it. */
  readonly unique: string | null
  drawn: number
}

export async function sqliteSource(options: SourceOptions, tracked: boolean): Promise<SourceSide> {
  const writer = new SqliteWriter(options)
  writer.open()
  return {
    connection: {
      connector: 'sqlite',
      file: './source.db',
      busyTimeoutMs: 1000,
      ...(tracked ? { track: 'triggers' } : {}),
    },
    tables: writer.tables.map((table) => ({
      collection: /[."]/.test(table.name) ? quote(table.name) : table.name,
      columns: () => table.columns.map(({ name, type, isKey }) => ({ name, kind: type.kind, isKey })),
      describe: () => createSql(table),
      twins: false,
      cursor: null,
      follows: tracked && table.columns.every(({ type, isKey }) => !isKey || trackable.has(type.kind)),
      read: async (columns, condition) => readSqlite(writer.database, table.name, columns, condition),
    })),
    step: async () => writer.step(),
    upheave: async () => writer.upheave(),
    settle: () => writer.settle(),
    writes: () => writer.writes,
    log: () => writer.log,
    [Symbol.asyncDispose]: async () => writer.database.close(),
  }
}

/** Keys that a trigger can write down as JSON. */
const trackable: ReadonlySet<Kind> = new Set<Kind>(['integer', 'text', 'uuid', 'boolean'])

/** The writer comes back later when somebody reads. */
const BUSY_MS = 30

class SqliteWriter {
  readonly database: DatabaseSync
  readonly tables: SqliteTable[] = []
  writes = 0
  log: readonly string[] = []
  readonly #random: Random
  readonly #options: SourceOptions
  #savepoints = 0
  #number = 0

  constructor(options: SourceOptions) {
    this.#options = options
    this.#random = options.random
    this.database = new DatabaseSync(`${options.folder}/source.db`, { timeout: BUSY_MS })
  }

  open(): void {
    const random = this.#random
    if (random.chance(0.7)) this.database.exec('PRAGMA journal_mode = WAL')
    if (random.chance(0.2)) this.database.exec('PRAGMA recursive_triggers = ON')
    for (let number = 0; number < this.#options.tables; number++) {
      const table = drawTable(random, number)
      this.tables.push(table)
      this.database.exec(createSql(table))
      const rows = random.chance(0.1) ? 0 : random.between(1, this.#options.rows)
      this.database.exec('BEGIN')
      for (let done = 0; done < rows; done += 50)
        this.database.exec(insertSql(random, table, Math.min(50, rows - done), 'OR IGNORE'))
      this.database.exec('COMMIT')
    }
  }

  step(): void {
    const random = this.#random
    if (!this.database.isTransaction) {
      if (random.chance(0.15) && this.#try('BEGIN IMMEDIATE')) this.#savepoints = 0
      else if (random.chance(0.08)) this.#rare()
      else this.#write()
      return
    }
    random.weighted<() => unknown>([
      [10, () => this.#write()],
      [2, () => this.#try(`SAVEPOINT s${++this.#savepoints}`)],
      [1, () => this.#savepoints > 0 && this.#try(`ROLLBACK TO s${this.#savepoints}`)],
      [1, () => this.#savepoints > 0 && this.#try(`RELEASE s${this.#savepoints--}`)],
      [2, () => this.#try('COMMIT')],
      [1, () => this.#try('ROLLBACK')],
    ])()
  }

  /** So much at once that the next run has many batches. */
  upheave(): void {
    for (const table of this.tables) this.#try(updateSql(this.#random, table, 1_000_000))
  }

  /** Ends the transaction, and mends the values of the wrong class. */
  async settle(): Promise<void> {
    for (let tries = 0; this.database.isTransaction && !this.#try('COMMIT'); tries++) {
      if (tries > 200) throw new Error('the last transaction could not be committed')
      await sleep(10)
    }
    for (const table of this.tables) {
      for (const column of table.columns) {
        const wrong = `${quote(column.name)} IS NOT NULL AND NOT (${column.type.right.replaceAll('c ', `${quote(column.name)} `).replaceAll('(c)', `(${quote(column.name)})`)})`
        if (column.isKey)
          this.database.exec(`DELETE FROM ${quote(table.name)} WHERE ${wrong} OR ${quote(column.name)} IS NULL`)
        else this.database.exec(`UPDATE ${quote(table.name)} SET ${quote(column.name)} = NULL WHERE ${wrong}`)
      }
    }
  }

  #write(): void {
    const random = this.#random
    const table = random.pick(this.tables)
    const few = () => random.between(1, random.pick([1, 3, 20]))
    const sql = random.weighted<() => string>([
      [5, () => insertSql(random, table, few(), random.pick(['OR IGNORE', 'OR REPLACE', 'OR REPLACE']))],
      [2, () => upsertSql(random, table)],
      [7, () => updateSql(random, table, few())],
      [3, () => moveSql(random, table)],
      [4, () => `DELETE FROM ${quote(table.name)} WHERE ${someRows(random, table, few())}`],
      [table.strict ? 0 : 1, () => straySql(random, table)],
    ])()
    this.#try(sql)
  }

  #rare(): void {
    const random = this.#random
    const table = random.pick(this.tables)
    const name = quote(table.name)
    random.weighted<() => unknown>([
      [1, () => this.#try(`DELETE FROM ${name}`)],
      [2, () => this.#try(updateSql(random, table, 1_000_000))],
      [1, () => this.#try('VACUUM')],
      [1, () => this.#try('PRAGMA wal_checkpoint(TRUNCATE)')],
      [2, () => this.#rebuild(table, table.columns)],
      [this.#options.changesSchema ? 8 : 0, () => this.#changeSchema(table)],
    ])()
  }

  /** As migrations do it: a new table takes the rows over and the old one's name. Triggers go with the old one. */
  #rebuild(table: SqliteTable, columns: readonly SqliteColumn[]): void {
    const next = { ...table, name: `new ${++this.#number} ${table.name}`, columns }
    const names = columns.map((column) => quote(column.name)).join(', ')
    const done = this.#try(
      `BEGIN IMMEDIATE; ${createSql(next)}; INSERT INTO ${quote(next.name)} (${names}) SELECT ${names} FROM ${quote(table.name)};
       ${this.#random.chance(0.5) ? `DELETE FROM ${quote(next.name)} WHERE ${someRows(this.#random, next, 2)};` : ''}
       DROP TABLE ${quote(table.name)}; ALTER TABLE ${quote(next.name)} RENAME TO ${quote(table.name)}; COMMIT`,
    )
    if (done) table.columns = columns
    else if (this.database.isTransaction) this.database.exec('ROLLBACK')
  }

  #changeSchema(table: SqliteTable): void {
    const random = this.#random
    const name = quote(table.name)
    const others = table.columns.filter((column) => /^c\d/.test(column.name) && column.name !== table.unique)
    const [one, two] = random.sample(others, 2)
    const last = table.columns.at(-1)
    const added = drawColumn(random, table)
    random.weighted<() => unknown>([
      [
        3,
        () => {
          const filled = random.chance(0.5) ? ` DEFAULT (${added.type.value(random)})` : ''
          // SQLite takes only constants for rows that are there.
          if (
            this.#try(
              `ALTER TABLE ${name} ADD COLUMN ${quote(added.name)} ${added.type.declared}${filled.replace(/DEFAULT \((-?[\d.e]+|'(?:[^']|'')*'|x'[0-9a-f]*')\)/, 'DEFAULT $1').replace(/ DEFAULT \(.*/, '')}`,
            )
          )
            table.columns = [...table.columns, added]
        },
      ],
      [
        one === undefined ? 0 : 1,
        () => {
          if (one === undefined || !this.#try(`ALTER TABLE ${name} DROP COLUMN ${quote(one.name)}`)) return
          table.columns = table.columns.filter((column) => column !== one)
        },
      ],
      [
        one?.type.wider === undefined ? 0 : 3,
        () => {
          const wider = one?.type.wider
          if (one !== undefined && wider !== undefined)
            this.#rebuild(
              table,
              table.columns.map((column) => (column === one ? { ...one, type: wider } : column)),
            )
        },
      ],
      [
        last !== undefined && others.includes(last) ? 2 : 0,
        () => {
          if (last === undefined || !this.#try(`ALTER TABLE ${name} DROP COLUMN ${quote(last.name)}`)) return
          for (
            let tries = 0;
            !this.#try(`ALTER TABLE ${name} ADD COLUMN ${quote(last.name)} ${last.type.declared}`);
            tries++
          )
            if (tries > 200) throw new Error('the column could not be added again')
        },
      ],
      [
        one !== undefined && two !== undefined && one.type === two.type ? 3 : 0,
        () => {
          if (one === undefined || two === undefined || !this.#try('BEGIN IMMEDIATE')) return
          const rename = (from: string, to: string) =>
            this.database.exec(`ALTER TABLE ${name} RENAME COLUMN ${quote(from)} TO ${quote(to)}`)
          rename(one.name, '_swap')
          rename(two.name, one.name)
          rename('_swap', two.name)
          if (!this.#try('COMMIT')) this.database.exec('ROLLBACK')
        },
      ],
    ])()
  }

  /** Whether it happened. */
  #try(sql: string): boolean {
    try {
      this.database.exec(sql)
      this.writes++
      this.log = [...this.log.slice(-199), sql.length > 400 ? `${sql.slice(0, 400)}…` : sql]
      return true
    } catch (error) {
      const code = error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : 0
      // Busy, locked, constraint, and for rows too large or of the wrong class in a STRICT table.
      if (![5, 6, 19, 20].includes(code))
        throw new Error(`the oracle's own statement failed: ${String(error)}\n${sql.slice(0, 2000)}`, { cause: error })
      return false
    }
  }
}

const oddNames = ['select', 'a b', 'Ünï', 'x"y', 'dot.ted', "it's", 'CamelCase', '%s']

function drawTable(random: Random, number: number): SqliteTable {
  const strict = random.chance(0.3)
  const fits = (type: SqliteType) => type.strict || !strict
  const key: SqliteColumn[] = [{ name: 'k1', type: random.pick(keyTypes.filter(fits)), isKey: true }]
  if (random.chance(0.35))
    key.push({ name: 'k2', type: random.pick([...smallKeyTypes, ...keyTypes].filter(fits)), isKey: true })
  const table: SqliteTable = {
    name: random.chance(0.25) ? `${random.pick(oddNames)} ${number}` : `t${number}`,
    columns: [],
    strict,
    keyed: random.weighted([
      [5, 'primary key'],
      [2, 'without rowid'],
      [2, 'unique index'],
    ]),
    unique: random.chance(0.3) ? 'level' : null,
    drawn: 0,
  }
  const rest = [
    { name: 'grade', type: gradeType, isKey: false },
    {
      name: 'level',
      type:
        table.unique === null
          ? levelType
          : { ...levelType, value: (chance: Random) => String(chance.between(-5000, 5000)) },
      isKey: false,
    },
    ...Array.from({ length: random.between(1, 8) }, () => drawColumn(random, { ...table, drawn: table.drawn++ })),
  ]
  if (random.chance(0.4)) rest.push({ name: 'filler', type: fillerType, isKey: false })
  table.columns = random.chance(0.3) ? [...rest.slice(0, 2), ...key, ...rest.slice(2)] : [...key, ...rest]
  return table
}

function drawColumn(random: Random, table: SqliteTable): SqliteColumn {
  const number = ++table.drawn
  const types = columnTypes.filter((type) => type.strict || !table.strict)
  return {
    name: random.chance(0.15) ? `${random.pick(oddNames)}${number}` : `c${number}`,
    type: random.pick(types),
    isKey: false,
  }
}

function createSql(table: SqliteTable): string {
  const columns = table.columns.map(
    (column) =>
      `${quote(column.name)} ${column.type.declared}${column.isKey && (table.keyed === 'unique index' || table.strict) ? ' NOT NULL' : ''}`,
  )
  const key = table.columns.filter((column) => column.isKey).map((column) => quote(column.name))
  const [only] = table.columns.filter((column) => column.isKey)
  // INTEGER PRIMARY KEY is the rowid itself only when it is declared with the column.
  const alone = table.keyed !== 'unique index' && key.length === 1 && only?.type.declared === 'INTEGER'
  const declared = columns.map((column) =>
    alone && column.startsWith(`${key[0]} `) ? column.replace('INTEGER', 'INTEGER PRIMARY KEY') : column,
  )
  if (table.keyed !== 'unique index' && !alone) declared.push(`PRIMARY KEY (${key.join(', ')})`)
  const ending = [
    ...(table.strict ? ['STRICT'] : []),
    ...(table.keyed === 'without rowid' ? ['WITHOUT ROWID'] : []),
  ].join(', ')
  const indexes =
    table.keyed === 'unique index'
      ? `; CREATE UNIQUE INDEX ${quote(`${table.name} key`)} ON ${quote(table.name)} (${key.join(', ')})`
      : ''
  const unique =
    table.unique === null ? '' : `; CREATE UNIQUE INDEX ${quote(`${table.name} level`)} ON ${quote(table.name)} (level)`
  return `CREATE TABLE ${quote(table.name)} (${declared.join(', ')}) ${ending}${indexes}${unique}`
}

function insertSql(random: Random, table: SqliteTable, count: number, or: string): string {
  const tuples = Array.from(
    { length: count },
    () => `(${table.columns.map((column) => drawValue(random, column)).join(', ')})`,
  )
  return `INSERT ${or} INTO ${quote(table.name)} (${table.columns.map((column) => quote(column.name)).join(', ')}) VALUES ${tuples.join(', ')}`
}

function upsertSql(random: Random, table: SqliteTable): string {
  const key = table.columns.filter((column) => column.isKey).map((column) => quote(column.name))
  return `${insertSql(random, table, 1, '')} ON CONFLICT (${key.join(', ')}) DO UPDATE SET grade = excluded.grade`
}

function updateSql(random: Random, table: SqliteTable, count: number): string {
  const columns = random.sample(
    table.columns.filter((column) => !column.isKey && column.name !== table.unique),
    random.between(1, 3),
  )
  const sets = columns.map(
    (column) => `${quote(column.name)} = ${random.chance(0.1) ? quote(column.name) : drawValue(random, column)}`,
  )
  return `UPDATE ${quote(table.name)} SET ${sets.join(', ')} WHERE ${someRows(random, table, count)}`
}

function moveSql(random: Random, table: SqliteTable): string {
  const columns = random.sample(
    table.columns.filter((column) => column.isKey),
    random.between(1, 2),
  )
  const sets = columns.map((column) => {
    // The same letters in another case: another key, though not to a NOCASE index.
    const respells = column.type.declared.endsWith('NOCASE') && random.chance(0.5)
    return `${quote(column.name)} = ${respells ? `CASE WHEN ${quote(column.name)} = upper(${quote(column.name)}) COLLATE BINARY THEN lower(${quote(column.name)}) ELSE upper(${quote(column.name)}) END` : drawValue(random, column)}`
  })
  return `UPDATE ${random.pick(['', 'OR REPLACE', 'OR IGNORE'])} ${quote(table.name)} SET ${sets.join(', ')} WHERE ${someRows(random, table, 1)}`
}

function straySql(random: Random, table: SqliteTable): string {
  const column = random.pick(table.columns.filter(({ name }) => name !== table.unique))
  // Triggers can't record a key that JSON can't hold: that is the writer's to know.
  const value = column.isKey ? drawValue(random, column) : strayValue(random, column.type.kind)
  return `UPDATE OR IGNORE ${quote(table.name)} SET ${quote(column.name)} = ${value} WHERE ${someRows(random, table, 1)}`
}

function drawValue(random: Random, column: SqliteColumn): string {
  if (!column.isKey && random.chance(0.12)) return 'NULL'
  return column.type.value(random)
}

/** Rows chosen by an order that a salt shuffles; the same for the same rows. */
function someRows(random: Random, table: SqliteTable, count: number): string {
  const key = table.columns.filter((column) => column.isKey).map((column) => quote(column.name))
  const salt = random.between(1, 97)
  const order = key
    .map(
      (name) =>
        `(length(hex(${name})) * ${salt} + unicode(hex(${name})) * 31 + unicode(substr(hex(${name}), -2)) * 17) % 101`,
    )
    .join(' + ')
  return `(${key.join(', ')}) IN (SELECT ${key.join(', ')} FROM ${quote(table.name)} ORDER BY ${order}, ${key.join(', ')} LIMIT ${count} OFFSET ${random.between(0, 20)})`
}

function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
