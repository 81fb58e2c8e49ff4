/**
 * `npm start`: Syncline on a real PostgreSQL, from nothing to proof, in under a minute. Starts a server, fills it with
 * a sample shop, copies it into a SQLite file, follows it while it changes, and verifies that both are equal.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, rm } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { styleText } from 'node:util'
import pg from 'pg'
import { startPostgres } from '../../tools/postgres.ts'
import { seed } from './seed.ts'
import { type Written, write } from './writer.ts'

const root = join(import.meta.dirname, '..', '..')
/** Everything this makes; cleared at the next start. */
const folder = join(root, '.start')
const warehouse = join(folder, 'warehouse.db')

const WRITE_MS = 10_000
/** How long `watch` may need for what was written last. */
const CATCH_UP_MS = 20_000
/** How long a command may need to end when it is asked to. */
const STOP_MS = 20_000
const TABLES = ['customers', 'products', 'orders', 'order_items', 'paid_orders']

process.exitCode = await main()

async function main(): Promise<number> {
  const interrupt = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => interrupt.abort())
  try {
    await start(interrupt.signal)
    return 0
  } catch (error) {
    if (interrupt.signal.aborted) {
      console.error('\nStopped.')
      return 130
    }
    console.error(`\nnpm start failed: ${error instanceof Error ? error.message : String(error)}`)
    return 1
  }
}

async function start(signal: AbortSignal): Promise<void> {
  const began = performance.now()
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder)
  // The file and the state lie beside the config, so the config goes where they shall be.
  await cp(join(import.meta.dirname, 'syncline.config.ts'), join(folder, 'syncline.config.ts'))

  heading('A PostgreSQL server, with a shop in it')
  await using server = await startPostgres()
  signal.throwIfAborted()
  const seeded = await seed(server.url)
  for (const [table, rows] of Object.entries(seeded)) showRows(table, rows)
  signal.throwIfAborted()

  heading('syncline run: the first copy into a SQLite file')
  const copyBegan = performance.now()
  await syncline(['run'], server.url, signal)
  const copyMs = performance.now() - copyBegan

  heading(`syncline watch: the shop is open for ${WRITE_MS / 1000} seconds`)
  const { written, lagMs } = await follow(server.url, signal)

  // Ctrl-C ends `watch` wherever it is, also between the rows of a pass and its deletions.
  heading('syncline run: goes on where Ctrl-C ended the watch')
  await syncline(['run'], server.url, signal)

  heading('syncline verify: are both sides equal?')
  await syncline(['verify'], server.url, signal)

  heading('What happened')
  summarize({ seeded, written, copyMs, lagMs, ms: performance.now() - began, version: server.version })
}

/** What `watch` had to follow. */
interface Followed {
  readonly written: Written
  /** From the last commit until it was in the SQLite file. */
  readonly lagMs: number
}

/** Lets `watch` run while the shop is open. */
async function follow(url: string, signal: AbortSignal): Promise<Followed> {
  const watch = launch(['watch'], url)
  const ended = once(watch, 'exit')
  const over = new AbortController()
  watch.once('exit', () => over.abort(new Error('syncline watch ended by itself')))
  let followed: Followed
  let code: unknown
  try {
    followed = await openShop(url, AbortSignal.any([signal, over.signal]))
  } finally {
    code = await stop(watch, ended)
  }
  if (code !== 0) throw new Error(`syncline watch ended with ${code} on Ctrl-C, not with exit code 0`)
  return followed
}

/** Writes for a while, and waits until the last change has arrived. */
async function openShop(url: string, signal: AbortSignal): Promise<Followed> {
  const written = await write(url, Date.now() + WRITE_MS, signal)
  signal.throwIfAborted()
  const last = await lastChange(url)
  const since = performance.now()
  await arrival(last, signal)
  return { written, lagMs: performance.now() - since }
}

