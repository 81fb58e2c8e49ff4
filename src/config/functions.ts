/** Functions where no code can be written: `{ "export": "name" }` and `{ "jsonata": "…" }` stand for one. */
import { z } from 'zod'
import { didYouMean } from '../core/name.ts'
import { compileExpression } from './expressions.ts'
import type { Mistake } from './mistakes.ts'

/** What a config file exports beside the config, by name. */
export type Exports = ReadonlyMap<string, unknown>

/** Any function that a config may hold. */
type Func = (...given: never[]) => unknown

/** Where a sync may have one, and what an expression there sees of the function's arguments: the first one, or all by these names. */
const places: readonly { readonly at: readonly string[]; readonly names: readonly string[] | null }[] = [
  { at: ['fields', '*', 'toRight'], names: null },
  { at: ['fields', '*', 'toLeft'], names: null },
  { at: ['fields', '*', 'onConflict'], names: ['base', 'left', 'right'] },
  { at: ['match', '*', 'by'], names: null },
  { at: ['onBefore', 'input'], names: null },
  { at: ['onAfter', 'input'], names: null },
  { at: ['onConflict'], names: ['base', 'left', 'right'] },
]

const reference = z.union([z.strictObject({ export: z.string() }), z.strictObject({ jsonata: z.string() })])
type Reference = z.output<typeof reference>

/** The sync's definition with functions in place of what stands for them. */
export function resolveFunctions(
  definition: unknown,
  path: readonly PropertyKey[],
  exports: Exports,
  mistakes: Mistake[],
): unknown {
  const resolve = (found: Reference, at: readonly PropertyKey[], names: readonly string[] | null) =>
    resolveReference(found, at, names, exports, mistakes)
  const computed = mapAt(definition, ['fields', '*'], path, (rule, at) => {
    const found = computedBy(rule)
    if (found === null) return rule
    // Another text is another function: rows that were computed by the one before are computed anew.
    const version = JSON.stringify([found.reference, found.rule.version ?? null])
    return { ...found.rule, compute: resolve(found.reference, [...at, 'compute'], null), version }
  })
  return places.reduce(
    (result, place) =>
      mapAt(result, place.at, path, (value, at) => {
        const { data } = reference.safeParse(value)
        return data === undefined ? value : resolve(data, at, place.names)
      }),
    computed,
  )
}

function computedBy(
  rule: unknown,
): { readonly rule: Readonly<Record<string, unknown>>; readonly reference: Reference } | null {
  const { data } = z.looseObject({ compute: reference }).safeParse(rule)
  return data === undefined ? null : { rule: data, reference: data.compute }
}

/** A copy in which what `change` says stands at the end of the pattern; `*` is every entry there. */
function mapAt(
  value: unknown,
  [name, ...rest]: readonly string[],
  path: readonly PropertyKey[],
  change: (value: unknown, path: readonly PropertyKey[]) => unknown,
): unknown {
  if (name === undefined) return change(value, path)
  if (typeof value !== 'object' || value === null || typeof value === 'function') return value
  if (Array.isArray(value))
    return name === '*' ? value.map((entry, at) => mapAt(entry, rest, [...path, at], change)) : value
  return Object.fromEntries(
    Object.entries(value).map(([key, entry]) => [
      key,
      name === '*' || name === key ? mapAt(entry, rest, [...path, key], change) : entry,
    ]),
  )
}

function resolveReference(
  found: Reference,
  path: readonly PropertyKey[],
  names: readonly string[] | null,
  exports: Exports,
  mistakes: Mistake[],
): Func {
  if ('export' in found) {
    const named = exports.get(found.export)
    if (isFunction(named)) return named
    mistakes.push({ path: [...path, 'export'], message: notExported(found.export, exports) })
    return none
  }
  const compiled = compileExpression(found.jsonata)
  if (typeof compiled === 'function') {
    if (names === null) return (value: unknown) => compiled(value)
    return (...given: unknown[]) => compiled(Object.fromEntries(names.map((name, at) => [name, given[at] ?? null])))
  }
  mistakes.push({ path: [...path, 'jsonata'], message: compiled.message })
  return none
}

/** In place of what has a mistake, so that the others are found, too. */
const none: Func = () => null

function isFunction(value: unknown): value is Func {
  return typeof value === 'function'
}

function notExported(name: string, exports: Exports): string {
  if (exports.has(name)) return `"${name}" is exported by the config file, but is no function`
  const functions = [...exports].filter(([, value]) => isFunction(value)).map(([known]) => known)
  const near = didYouMean(name, functions)
  const all = functions.length === 0 ? 'it exports none by name' : `there are ${functions.join(', ')}`
  return `the config file exports no function "${name}"${near || `; ${all}`}`
}
