import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Account } from './postgres-binaries.ts'
import { commandOf, startOf } from './process.ts'

/** Where one test server keeps its data and log, and who started it. */
export interface ServerFolder {
  readonly path: string
  /** Owned by the account that the server runs as. */
  readonly dataPath: string
  readonly logPath: string
  remove(): Promise<void>
}

/** The process that started a server: when it is gone, so should the server be. */
interface Owner {
  readonly pid: number
  /** Pids are used again; the start time tells the two apart. */
  readonly started: string
}

/** A folder without an owner yet is being made, or was left by a process killed in that moment. */
const UNOWNED_MS = 60_000
const KILL_TIMEOUT_MS = 5_000

/** The parent of all server folders; any user of this machine may make one there. */
export async function serversPath(): Promise<string> {
  const path = join(tmpdir(), 'syncline-servers')
  const created = await mkdir(path, { recursive: true })
  if (created !== undefined) await chmod(path, 0o1777)
  return path
}

export async function serverFolder(name: string, account: Account): Promise<ServerFolder> {
  const path = await mkdtemp(join(await serversPath(), `${name}-`))
  await writeFile(join(path, 'owner.json'), JSON.stringify({ pid: process.pid, started: startOf(process.pid) }))
  await chmod(path, 0o755)
  const dataPath = join(path, 'data')
  await mkdir(dataPath, { mode: 0o700 })
  if ('uid' in account) await chown(dataPath, account.uid, account.gid)
  const remove = () => rm(path, { recursive: true, force: true, maxRetries: 3 })
  return { path, dataPath, logPath: join(path, 'log'), remove }
}

/** Ends the servers whose starters were killed, and removes their folders. */
export async function sweep(): Promise<void> {
  const parent = await serversPath()
  for (const name of await readdir(parent)) {
    const path = join(parent, name)
    if (name.startsWith('programs-') || !(await isStale(path))) continue
    await endServer(join(path, 'data'))
    await rm(path, { recursive: true, force: true, maxRetries: 3 }).catch(() => {
      // Another user's: theirs to sweep.
    })
  }
}

async function isStale(path: string): Promise<boolean> {
  try {
    const owner = JSON.parse(await readFile(join(path, 'owner.json'), 'utf8')) as Owner
    return startOf(owner.pid) !== owner.started
  } catch {
    const age = await stat(path).then(
      ({ mtimeMs }) => Date.now() - mtimeMs,
      () => 0,
    )
    return age > UNOWNED_MS
  }
}

/** Ends the process that the pid file in `dataPath` names, if it still is the server of that folder. */
async function endServer(dataPath: string): Promise<void> {
  const pidFile = await readFile(join(dataPath, 'postmaster.pid'), 'utf8').catch(() => '')
  const pid = Number(pidFile.split('\n')[0])
  for (const signal of ['SIGQUIT', 'SIGKILL'] as const) {
    if (!pid || !commandOf(pid).includes(dataPath)) return
    try {
      process.kill(pid, signal)
    } catch {
      return
    }
    const deadline = Date.now() + KILL_TIMEOUT_MS
    while (commandOf(pid).includes(dataPath) && Date.now() < deadline) await sleep(50)
  }
}

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('The system gave no free port.')
  return address.port
}
