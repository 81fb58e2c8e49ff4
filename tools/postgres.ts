import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { openSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { type Binaries, binariesOf, type Provider } from './postgres-binaries.ts'
import { freePort, type ServerFolder, serverFolder, sweep } from './server-folder.ts'

/** A running PostgreSQL that tests and benchmarks may do anything with. */
export interface PostgresServer extends AsyncDisposable {
  /** Connects as a superuser, over TCP, to the database `postgres`. */
  readonly url: string
  /** As `show server_version` says it. */
  readonly version: string
  /** The server process; undefined for a server that somebody else started. */
  readonly pid: number | undefined
  stop(): Promise<void>
  /** Stops the server, works on its data folder, and starts it again at the same address. Absent for a server that somebody else started. */
  restart?(work: (dataPath: string) => Promise<void>): Promise<void>
}

export interface PostgresOptions {
  /** `embedded` (default): PostgreSQL 18 from npm. `debian`: the newest below /usr/lib/postgresql, next to its own psql. */
  readonly provider?: Provider
  /** Whether commits reach the disk. Default false: tests lose nothing that matters, benchmarks say true. */
  readonly durable?: boolean
  /** Further server settings, e.g. `{ max_wal_senders: '0' }`. */
  readonly settings?: Readonly<Record<string, string>>
}

const READY_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 10_000
/** Another process may take a free port between our asking and the server's listening. */
const START_ATTEMPTS = 3

/** The server that TEST_POSTGRES_URL names, else one of our own. */
export async function providePostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const url = process.env.TEST_POSTGRES_URL
  if (!url) return startPostgres(options)
  const stop = async () => {}
  return { url, version: await versionOf(url), pid: undefined, stop, [Symbol.asyncDispose]: stop }
}

/** Starts a server on a free port, in a folder of its own. It ends with this process, however this process ends. */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  await sweep()
  const binaries = await binariesOf(options.provider ?? 'embedded')
  const folder = await serverFolder('postgres', binaries.account)
  try {
    const password = await initialise(binaries, folder)
    return await startOn(binaries, folder, password, options)
  } catch (error) {
    await folder.remove()
    throw error
  }
}

/** Lays out the data folder; returns the superuser's password. */
async function initialise(binaries: Binaries, folder: ServerFolder): Promise<string> {
  const password = randomBytes(12).toString('hex')
  const passwordFile = join(folder.path, 'password')
  await writeFile(passwordFile, password)
  const initdb = spawn(
    binaries.initdb,
    [
      ...['-D', folder.dataPath, '--username=postgres', `--pwfile=${passwordFile}`, '--auth=scram-sha-256'],
      ...['--encoding=UTF8', `--locale=${binaries.locale}`, '--no-sync', '--no-instructions'],
    ],
    { ...binaries.account, env: environment(), stdio: ['ignore', 'pipe', 'pipe'] },
  )
  const output: string[] = []
  for (const stream of [initdb.stdout, initdb.stderr]) stream.on('data', (chunk) => output.push(String(chunk)))
  const [code] = await once(initdb, 'close')
  if (code !== 0) throw new Error(`initdb failed (exit code ${code}):\n${output.join('')}`)
  return password
}

async function startOn(
  binaries: Binaries,
  folder: ServerFolder,
  password: string,
  options: PostgresOptions,
): Promise<PostgresServer> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort()
    const child = launch(binaries, folder, port, options)
    const url = `postgres://postgres:${password}@127.0.0.1:${port}/postgres`
    const again = async () => {
      const next = launch(binaries, folder, port, options)
      if (!(await answers(next, url)))
        throw new Error(`PostgreSQL did not start again: ${await readFile(folder.logPath, 'utf8')}`)
      return next
    }
    if (await answers(child, url)) return serverOf(child, folder, url, again)
    if (attempt < START_ATTEMPTS && /already in use/.test(await readFile(folder.logPath, 'utf8'))) continue
    throw new Error(`PostgreSQL did not start. Its log:\n${await readFile(folder.logPath, 'utf8')}`)
  }
}

function launch(binaries: Binaries, folder: ServerFolder, port: number, options: PostgresOptions): ChildProcess {
  const durability = options.durable ? 'on' : 'off'
  const settings: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: folder.dataPath,
    fsync: durability,
    synchronous_commit: durability,
    full_page_writes: durability,
    wal_level: 'logical',
    max_connections: '100',
    max_prepared_transactions: '10',
    timezone: 'UTC',
    ...options.settings,
  }
  const log = openSync(folder.logPath, 'w')
  const child = spawn(
    binaries.postgres,
    ['-D', folder.dataPath, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    // In a group of its own: Ctrl-C is for the program that works with the server, which then ends it.
    { ...binaries.account, env: environment(), stdio: ['ignore', log, log], detached: true },
  )
  // A server that can't start is seen by its exit; without this the error would end our process.
  child.on('error', () => {})
  endWithThisProcess(child)
  return child
}

/** PG* variables of the person running the tests must not reach the server. */
function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('PG')))
}

async function answers(child: ChildProcess, url: string): Promise<boolean> {
  for (const deadline = Date.now() + READY_TIMEOUT_MS; Date.now() < deadline; await sleep(25)) {
    if (hasEnded(child)) return false
    try {
      await versionOf(url)
      return true
    } catch {
      // Not yet.
    }
  }
  child.kill('SIGKILL')
  return false
}

async function versionOf(url: string): Promise<string> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  try {
    const { rows } = await client.query<{ server_version: string }>('show server_version')
    return rows[0]?.server_version ?? ''
  } finally {
    await client.end()
  }
}

async function serverOf(
  first: ChildProcess,
  folder: ServerFolder,
  url: string,
  again: () => Promise<ChildProcess>,
): Promise<PostgresServer> {
  let child = first
  const stop = async () => {
    await end(child)
    await folder.remove()
  }
  const restart = async (work: (dataPath: string) => Promise<void>) => {
    await end(child)
    await work(folder.dataPath)
    child = await again()
  }
  return { url, version: await versionOf(url), pid: first.pid, stop, restart, [Symbol.asyncDispose]: stop }
}

function endWithThisProcess(server: ChildProcess): void {
  const quit = () => server.kill('SIGQUIT')
  process.on('exit', quit)
  const watchdog = watch(server)
  server.once('exit', () => {
    process.off('exit', quit)
    watchdog?.kill('SIGKILL')
  })
  // A test that forgets to stop its server still ends.
  server.unref()
}

/**
 * For an end by signal, SIGKILL included: a shell waits for the end of its input, which comes when this process is
 * gone, and then ends the server. It is detached, so that Ctrl-C does not reach it.
 */
function watch(server: ChildProcess): ChildProcess | undefined {
  if (process.platform === 'win32' || server.pid === undefined) return undefined
  const watchdog = spawn('/bin/sh', ['-c', `read -r line; kill -QUIT ${server.pid}`], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  watchdog.unref()
  if (watchdog.stdin instanceof Socket) watchdog.stdin.unref()
  return watchdog
}

async function end(child: ChildProcess): Promise<void> {
  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGKILL'] as const) {
    if (hasEnded(child)) return
    child.ref()
    const exit = once(child, 'exit')
    child.kill(signal)
    await Promise.race([exit, sleep(STOP_TIMEOUT_MS, undefined, { ref: false })])
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null
}
