/** A project that a command works with: its config, its store, and connections that open on first use. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Expansion, expandSyncs } from '../../config/expand.ts'
import { configFolder, type LoadedConfig, loadConfig, readDotEnv } from '../../config/load.ts'
import type { Made } from '../../config/made.ts'
import type { Context } from '../../connectors/connector.ts'
import { asSyncError, SyncError } from '../../core/error.ts'
import type { Log } from '../../core/log.ts'
import type { RunEvent } from '../../core/run.ts'
import { Limiter } from '../../engine/calls/rate-limiter.ts'
import { systemClock } from '../../engine/clock.ts'
import { madeSyncs } from '../../engine/connections/api-syncs.ts'
import { ConnectionPool } from '../../engine/connections/connection-pool.ts'
import type { Project } from '../../engine/project.ts'
import { redact } from '../../engine/secrets/redact.ts'
import { openStore, storeUrl } from '../../store/open.ts'
import { type Shell, secretsOf } from '../terminal/shell.ts'
import { Reach } from './lazy-connections.ts'
import { boundYoungGeneration } from './memory.ts'
import { readSecrets } from './open-vault.ts'

export interface OpenProject extends AsyncDisposable {
  readonly config: LoadedConfig
  readonly project: Project
  readonly limiter: Limiter
  /** Connections of integrations, and what they run. */
  readonly reach: Reach
  /** The syncs of these names, expanded: those of the config, and those that connections run; no names: all of the config. */
  expand(names: readonly string[]): Promise<Expansion>
}

export interface OpenOptions {
  /** Writes nothing to the project's state. */
  readonly readOnly: boolean
  readonly signal?: AbortSignal
  readonly emit?: (event: RunEvent) => void
  /** Default: a line on stderr. */
  readonly log?: Log
}

/** Opens the project of the shell. Disposing it closes everything, so that the process ends by itself. */
export async function openProject(shell: Shell, options: OpenOptions): Promise<OpenProject> {
  boundYoungGeneration()
  const config = await readConfig(shell)
  const store = await openStore(config.folder, shell.environment, { readOnly: options.readOnly })
  const log: Log = options.log ?? ((message) => shell.terminal.err(`${message}\n`))
  const withoutSecrets = (text: string) => reach.redact(redact(text, secretsOf(shell)))
  shell.secretSources?.add(() => reach.secrets)
  const context: Context = {
    signal: options.signal ?? new AbortController().signal,
    clock: systemClock,
    random: Math.random,
    // Handlers may log what they know.
    log: (message, severity) => log(withoutSecrets(message), severity),
    redact: withoutSecrets,
  }
  const limiter = new Limiter(systemClock, Math.random, undefined, async () => store.limits ?? null)
  const reach = new Reach(config, store, context, limiter, shell.environment)
  const { connections, kept } = config
  const openers = {
    get: (name: string) => connections.get(name) ?? reach.opener(name),
    keys: () => [...connections.keys(), ...kept.keys()],
  }
  const pool = new ConnectionPool(openers, context, limiter)
  const project: Project = {
    id: await store.projectId(),
    store,
    context,
    connection: (name) => pool.get(name),
    reconnect: (name) => pool.close(name),
    unreachable: new Set(),
    emit: options.emit ?? (() => {}),
    act: reach.act,
  }
  return {
    config,
    project,
    limiter,
    reach,
    expand: async (names) => {
      const found = await Promise.all(names.map((name) => reach.find(name)))
      const own = names.filter((_name, at) => found[at] === null)
      const gathering = new Map(found.flatMap((syncs) => syncs ?? []).map((sync) => [sync.id, sync]))
      if (names.length > 0 && own.length === 0) return { syncs: [...gathering.values()], failures: [], leftOut: [] }
      const expansion = await expandSyncs(config, own, async (name) => (await pool.get(name)).discover())
      return { ...expansion, syncs: [...expansion.syncs, ...gathering.values()] }
    },
    [Symbol.asyncDispose]: async () => {
      await pool[Symbol.asyncDispose]()
      await reach[Symbol.asyncDispose]()
      await store[Symbol.asyncDispose]()
    },
  }
}

/** The syncs that calls of the API made, as they were written. */
async function readMade(folder: string, environment: Shell['environment']): Promise<ReadonlyMap<string, Made>> {
  if (storeUrl(environment) === null && !existsSync(join(folder, '.syncline'))) return new Map()
  // A state that can't be read is told when it is opened; one of an older version is brought up to date then.
  const opened = await openStore(folder, environment, { readOnly: true }).catch(asSyncError)
  if (opened instanceof SyncError) return new Map()
  await using store = opened
  return new Map((await madeSyncs(store.records)).map((made) => [made.name, made]))
}

/** The config that the shell names. `again`: as it is now, although this process read it before. `made`: these syncs beside it, instead of those of the store. */
export async function readConfig(
  shell: Shell,
  again = false,
  made: ReadonlyMap<string, Made> | null = null,
): Promise<LoadedConfig> {
  const { folder, config: path, environment } = shell
  const secrets = async (home: string, names: readonly string[]) => {
    const found = await readSecrets(home, names, environment)
    for (const secret of found.values()) shell.secrets?.add(secret)
    return found
  }
  return await loadConfig({
    folder,
    path,
    environment,
    secrets,
    made: async (home) => made ?? (await readMade(home, environment)),
    kept: async (home, config, names) =>
      (await import('./stored-connections.ts')).readKept(home, environment, config, names),
    again,
  })
}

/** The project's folder; what its `.env` says about its store and its vault counts from here on. */
export function projectFolder({ folder, config, environment }: Shell): string {
  const home = configFolder({ folder, path: config })
  readDotEnv(home, environment)
  return home
}
