import { describe } from 'node:test'
import pg from 'pg'
import { createDatabase } from '../../../tools/database.ts'
import type { Row, Type, Value } from '../../core/value.ts'
import { readTests } from '../../testing/connector-read-tests.ts'
import { type ConnectorHarness, connectorTests, type Shape, testContext } from '../../testing/index.ts'
import { postgres } from './index.ts'

/** Text has a collation whose order is not that of keys, so that a forgotten COLLATE "C" shows. */
const declared: Readonly<Record<Type, string>> = {
  boolean: 'boolean',
  integer: 'bigint',
  float: 'double precision',
  decimal: 'numeric',
  text: 'text COLLATE "und-x-icu"',
  bytes: 'bytea',
  uuid: 'uuid',
  date: 'date',
  time: 'time',
  timestamp: 'timestamp',
  instant: 'timestamptz',
  json: 'jsonb',
}

async function open(): Promise<ConnectorHarness> {
  const database = await createDatabase()
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  const opened: AsyncDisposable[] = []
  const connect = async () => {
    const config = postgres.config.parse({ url: database.url })
    const connection = await postgres.open(config, testContext())
    opened.push(connection)
    return connection
  }
  const put = async (shape: Shape, rows: readonly Row[]) => {
    const names = shape.fields.map(({ name }) => quote(name))
    const columns = shape.fields.map(({ type }, at) => `c${at}::${declared[type].replace(/ COLLATE.*/, '')}`)
    const arrays = shape.fields.map((_field, at) => `$${at + 1}::text[]`)
    await client.query(
      `INSERT INTO ${quote(shape.name)} SELECT ${columns} FROM unnest(${arrays}) AS given (${names.map((_name, at) => `c${at}`)})
       ON CONFLICT (${shape.key.map(quote)}) DO UPDATE SET ${names.map((name) => `${name} = excluded.${name}`)}`,
      shape.fields.map((_field, at) => rows.map((row) => textOf(row[at] ?? null))),
    )
  }
  return {
    connection: await connect(),
    connect,
    create: async (shape, rows) => {
      const columns = shape.fields.map(({ name, type }) => `${quote(name)} ${declared[type]}`)
      await client.query(
        `CREATE TABLE ${quote(shape.name)} (${columns}, PRIMARY KEY (${shape.key.map(quote)})) WITH (autovacuum_enabled = off)`,
      )
      await put(shape, rows)
      return `public.${shape.name}`
    },
    put,
    delete: async (shape, keys) => {
      for (const key of keys) {
        const same = shape.key.map((name, at) => `${quote(name)} = $${at + 1}`).join(' AND ')
        await client.query(`DELETE FROM ${quote(shape.name)} WHERE ${same}`, key.map(textOf))
      }
    },
    makeUnique: async (shape, field) => {
      await client.query(`CREATE UNIQUE INDEX ON ${quote(shape.name)} (${quote(field)})`)
    },
    [Symbol.asyncDispose]: async () => {
      for (const connection of opened) await connection[Symbol.asyncDispose]()
      await client.end()
      await database[Symbol.asyncDispose]()
    },
  }
}

function quote(name: string): string {
  return `"${name}"`
}

function textOf(value: Value): string | null {
  if (value === null) return null
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString('hex')}`
  return Object.is(value, -0) ? '-0' : String(value)
}

const target = { refuses: { type: 'text', value: 'a\0b' } } as const

connectorTests({ name: 'postgres', feed: 'puts', target, open })

describe('postgres, with a cursor field, keeps the contract of reading', () =>
  readTests({ name: 'postgres', feed: 'puts', cursor: 'version', target: null, open }))
