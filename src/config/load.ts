/** Finds, reads and validates the config file. */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { basename, dirname, extname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseEnv } from 'node:util'
import { SyncError } from '../core/error.ts'
import { secretNames } from './env.ts'
import { connectionsBeside, type Made, withMade } from './made.ts'
import type { Kept, ProjectConfig, Surroundings } from './project-config.ts'
import { parseConfig } from './schema.ts'

/** The names looked for, in this order. */
export const configNames = ['syncline.config.ts', 'syncline.config.js', 'syncline.config.json'] as const

export interface LoadOptions {
  /** Where to look, and what `path` is relative to. */
  readonly folder: string
  /** The file that `--config` named, or its folder. */
  readonly path?: string | undefined
  /** Gets what `.env` beside the config adds; what is set already stays. */
  readonly environment: Record<string, string | undefined>
  /** Opens the vault beside the config for the secrets that it names; absent: there is none. */
  readonly secrets?: (folder: string, names: readonly string[]) => Promise<ReadonlyMap<string, string>>
  /** Syncs beside those of the file, as it would write them in JSON. They may name no variables and no secrets. */
  readonly made?: (folder: string) => Promise<ReadonlyMap<string, Made>>
  /** What is known of connections of integrations, for syncs made elsewhere; absent: there are none. */
  readonly kept?: (folder: string, config: ProjectConfig, names: readonly string[]) => Promise<Kept>
  /** Reads the file anew, although this process read it before. */
  readonly again?: boolean
}

export interface LoadedConfig extends ProjectConfig {
  /** The config file. */
  readonly path: string
  /** Its folder: relative paths and `.syncline` belong to it. */
  readonly folder: string
}

/** Loads the config. Every mistake in it is in one CONFIG_INVALID (ENV_MISSING when only variables are missing). */
export async function loadConfig(options: LoadOptions): Promise<LoadedConfig> {
  const path = findConfig(options)
  const folder = dirname(path)
  readDotEnv(folder, options.environment)
  const module =
    extname(path) === '.json' ? { default: readJson(path) } : await importConfig(path, options.again === true)
  const { default: raw, ...named } = module
  const names = secretNames(raw)
  const secrets = names.length === 0 ? undefined : await options.secrets?.(folder, names)
  const surroundings: Surroundings = {
    ...{ file: basename(path), folder, environment: options.environment, secrets: secrets ?? new Map() },
    exports: new Map(Object.entries(named)),
  }
  const config = parseConfig(raw, surroundings)
  const made = (await options.made?.(folder)) ?? new Map<string, Made>()
  const beside = connectionsBeside(config, made)
  const kept = beside.length === 0 ? undefined : await options.kept?.(folder, config, beside)
  const all = kept === undefined ? surroundings : { ...surroundings, kept }
  return { ...withMade(raw, config, made, all), path, folder }
}

/** The project's folder, without reading the config, which may need what is to be set up first. */
export function configFolder(options: Pick<LoadOptions, 'folder' | 'path'>): string {
  return dirname(findConfig(options))
}

function findConfig({ folder, path }: Pick<LoadOptions, 'folder' | 'path'>): string {
  if (path !== undefined) {
    const named = resolve(folder, path)
    if (statSync(named, { throwIfNoEntry: false })?.isDirectory() === true) return findConfig({ folder: named })
    if (existsSync(named)) return refuseOtherKind(named, loadable)
    throw new SyncError('CONFIG_INVALID', `there is no config file ${named}`, { hint: '`syncline init` writes one.' })
  }
  const found = configNames.map((name) => join(folder, name)).find((candidate) => existsSync(candidate))
  if (found !== undefined) return resolve(found)
  throw new SyncError('CONFIG_INVALID', `there is no ${configNames[0]} (nor .js, .json) in ${resolve(folder)}`, {
    hint: 'Go to the project folder, name the file with --config, or write one with `syncline init`.',
  })
}

/** What a config is written in. */
export const writable = ['.ts', '.mts', '.js', '.mjs', '.json'] as const
const loadable = [...writable, '.cts', '.cjs']

