/** Options that name files: relative to the config file, wherever the command runs, or confined to a folder. */
import { lstatSync, realpathSync } from 'node:fs'
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path'
import { SyncError } from '../core/error.ts'

/** Resolves the options at `paths` (dots for nested ones). `:memory:` and `file:` URLs are no paths. */
export function resolveFiles(options: unknown, paths: readonly string[], folder: string): unknown {
  return replaceAll(options, paths, (file) => resolveFile(file, folder))
}

/**
 * The same for who may name files inside a folder only; null: nowhere.
 * CONFIG_INVALID: one leads elsewhere, also by a link, or into `.syncline`.
 */
export function confineFiles(options: unknown, paths: readonly string[], root: string | null): unknown {
  return replaceAll(options, paths, (file, path) => confineFile(file, path, root))
}

function replaceAll(
  options: unknown,
  paths: readonly string[],
  replace: (file: string, path: string) => string,
): unknown {
  return paths.reduce((result, path) => replaceAt(result, path.split('.'), (file) => replace(file, path)), options)
}

function replaceAt(value: unknown, [name, ...rest]: readonly string[], replace: (text: string) => string): unknown {
  if (name === undefined) return typeof value === 'string' ? replace(value) : value
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return value
  return { ...value, [name]: replaceAt(Reflect.get(value, name), rest, replace) }
}

function resolveFile(file: string, folder: string): string {
  return file === '' || file === ':memory:' || file.startsWith('file:') ? file : resolve(folder, file)
}

function confineFile(file: string, path: string, root: string | null): string {
  if (file === '' || file === ':memory:') return file
  if (root === null) {
    throw new SyncError('CONFIG_INVALID', `${path}: connections of this integration can't name files`, {
      hint: 'In the config file the integration may have a `root`: the folder that their files are in.',
    })
  }
  const resolved = resolve(root, file)
  if (!file.startsWith('file:') && isWithin(resolved, root)) return resolved
  throw new SyncError('CONFIG_INVALID', `${path}: not a file inside the folder that the integration has for them`, {
    hint: 'Paths are relative to the `root` of the integration.',
  })
}

/** By where it is on the disk, and never a file of our own. */
function isWithin(path: string, root: string): boolean {
  const [real, base] = [realPath(path), realPath(root)]
  if (real === null || base === null) return false
  const inside = relative(base, real)
  if (inside === '' || isAbsolute(inside) || inside.split(sep)[0] === '..') return false
  return !real.split(sep).some((name) => name.toLowerCase() === '.syncline')
}

/** Also of what is not there yet. Null: nobody can say. */
function realPath(path: string): string | null {
  try {
    return realpathSync.native(path)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) return null
  }
  // A link to what is not there: who makes the file would follow it.
  if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) return null
  const parent = realPath(dirname(path))
  return parent === null ? null : join(parent, basename(path))
}
