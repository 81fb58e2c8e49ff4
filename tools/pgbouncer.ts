/** pgbouncer before a test server: in its transaction mode, as hosts of databases run it. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync } from 'node:fs'
import { chown, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { accountForServers } from './postgres-binaries.ts'
import { freePort, serverFolder } from './server-folder.ts'

export interface Pooler extends AsyncDisposable {
  /** A database of the server, reached through the pooler. */
  through(url: string): string
}

export interface PoolerOptions {
  readonly mode?: 'session' | 'transaction' | 'statement'
  /** Sessions of the server, at most, per database and role. */
  readonly size?: number
}

const READY_TIMEOUT_MS = 10_000

/**
 * Why there is no pgbouncer on this machine; null: there is one. As root, it is installed by Debian's package. With CI=true
 * a machine without one is an error.
 */
export function poolerMissing(): string | null {
  if (installed()) return null
  if (process.getuid?.() === 0) {
    try {
      for (const command of [['update'], ['install', '-y', '--no-install-recommends', 'pgbouncer']])
        execFileSync('apt-get', command, {
          stdio: 'ignore',
          env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
        })
    } catch {
      // Said below.
    }
    if (installed()) return null
  }
  const reason = 'pgbouncer is not installed (apt-get install pgbouncer)'
  if (process.env.CI === 'true') throw new Error(reason)
  return reason
}

/** Debian puts it where a usual user's PATH does not look. */
const environment = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` }

function installed(): boolean {
  try {
    execFileSync('pgbouncer', ['--version'], { stdio: 'ignore', env: environment })
    return true
  } catch {
    return false
  }
}

/** Starts a pooler before the server of `url`; it ends with this process at the latest. Its sessions are used in turn, so that none stays with a client. */
export async function startPooler(
  url: string,
  { mode = 'transaction', size = 4 }: PoolerOptions = {},
): Promise<Pooler> {
  const server = new URL(url)
  const account = accountForServers()
  const folder = await serverFolder('pgbouncer', account)
  const port = await freePort()
  const usersPath = join(folder.path, 'users.txt')
  const configPath = join(folder.path, 'pgbouncer.ini')
  const [user, password] = [server.username, server.password].map(decodeURIComponent)
  await writeFile(usersPath, `"${user}" "${password}"\n`, { mode: 0o600 })
  if ('uid' in account) await chown(usersPath, account.uid, account.gid)
  await writeFile(
    configPath,
    `[databases]
* = host=${server.hostname} port=${server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = plain
auth_file = ${usersPath}
pool_mode = ${mode}
default_pool_size = ${size}
server_round_robin = 1
`,
  )
  const log = openSync(folder.logPath, 'w')
  const child = spawn('pgbouncer', [configPath], { ...account, env: environment, stdio: ['ignore', log, log] })
  const kill = () => void child.kill('SIGKILL')
  process.on('exit', kill)
  child.on('error', () => {})
  const stop = async () => {
    process.off('exit', kill)
    await end(child)
    await folder.remove()
  }
  const through = (database: string) => {
    const pooled = new URL(database)
    pooled.host = `127.0.0.1:${port}`
    return pooled.href
  }
  if (await answers(through(url), child)) return { through, [Symbol.asyncDispose]: stop }
  const said = await readFile(folder.logPath, 'utf8')
  await stop()
  throw new Error(`pgbouncer did not start. Its log:\n${said}`)
}

async function answers(url: string, child: ChildProcess): Promise<boolean> {
  for (const deadline = Date.now() + READY_TIMEOUT_MS; Date.now() < deadline; await sleep(25)) {
    if (child.exitCode !== null) return false
    const client = new pg.Client({ connectionString: url })
    client.on('error', () => {})
    try {
      await client.connect()
      return true
    } catch {
      // Not yet.
    } finally {
      await client.end().catch(() => {})
    }
  }
  return false
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill('SIGKILL')
  await exit
}
