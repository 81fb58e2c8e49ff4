/** A project that a command works with: its config, its store, and connections that open on first use. */
import { setTimeout as timer } from 'node:timers/promises'
import { type Expansion, expandSyncs } from '../config/expand.ts'
import { type LoadedConfig, loadConfig } from '../config/load.ts'
import { didYouMean } from '../config/mistakes.ts'
import type { Clock, Connection, Context } from '../connectors/connector.ts'
import { SyncError } from '../core/error.ts'
import type { RunEvent } from '../core/run.ts'
import type { Project } from '../engine/project.ts'
import { openSqliteStore } from '../store/sqlite/store.ts'
import { boundYoungGeneration } from './memory.ts'
import type { Shell } from './shell.ts'

export interface OpenProject extends AsyncDisposable {
  readonly config: LoadedConfig
  readonly project: Project
  /** The syncs of these names, expanded; no names: all. */
  expand(names: readonly string[]): Promise<Expansion>
}

export interface OpenOptions {
  /** Writes nothing to the project's state. */
  readonly readOnly: boolean
  readonly signal?: AbortSignal
  readonly emit?: (event: RunEvent) => void
  /** Default: a line on stderr. */
  readonly log?: (message: string) => void
}

/** Opens the project of the shell. Disposing it closes everything, so that the process ends by itself. */
export async function openProject(shell: Shell, options: OpenOptions): Promise<OpenProject> {
  boundYoungGeneration()
  const config = await loadConfig({ folder: shell.folder, path: shell.config, environment: shell.environment })
  const store = await openSqliteStore(config.folder, { readOnly: options.readOnly })
  const context: Context = {
    signal: options.signal ?? new AbortController().signal,
    clock: systemClock,
    random: Math.random,
    log: options.log ?? ((message) => shell.terminal.err(`${message}\n`)),
  }
  const pool = new ConnectionPool(config, context)
  const project: Project = {
    id: await store.projectId(),
    store,
    context,
    connection: (name) => pool.get(name),
    reconnect: (name) => pool.close(name),
    unreachable: new Set(),
    emit: options.emit ?? (() => {}),
  }
  return {
    config,
    project,
    expand: (names) => expandSyncs(config, names, async (name) => (await pool.get(name)).discover()),
    [Symbol.asyncDispose]: async () => {
      await pool[Symbol.asyncDispose]()
      await store[Symbol.asyncDispose]()
    },
  }
}

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: async (ms, signal) => {
    await timer(ms, undefined, { signal }).catch(() => signal.throwIfAborted())
  },
}

/** Open connections by name. */
class ConnectionPool implements AsyncDisposable {
  readonly #config: LoadedConfig
  readonly #context: Context
  readonly #open = new Map<string, Promise<Connection>>()

  constructor(config: LoadedConfig, context: Context) {
    this.#config = config
    this.#context = context
  }

  get(name: string): Promise<Connection> {
    const known = this.#open.get(name)
    if (known !== undefined) return known
    const opening = this.#connect(name)
    this.#open.set(name, opening)
    // A connection that did not open is tried anew at the next use.
    opening.catch(() => this.#open.get(name) === opening && this.#open.delete(name))
    return opening
  }

  async close(name: string): Promise<void> {
    const known = this.#open.get(name)
    this.#open.delete(name)
    try {
      await (await known)?.[Symbol.asyncDispose]()
    } catch {
      // What is given up may be broken already, or never have opened.
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of [...this.#open.keys()]) await this.close(name)
  }

  async #connect(name: string): Promise<Connection> {
    const setup = this.#config.connections.get(name)
    if (setup !== undefined) return setup.open(this.#context)
    const names = [...this.#config.connections.keys()]
    throw new SyncError('CONFIG_INVALID', `there is no connection "${name}"${didYouMean(name, names)}`, {
      hint: `The connections are ${names.join(', ')}.`,
    })
  }
}
