/** People at work on Postgres tables: several sessions with overlapping transactions, savepoints, and schema changes. */
import pg from 'pg'
import {
  bounds,
  createSql,
  deleteSql,
  drawColumn,
  drawTable,
  insertSql,
  keyOf,
  literalOf,
  moveSql,
  nameOf,
  type PostgresTable,
  partName,
  quote,
  respellSql,
  settings,
  updateAllSql,
  updateSql,
} from './postgres-table.ts'
import type { Random } from './random.ts'

/** Somebody else was faster, or in the way: the statement did not happen. */
const expected = new Set(['55P03', '40001', '40P01', '23505', '55006', '23514', '25P02', '57014', '0A000'])

interface Session {
  readonly client: pg.Client
  open: boolean
  savepoints: number
}

export interface WriterOptions {
  readonly url: string
  readonly random: Random
  readonly tables: number
  readonly rows: number
  /** Whether columns are added, widened and dropped. */
  readonly changesSchema: boolean
}

export class PostgresWriter implements AsyncDisposable {
  readonly tables: PostgresTable[] = []
  /** Statements that were carried out. */
  writes = 0
  readonly #random: Random
  readonly #options: WriterOptions
  readonly #sessions: Session[] = []
  readonly #prepared = new Set<string>()
  #number = 0
  #log: string[] = []

  constructor(options: WriterOptions) {
    this.#options = options
    this.#random = options.random
  }

  /** The last statements, for a failure's report. */
  get log(): readonly string[] {
    return this.#log
  }

