/** Options that name files: relative to the config file, wherever the command runs. */
import { resolve } from 'node:path'

/** Resolves the options at `paths` (dots for nested ones). `:memory:` and `file:` URLs are no paths. */
export function resolveFiles(options: unknown, paths: readonly string[], folder: string): unknown {
  return paths.reduce((result, path) => resolveAt(result, path.split('.'), folder), options)
}

function resolveAt(value: unknown, [name, ...rest]: readonly string[], folder: string): unknown {
  if (name === undefined) return typeof value === 'string' ? resolveFile(value, folder) : value
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return value
  return { ...value, [name]: resolveAt(Reflect.get(value, name), rest, folder) }
}

function resolveFile(file: string, folder: string): string {
  return file === '' || file === ':memory:' || file.startsWith('file:') ? file : resolve(folder, file)
}
