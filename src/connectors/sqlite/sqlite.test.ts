import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, describe } from 'node:test'
import { temporaryFolder } from '../../../tools/database.ts'
import type { Row, Type, Value } from '../../core/value.ts'
import { readTests } from '../../testing/connector-read-tests.ts'
import { claim, openSink, specOf } from '../../testing/connector-target.ts'
import { type ConnectorHarness, connectorTests, type Shape, testContext } from '../../testing/index.ts'
import { workLimits } from '../apart.ts'
import type { Connection } from '../connector.ts'
import type { SqliteConfig } from './config.ts'
import { openSqliteApart } from './connection-apart.ts'
import { sqlite } from './index.ts'

/** How the tables of a harness come to be: written by Syncline, with every type, or declared by somebody else. */
type Making = 'ours' | 'declared'

/** What people declare, and what Syncline reads it as. */
const declared: Partial<Record<Type, string>> = {
  boolean: 'BOOLEAN',
  integer: 'INTEGER',
  float: 'DOUBLE',
  text: 'VARCHAR(2000)',
  bytes: 'BLOB',
  uuid: 'UUID',
}

interface Place {
  readonly file: string
  readonly connect: (config: SqliteConfig) => Promise<Connection>
  readonly leave: () => Promise<void>
}

/** A file of its own, worked on in this process. */
async function ownFile(): Promise<Place> {
  const folder = await temporaryFolder()
  return {
    file: join(folder.path, 'data.db'),
    connect: (config) => sqlite.open(config, testContext()),
    leave: async () => await folder[Symbol.asyncDispose](),
  }
}

/** Always the same file, made anew: so one process works for all tests (`connect` of a test that has several, for several). */
const apart = await temporaryFolder()
after(() => apart[Symbol.asyncDispose]())

async function fileApart(): Promise<Place> {
  const file = join(apart.path, 'data.db')
  const opened: Connection[] = []
  return {
    file,
    connect: async (config) => {
      const connection = await openSqliteApart(config, testContext(), workLimits)
      opened.push(connection)
      return connection
    },
    leave: async () => {
      for (const connection of opened) await connection[Symbol.asyncDispose]()
      for (const name of await readdir(apart.path)) await rm(join(apart.path, name))
    },
  }
}

async function openHarness(
  making: Making,
  track: 'none' | 'triggers',
  place: () => Promise<Place> = ownFile,
): Promise<ConnectorHarness> {
  const { file, connect: connectTo, leave } = await place()
  const connect = () => connectTo({ file, track, busyTimeoutMs: 5000 })
  const writing = (work: (database: DatabaseSync) => void) => {
    const database = new DatabaseSync(file, { timeout: 5000 })
    database.exec('PRAGMA journal_mode = WAL; BEGIN')
    work(database)
    database.exec('COMMIT')
    database.close()
  }
  const put = (shape: Shape, rows: readonly Row[]) =>
    writing((database) => {
      const names = shape.fields.map(({ name }) => quote(name))
      const sets = names.map((name) => `${name} = excluded.${name}`)
      const insert = database.prepare(
        `INSERT INTO ${quote(shape.name)} VALUES (${names.map(() => '?')}) ON CONFLICT (${shape.key.map(quote)}) DO UPDATE SET ${sets}`,
      )
      for (const row of rows) insert.run(...row.map(bound))
    })
  return {
    connection: await connect(),
    connect,
    create: async (shape, rows) => {
      if (making === 'declared') writing((database) => database.exec(createSql(shape)))
      else {
        await using sink = await openSink(await connect())
        await claim(sink, specOf(shape))
      }
      put(shape, rows)
      return shape.name
    },
    put: async (shape, rows) => put(shape, rows),
    delete: async (shape, keys) =>
      writing((database) => {
        const remove = database.prepare(
          `DELETE FROM ${quote(shape.name)} WHERE ${shape.key.map((name) => `${quote(name)} = ?`).join(' AND ')}`,
        )
        for (const key of keys) remove.run(...key.map(bound))
      }),
    makeUnique: async (shape, field) =>
      writing((database) =>
        database.exec(`CREATE UNIQUE INDEX one_${field} ON ${quote(shape.name)} (${quote(field)})`),
      ),
    [Symbol.asyncDispose]: leave,
  }
}

function createSql(shape: Shape): string {
  const columns = shape.fields.map(
    ({ name, type }) => `${quote(name)} ${declared[type]}${shape.key.includes(name) ? ' NOT NULL' : ''}`,
  )
  return `CREATE TABLE ${quote(shape.name)} (${columns}, PRIMARY KEY (${shape.key.map(quote)}))`
}

function quote(name: string): string {
  return `"${name}"`
}

function bound(value: Value): null | number | bigint | string | Uint8Array {
  return typeof value === 'boolean' ? Number(value) : value
}

const declaredTypes = Object.keys(declared) as Type[]
const target = { refuses: { type: 'integer', value: 2n ** 63n } } as const

connectorTests({
  name: 'sqlite, without triggers,',
  feed: 'none',
  types: declaredTypes,
  target,
  open: () => openHarness('declared', 'none'),
})

connectorTests({
  name: 'sqlite, with triggers,',
  feed: 'complete',
  types: declaredTypes,
  target: null,
  open: () => openHarness('declared', 'triggers'),
})

describe('sqlite, with a cursor field, keeps the contract of reading', () =>
  readTests({
    name: 'sqlite',
    feed: 'puts',
    cursor: 'version',
    target: null,
    open: () => openHarness('declared', 'none'),
  }))

connectorTests({
  name: 'sqlite, from a table that Syncline wrote,',
  feed: 'complete',
  target: null,
  open: () => openHarness('ours', 'triggers'),
})

connectorTests({
  name: 'sqlite, in a process of its own,',
  feed: 'complete',
  types: declaredTypes,
  target,
  open: () => openHarness('declared', 'triggers', fileApart),
})
