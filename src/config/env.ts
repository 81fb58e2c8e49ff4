/** Values that come from elsewhere: `env('SHOP_URL')` and `secret('SHOP_URL')` in code, `{ "env": "SHOP_URL" }` and `{ "secret": … }` in JSON. */
import { SyncError } from '../core/error.ts'
import type { Mistake } from './mistakes.ts'

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
  Object.defineProperty(reference, Symbol.toPrimitive, { value: () => refuseAsPart(name, 'env') })
  return reference as unknown as string
}

/** Stands for a secret of the vault until the config is loaded. */
export interface SecretReference {
  readonly secret: string
}

/** A secret of the project's vault, by its name: `syncline vault set NAME` puts it there. Typed as text, because it stands where text is expected. */
export function secret(name: string): string {
  const reference: SecretReference = { secret: name }
  Object.defineProperty(reference, Symbol.toPrimitive, { value: () => refuseAsPart(name, 'secret') })
  return reference as unknown as string
}

/** The secrets that a config names, wherever. */
export function secretNames(value: unknown): readonly string[] {
  const names = new Set<string>()
  const look = (part: unknown): void => {
    const name = isPlainObject(part) ? referenceName(part, 'secret') : null
    if (name !== null) names.add(name)
    else if (Array.isArray(part)) part.forEach(look)
    else if (isPlainObject(part)) Object.values(part).forEach(look)
  }
  look(value)
  return [...names]
}

export interface Resolved {
  /** The same, with every reference replaced; what is missing leaves an empty text. */
  readonly value: unknown
  readonly missing: readonly MissingValue[]
}
export interface MissingValue {
  readonly kind: 'env' | 'secret'
  readonly name: string
  readonly path: readonly PropertyKey[]
}

/** What references stand for. */
export interface Values {
  readonly environment: Environment
  readonly secrets?: ReadonlyMap<string, string>
}

/** Replaces all references in plain objects and arrays. `plain` says where an object `{ env: … }` or `{ secret: … }` is just that. */
export function resolveEnv(
  value: unknown,
  path: readonly PropertyKey[],
  { environment, secrets }: Values,
  plain: (path: readonly PropertyKey[]) => boolean = () => false,
): Resolved {
  const missing: MissingValue[] = []
  const resolve = (part: unknown, at: readonly PropertyKey[]): unknown => {
    if (Array.isArray(part)) {
      const items = part.map((item, index) => resolve(item, [...at, index]))
      return items.every((item, index) => item === part[index]) ? part : items
    }
    for (const kind of plain(at) ? [] : (['env', 'secret'] as const)) {
      const name = referenceName(part, kind)
      if (name === null) continue
      const found = kind === 'env' ? environment[name] : secrets?.get(name)
      if (found === undefined) missing.push({ kind, name, path: at })
      return found ?? ''
    }
    if (!isPlainObject(part)) return part
    const entries = Object.entries(part).map(([key, item]) => [key, resolve(item, [...at, key])] as const)
    // What holds no reference stays the very same object: a connector's options may be shared state.
    return entries.every(([key, item]) => item === part[key]) ? part : Object.fromEntries(entries)
  }
  return { value: resolve(value, path), missing }
}

/** What is missing, as a mistake in the config. */
export function missingValue({ kind, name, path }: MissingValue): Mistake {
  if (kind === 'env') return { path, message: `the environment variable ${name} is not set`, missing: name }
  return { path, message: `the vault has no secret ${name}; put it there with: syncline vault set ${name}` }
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

function referenceName(value: unknown, kind: 'env' | 'secret'): string | null {
  if (!isPlainObject(value) || Object.keys(value).length !== 1) return null
  const name = value[kind]
  return typeof name === 'string' ? name : null
}

function refuseAsPart(name: string, kind: 'env' | 'secret'): never {
  throw new SyncError('CONFIG_INVALID', `${kind}('${name}') can't be part of a longer text`, {
    hint: `Put the whole value into ${name}${kind === 'env' ? `, or read process.env.${name} yourself` : ''}.`,
  })
}
