/** Values that come from the environment: `env('SHOP_URL')` in code, `{ "env": "SHOP_URL" }` in JSON. */
import { SyncError } from '../core/error.ts'

/** Stands for an environment variable until the config is loaded. */
export interface EnvReference {
  readonly env: string
}

export type Environment = Readonly<Record<string, string | undefined>>

/**
 * The value of an environment variable, or of `.env` beside the config file. It is read when the config is loaded, so
 * that a missing one is reported with all other mistakes; typed as text, because it stands where text is expected.
 */
export function env(name: string): string {
  const reference: EnvReference = { env: name }
  Object.defineProperty(reference, Symbol.toPrimitive, { value: () => refuseAsPart(name) })
  return reference as unknown as string
}

export interface Resolved {
  /** The same, with every reference replaced; a missing variable leaves an empty text. */
  readonly value: unknown
  readonly missing: readonly MissingVariable[]
}
export interface MissingVariable {
  readonly name: string
  readonly path: readonly PropertyKey[]
}

/** Replaces all references in plain objects and arrays. `plain` says where an object `{ env: … }` is just that. */
export function resolveEnv(
  value: unknown,
  path: readonly PropertyKey[],
  environment: Environment,
  plain: (path: readonly PropertyKey[]) => boolean = () => false,
): Resolved {
  const missing: MissingVariable[] = []
  const resolve = (part: unknown, at: readonly PropertyKey[]): unknown => {
    if (Array.isArray(part)) {
      const items = part.map((item, index) => resolve(item, [...at, index]))
      return items.every((item, index) => item === part[index]) ? part : items
    }
    const name = plain(at) ? null : referenceName(part)
    if (name !== null) {
      if (environment[name] === undefined) missing.push({ name, path: at })
      return environment[name] ?? ''
    }
    if (!isPlainObject(part)) return part
    const entries = Object.entries(part).map(([key, item]) => [key, resolve(item, [...at, key])] as const)
    // What holds no reference stays the very same object: a connector's options may be shared state.
    return entries.every(([key, item]) => item === part[key]) ? part : Object.fromEntries(entries)
  }
  return { value: resolve(value, path), missing }
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

function referenceName(value: unknown): string | null {
  if (!isPlainObject(value) || Object.keys(value).length !== 1) return null
  return typeof value.env === 'string' ? value.env : null
}

function refuseAsPart(name: string): never {
  throw new SyncError('CONFIG_INVALID', `env('${name}') can't be part of a longer text`, {
    hint: `Put the whole value into ${name}, or read process.env.${name} yourself.`,
  })
}