/** One more change in every table, and how each shows in the SQLite file. */
async function lastChange(url: string): Promise<readonly string[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(`begin;
      update customers set notes = 'the last change' where id = 1;
      update products set name = 'the last change' where id = md5('1')::uuid;
      update orders set total = 7777777.77, status = 'paid' where id = 1;
      update order_items set gift_note = 'the last change' where order_id = 2;
      commit`)
  } finally {
    await client.end()
  }
  return [
    `select 1 from customers where notes = 'the last change'`,
    `select 1 from products where name = 'the last change'`,
    `select 1 from orders where total = '7777777.77'`,
    `select 1 from order_items where gift_note = 'the last change'`,
    `select 1 from paid_orders where total = '7777777.77'`,
  ]
}

async function arrival(queries: readonly string[], signal: AbortSignal): Promise<void> {
  using file = new DatabaseSync(warehouse, { readOnly: true, timeout: 5_000 })
  const statements = queries.map((query) => file.prepare(query))
  for (const deadline = Date.now() + CATCH_UP_MS; Date.now() < deadline; await sleep(50)) {
    signal.throwIfAborted()
    if (statements.every((statement) => statement.get() !== undefined)) return
  }
  throw new Error(`syncline watch had not brought over the last change ${CATCH_UP_MS / 1000} seconds later`)
}

/** Runs a command to its end; throws unless it ends with 0. */
async function syncline(args: readonly string[], url: string, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  const child = launch(args, url)
  const ended = once(child, 'exit')
  const interrupt = () => void stop(child, ended)
  signal.addEventListener('abort', interrupt)
  const [code, killed] = await ended
  signal.removeEventListener('abort', interrupt)
  signal.throwIfAborted()
  if (code !== 0) throw new Error(`syncline ${args.join(' ')} ended with ${killed ?? `exit code ${code}`}`)
}

function launch(args: readonly string[], url: string): ChildProcess {
  return spawn(process.execPath, [join(root, 'bin', 'syncline.js'), ...args], {
    cwd: folder,
    stdio: 'inherit',
    env: { ...process.env, SHOP_URL: url },
  })
}

/** As Ctrl-C would; returns the exit code, or the signal that was needed. */
async function stop(child: ChildProcess, ended: Promise<unknown[]>): Promise<unknown> {
  child.kill('SIGINT')
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
  const [code, killed] = await ended
  clearTimeout(timer)
  return code ?? killed
}

interface Story {
  readonly seeded: Readonly<Record<string, number>>
  readonly written: Written
  readonly copyMs: number
  readonly lagMs: number
  readonly ms: number
  readonly version: string
}

function summarize({ seeded, written, copyMs, lagMs, ms, version }: Story): void {
  const rows = Object.values(seeded).reduce((sum, one) => sum + one, 0)
  const path = relative(root, warehouse)
  console.log(`  ${count(rows)} rows of PostgreSQL ${version} were copied in ${seconds(copyMs)}, the paid and shipped orders twice.
  Then the shop wrote ${count(written.inserted)} inserts, ${count(written.updated)} updates and ${count(written.deleted)} deletes in ${count(written.transactions)} transactions, up to four at once;
  the last of them was in the SQLite file ${seconds(lagMs)} after it was committed.
  Both sides are equal, value by value, in all tables:
`)
  using file = new DatabaseSync(warehouse, { readOnly: true })
  for (const table of TABLES) showRows(table, Number(file.prepare(`select count(*) as rows from ${table}`).get()?.rows))
  console.log(`
  The file      ${path}
  Look inside   sqlite3 ${path} 'select * from paid_orders limit 5'
  The config    examples/shop/syncline.config.ts
  Took          ${seconds(ms)}; .start is cleared at the next start, the server is gone`)
}

function showRows(table: string, rows: number): void {
  console.log(`  ${table.padEnd(12)} ${count(rows).padStart(7)} rows`)
}

function heading(text: string): void {
  console.log(`\n${styleText(['bold', 'cyan'], `── ${text}`)}\n`)
}

function count(value: number): string {
  return value.toLocaleString('en')
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}
