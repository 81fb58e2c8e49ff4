import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { createDatabase } from './database.ts'
import { startPostgres } from './postgres.ts'
import { isAlive } from './process.ts'

async function query<R extends object>(url: string, sql: string): Promise<R[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<R>(sql)).rows
  } finally {
    await client.end()
  }
}

/** Waits, because the end of a process is seen a moment after it was asked for. */
async function ends(pid: number, timeoutMs = 10_000): Promise<boolean> {
  const deadline = Date.now() + timeoutMs
  while (isAlive(pid) && Date.now() < deadline) await sleep(20)
  return !isAlive(pid)
}

test('a server starts, answers as set up, and its process and folder are gone once it is stopped', async () => {
  const server = await startPostgres({ settings: { work_mem: '8MB' } })
  const [settings] = await query<Record<string, string>>(
    server.url,
    `select current_setting('wal_level') as wal, current_setting('server_encoding') as encoding, current_setting('fsync') as fsync,
       current_setting('max_prepared_transactions') as prepared, current_setting('work_mem') as memory,
       current_setting('data_directory') as folder`,
  )
  const { folder = '', ...rest } = settings ?? {}
  assert.deepEqual(rest, { wal: 'logical', encoding: 'UTF8', fsync: 'off', prepared: '10', memory: '8MB' })
  assert.match(server.version, /^18\./)
  await server.stop()
  assert.ok(server.pid !== undefined && !isAlive(server.pid))
  assert.ok(folder !== '' && !existsSync(folder))
})

test('a server does not outlive a process that was killed', async () => {
  const script = `
    import { startPostgres } from './postgres.ts'
import { isAlive } from './process.ts'
    const server = await startPostgres()
    console.log(server.pid)
    setInterval(() => {}, 1000)`
  const starter = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], {
    cwd: join(import.meta.dirname),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = await once(starter.stdout, 'data')
  const pid = Number(String(line))
  assert.ok(isAlive(pid))
  starter.kill('SIGKILL')
  assert.ok(await ends(pid))
})

test('a test database is empty, its own, and gone afterwards even with a replication slot in it', async () => {
  const first = await createDatabase()
  const second = await createDatabase()
  assert.notEqual(first.name, second.name)
  await query(first.url, `select pg_create_logical_replication_slot('${first.name}', 'pgoutput')`)
  await first[Symbol.asyncDispose]()
  const left = await query(second.url, `select datname from pg_database where datname = '${first.name}'`)
  assert.deepEqual(left, [])
  await second[Symbol.asyncDispose]()
})