  async open(): Promise<void> {
    for (let i = 0; i < 4; i++) {
      const client = new pg.Client({ connectionString: this.#options.url })
      client.on('error', () => {})
      await client.connect()
      await client.query(settings)
      this.#sessions.push({ client, open: false, savepoints: 0 })
    }
    for (let i = 0; i < this.#options.tables; i++) {
      // What a change of the schema does to the values, no stamp tells.
      const stamped = !this.#options.changesSchema && this.#random.chance(0.3)
      const table = drawTable(this.#random, i, stamped)
      this.tables.push(table)
      await this.#client().query(createSql(table))
      const rows = this.#random.chance(0.1) ? 0 : this.#random.between(1, this.#options.rows)
      for (let done = 0; done < rows; done += 100)
        await this.#client().query(insertSql(this.#random, table, Math.min(100, rows - done)))
    }
  }

  get client(): pg.Client {
    return this.#client()
  }

  /** One thing that one of the sessions does. */
  async step(): Promise<void> {
    const random = this.#random
    const session = random.pick(this.#sessions)
    if (!session.open) {
      if (random.chance(0.35)) return await this.#begin(session)
      if (random.chance(0.06)) return await this.#rare(session)
      if (random.chance(0.1) && this.#prepared.size > 0) return await this.#endPrepared()
      return await this.#write(session)
    }
    await random.weighted<() => Promise<unknown>>([
      [11, () => this.#write(session)],
      [3, () => this.#savepoint(session)],
      [1, () => this.#rollbackTo(session)],
      [1, () => this.#release(session)],
      [3, () => this.#end(session, 'COMMIT')],
      [1, () => this.#end(session, 'ROLLBACK')],
      [0.5, () => this.#prepare(session)],
    ])()
  }

  /** So much at once that the next run has many batches. */
  async upheave(): Promise<void> {
    const free = this.#sessions.find((session) => !session.open)
    if (free === undefined) return
    for (const table of this.tables) await this.#try(free, updateAllSql(this.#random, table))
  }

  /** Ends every transaction, so that nothing moves any more. */
  async settle(): Promise<void> {
    for (const session of this.#sessions)
      if (session.open) await this.#end(session, this.#random.chance(0.8) ? 'COMMIT' : 'ROLLBACK')
    while (this.#prepared.size > 0) await this.#endPrepared()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { client } of this.#sessions) await client.end().catch(() => {})
  }

  #client(): pg.Client {
    const [first] = this.#sessions
    if (first === undefined) throw new Error('the writer is not open')
    return first.client
  }

  async #begin(session: Session): Promise<void> {
    await session.client.query(this.#random.pick(['BEGIN', 'BEGIN', 'BEGIN ISOLATION LEVEL REPEATABLE READ']))
    session.open = true
    session.savepoints = 0
    // Takes a transaction number now, and writes later.
    if (this.#random.chance(0.3)) await session.client.query('SELECT pg_current_xact_id()')
  }

  async #write(session: Session): Promise<void> {
    const random = this.#random
    const table = random.pick(this.tables)
    const few = () => random.between(1, random.pick([1, 3, 20]))
    const sql = random.weighted<() => string | null>([
      [6, () => insertSql(random, table, few())],
      [8, () => updateSql(random, table, few())],
      [3, () => moveSql(random, table)],
      [4, () => deleteSql(random, table, few())],
      [1, () => respellSql(random, table)],
    ])()
    if (sql !== null) await this.#try(session, sql)
  }

  /** What happens seldom, and outside of transactions that stay open. */
  async #rare(session: Session): Promise<void> {
    const random = this.#random
    const table = random.pick(this.tables)
    const name = nameOf(table)
    const [part] = random.sample(
      Array.from({ length: table.partitions }, (_, at) => partName(table, at)),
      1,
    )
    await random.weighted<() => Promise<unknown>>([
      [1, () => this.#try(session, `TRUNCATE ${name}`)],
      [1, () => this.#try(session, `BEGIN; TRUNCATE ${name}; ${insertSql(random, table, 5)}; COMMIT`)],
      [2, () => this.#try(session, updateAllSql(random, table))],
      [2, () => this.#try(session, `VACUUM ${name}`)],
      [1, () => this.#try(session, `VACUUM FULL ${name}`)],
      [1, () => this.#try(session, `ANALYZE ${name}`)],
      [1, () => this.#try(session, insertSql(random, table, 200))],
      [1, () => this.#try(session, deleteSql(random, table, 100))],
      [1, () => this.#swapKeys(session, table)],
      [part === undefined ? 0 : 2, () => this.#reattach(session, table, part ?? '')],
      [this.#options.changesSchema ? 8 : 0, () => this.#changeSchema(session, table)],
    ])()
  }

  /** Two rows exchange their keys: by way of a third key, in one transaction. */
  async #swapKeys(session: Session, table: PostgresTable): Promise<void> {
    const key = keyOf(table)
    const names = key.map((column) => quote(column.name)).join(', ')
    const { rows } = await session.client.query<string[]>({
      text: `SELECT ${key.map((column) => `${quote(column.name)}::text`).join(', ')} FROM ${nameOf(table)} ORDER BY ${names} LIMIT 2`,
      rowMode: 'array',
      types: { getTypeParser: () => (value: string) => value },
    })
    const [one, two] = rows
    if (one === undefined || two === undefined) return
    const spell = (row: readonly string[]) =>
      key.map((column, at) => `${literal(row[at] ?? '')}::${column.type.native.replace(/ COLLATE .*/, '')}`)
    const third = key.map((column) => literalOf(this.#random, column))
    const move = (from: readonly string[], to: readonly string[]) =>
      `UPDATE ${nameOf(table)} SET ${key.map((column, at) => `${quote(column.name)} = ${to[at]}`).join(', ')} WHERE (${names}) = (${from.join(', ')})`
    const [a, b] = [spell(one), spell(two)]
    await this.#try(session, `BEGIN; ${move(a, third)}; ${move(b, a)}; ${move(third, b)}; COMMIT`)
  }

  /** A partition leaves and comes back: its rows have the row headers of long ago. */
  async #reattach(session: Session, table: PostgresTable, part: string): Promise<void> {
    const at = Number(/(\d+)"$/.exec(part)?.[1])
    const attach = `ALTER TABLE ${nameOf(table)} ATTACH PARTITION ${part} ${bounds(table, at)}`
    if (await this.#try(session, `ALTER TABLE ${nameOf(table)} DETACH PARTITION ${part}`)) {
      for (let tries = 0; !(await this.#try(session, attach)); tries++)
        if (tries > 600) throw new Error(`${part} could not be attached again`)
    }
  }

  async #changeSchema(session: Session, table: PostgresTable): Promise<void> {
    const random = this.#random
    const name = nameOf(table)
    const others = table.columns.filter((column) => /^(?!k1|k2|Key 1|grade|level|twice)/.test(column.name))
    const [one, two] = random.sample(others, 2)
    const alter = async (sql: string, change: () => readonly PostgresTable['columns'][number][]) => {
      if (await this.#try(session, `ALTER TABLE ${name} ${sql}`)) table.columns = change()
    }
    const without = (gone: typeof one) => table.columns.filter((column) => column !== gone)
    await random.weighted<() => Promise<unknown>>([
      [
        3,
        () => {
          const added = drawColumn(random, table)
          const filled = random.chance(0.5) ? ` DEFAULT ${literalOf(random, added)}` : ''
          return alter(`ADD COLUMN ${quote(added.name)} ${added.type.native}${filled}`, () => [...table.columns, added])
        },
      ],
      [one === undefined ? 0 : 1, () => alter(`DROP COLUMN ${quote(one?.name ?? '')}`, () => without(one))],
      [
        one?.type.wider === undefined ? 0 : 3,
        () => {
          const wider = one?.type.wider
          if (one === undefined || wider === undefined) return Promise.resolve()
          return alter(`ALTER COLUMN ${quote(one.name)} TYPE ${wider.native}`, () =>
            table.columns.map((column) => (column === one ? { ...one, type: wider } : column)),
          )
        },
      ],
      // The column's name and type stay, its values don't, and no row is touched.
      [
        one === undefined ? 0 : 2,
        () =>
          alter(
            `DROP COLUMN ${quote(one?.name ?? '')}, ADD COLUMN ${quote(one?.name ?? '')} ${one?.type.native}`,
            () => [...without(one), ...(one === undefined ? [] : [one])],
          ),
      ],
      [
        one !== undefined && two !== undefined && one.type === two.type ? 4 : 0,
        () => this.#try(session, swapNames(name, one?.name ?? '', two?.name ?? '')),
      ],
      [1, () => this.#try(session, `ALTER TABLE ${name} ALTER COLUMN level TYPE integer USING level + 1`)],
    ])()
  }

  async #savepoint(session: Session): Promise<void> {
    await session.client.query(`SAVEPOINT s${++session.savepoints}`)
  }

  async #rollbackTo(session: Session): Promise<void> {
    if (session.savepoints > 0) await session.client.query(`ROLLBACK TO SAVEPOINT s${session.savepoints}`)
  }

  async #release(session: Session): Promise<void> {
    if (session.savepoints > 0) await session.client.query(`RELEASE SAVEPOINT s${session.savepoints--}`)
  }

  async #end(session: Session, how: 'COMMIT' | 'ROLLBACK'): Promise<void> {
    await session.client.query(how)
    session.open = false
  }

  /** Half a two-phase commit: a transaction that outlives its session. */
  async #prepare(session: Session): Promise<void> {
    if (this.#prepared.size >= 2) return
    const id = `oracle_${process.pid}_${performance.now()}_${++this.#number}`
    session.open = false
    await session.client.query(`PREPARE TRANSACTION '${id}'`)
    this.#prepared.add(id)
  }

  async #endPrepared(): Promise<void> {
    const [id] = this.#prepared
    if (id === undefined) return
    const free = this.#sessions.find((session) => !session.open)
    if (free === undefined) return
    await free.client.query(`${this.#random.chance(0.8) ? 'COMMIT' : 'ROLLBACK'} PREPARED '${id}'`)
    this.#prepared.delete(id)
  }

  /** Whether the statement happened. In a transaction, half of them are in a savepoint, which a failure then ends. */
  async #try(session: Session, sql: string): Promise<boolean> {
    const guarded = session.open && this.#random.chance(0.5)
    if (guarded) await session.client.query('SAVEPOINT here')
    try {
      await session.client.query(sql)
      if (guarded && this.#random.chance(0.7)) await session.client.query('RELEASE SAVEPOINT here')
      this.writes++
      this.#log = [...this.#log.slice(-199), sql.length > 400 ? `${sql.slice(0, 400)}…` : sql]
      return true
    } catch (error) {
      const code = error instanceof pg.DatabaseError ? (error.code ?? '') : ''
      if (!expected.has(code))
        throw new Error(`the oracle's own statement failed: ${String(error)}\n${sql.slice(0, 2000)}`, { cause: error })
      if (guarded) await session.client.query('ROLLBACK TO SAVEPOINT here')
      else {
        await session.client.query('ROLLBACK')
        session.open = false
      }
      return false
    }
  }
}

function swapNames(table: string, a: string, b: string): string {
  const rename = (from: string, to: string) => `ALTER TABLE ${table} RENAME COLUMN ${quote(from)} TO ${quote(to)}`
  return `BEGIN; ${rename(a, '_swap')}; ${rename(b, a)}; ${rename('_swap', b)}; COMMIT`
}

function literal(value: string): string {
  return `E'${value.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`
}