/** The path, if a config may have it. */
export function refuseOtherKind(path: string, kinds: readonly string[]): string {
  if (kinds.includes(extname(path))) return path
  throw new SyncError(
    'CONFIG_INVALID',
    `${basename(path)} can't be a config file: its name has to end in ${kinds.join(', ')}`,
    {
      hint: 'A config is TypeScript, JavaScript or JSON.',
    },
  )
}

/** What `.env` files added to an environment: the next reading may change it, what was set from outside stays. */
const added = new WeakMap<object, Set<string>>()

/** Adds what `.env` beside the config says to the environment, which goes first. */
export function readDotEnv(folder: string, environment: Record<string, string | undefined>): void {
  const path = join(folder, '.env')
  if (!existsSync(path)) return
  const ours = added.get(environment) ?? new Set()
  added.set(environment, ours)
  for (const [name, value] of Object.entries(parseEnv(readFileSync(path, 'utf8')))) {
    if (environment[name] !== undefined && !ours.has(name)) continue
    environment[name] = value
    ours.add(name)
  }
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8').replace(/^\uFEFF/, ''))
  } catch (error) {
    throw unreadable(path, withoutExcerpt(error))
  }
}

/** JSON.parse quotes the text around a mistake, which may be a password. */
function withoutExcerpt(error: unknown): Error {
  const message = error instanceof Error ? error.message : String(error)
  return new SyntaxError(message.replace(/, (\.\.\.)?".*" is not valid JSON$/s, ''))
}

/** Of the file and of `.env` beside it. What is the same is not imported again: a module is never forgotten, and many changes are not the file's. */
function contentOf(path: string): string {
  const hash = createHash('sha256').update(readFileSync(path))
  const env = join(dirname(path), '.env')
  if (existsSync(env)) hash.update(readFileSync(env))
  return hash.digest('hex')
}

/** All that it exports. */
async function importConfig(path: string, again: boolean): Promise<Readonly<Record<string, unknown>>> {
  const { href } = pathToFileURL(path)
  const url = again ? `${href}?${contentOf(path)}` : href
  using _ = takeAsModule(url)
  const module: Readonly<Record<string, unknown>> = await import(url).catch((error: unknown) => {
    throw unreadable(path, error)
  })
  if (module.default !== undefined) return module
  throw new SyncError('CONFIG_INVALID', `${basename(path)} has no default export`, {
    hint: 'Write `export default defineConfig({ … })`.',
  })
}

/** A TypeScript config is a module, whatever the nearest package.json says: `npm init` writes "type": "commonjs" there. */
function takeAsModule(url: string): Disposable {
  if (!new URL(url).pathname.endsWith('.ts')) return { [Symbol.dispose]: () => {} }
  const hooks = registerHooks({
    load: (asked, context, next) => next(asked, asked === url ? { ...context, format: 'module-typescript' } : context),
  })
  return { [Symbol.dispose]: () => hooks.deregister() }
}

function unreadable(path: string, error: unknown): SyncError {
  if (error instanceof SyncError) return error
  const reason = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  const hint = importHint(error)
  return new SyncError('CONFIG_INVALID', `${basename(path)} can't be read: ${reason}${placeOf(path, error)}`, {
    cause: error,
    ...(hint === null ? {} : { hint }),
  })
}

/** Where in the file the error is, if its stack says so. */
function placeOf(path: string, error: unknown): string {
  const stack = error instanceof Error ? (error.stack ?? '') : ''
  const at = stack.indexOf(path)
  const line = at < 0 ? null : /^:(\d+(?::\d+)?)/.exec(stack.slice(at + path.length))
  return line === null ? '' : ` (line ${line[1]})`
}

function importHint(error: unknown): string | null {
  const code = error instanceof Error && 'code' in error ? error.code : null
  if (code === 'ERR_MODULE_NOT_FOUND') return 'Install the missing package beside the config, or correct the path.'
  if (code === 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX')
    return 'Node runs TypeScript by erasing types: enums, namespaces and parameter properties do not work.'
  return null
}
