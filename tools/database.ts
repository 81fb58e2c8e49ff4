import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'

/** A database of its own for one test, gone when disposed. */
export interface TestDatabase extends AsyncDisposable {
  readonly name: string
  readonly url: string
}

/** A folder of its own for one test, gone with what is in it when disposed. */
export interface TemporaryFolder extends AsyncDisposable {
  readonly path: string
}

/** Creates an empty database, of UTF-8 by default, on the server that TEST_POSTGRES_URL names. */
export async function createDatabase(encoding = 'UTF8'): Promise<TestDatabase> {
  const server = process.env.TEST_POSTGRES_URL
  if (!server) throw new Error('TEST_POSTGRES_URL names no server. `npm test -- <file>` starts one and sets it.')
  const name = `syncline_test_${randomBytes(6).toString('hex')}`
  const locale = encoding === 'UTF8' ? '' : ` locale 'C'`
  await administer(server, (client) =>
    client.query(`create database ${name} template template0 encoding '${encoding}'${locale}`),
  )
  const url = new URL(server)
  url.pathname = `/${name}`
  return { name, url: url.href, [Symbol.asyncDispose]: () => administer(server, (client) => drop(client, name)) }
}

export async function temporaryFolder(): Promise<TemporaryFolder> {
  const path = await mkdtemp(join(tmpdir(), 'syncline-test-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 3 }) }
}

/** A replication slot or a prepared transaction would keep the database, so they go first. */
async function drop(client: pg.Client, name: string): Promise<void> {
  await client.query('select pg_terminate_backend(active_pid, 5000) from pg_replication_slots where database = $1', [
    name,
  ])
  await client.query('select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = $1', [name])
  await client.query(`drop database if exists ${name} with (force)`)
}

async function administer(url: string, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await work(client)
  } finally {
    await client.end()
  }
}
