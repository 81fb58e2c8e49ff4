/** What ends an expression that goes on for too long, or grows beyond measure. */
import { type Context, createContext, Script } from 'node:vm'

/** For one value. */
export const LIMIT_MS = 500
/** A text grows by doubling in few steps: no step may make a longer one. */
export const MAX_TEXT = 16 * 1024 * 1024
/** Searching a text for another takes as long as both lengths multiplied, at the worst, and nothing can end it: 350 ms for this. */
const MAX_SEARCH = 1e9
/** What a part of a value costs, beside its text. */
const PART = 8

let watcher: { readonly context: Context; readonly script: Script } | null = null

/** Ends also one long step, which only another thread can: ERR_SCRIPT_EXECUTION_TIMEOUT. It costs 90 µs a call. */
export function watch<T>(limitMs: number, work: () => T): T {
  watcher ??= { context: createContext({}), script: new Script('work()') }
  watcher.context.work = work
  try {
    return watcher.script.runInContext(watcher.context, { timeout: limitMs })
  } finally {
    watcher.context.work = null
  }
}

export function isTimeout(error: unknown): boolean {
  // Made in the watcher's context, whose Error is another one.
  return typeof error === 'object' && error !== null && 'code' in error && error.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT'
}

/** Whether a value, read as JSON, has more than so many characters. One that it holds twice counts twice. */
export function isLarger(value: unknown, characters: number): boolean {
  let left = characters
  const spend = (amount: number): boolean => {
    left -= amount
    return left >= 0
  }
  const fits = (part: unknown): boolean => {
    if (typeof part === 'string' || part instanceof Uint8Array) return spend(PART + part.length)
    if (!spend(PART) || typeof part !== 'object' || part === null) return left >= 0
    // By its length first: to list millions of entries is a step that nothing can end.
    if (Array.isArray(part)) return left >= part.length * PART && part.every(fits)
    return Object.entries(part).every(([name, inner]) => spend(name.length) && fits(inner))
  }
  return !fits(value)
}

/** Which arguments of the library's functions are searched, and for what. */
const searches: ReadonlyMap<string, (given: readonly unknown[]) => readonly [unknown, unknown]> = new Map([
  ...['contains', 'replace', 'split', 'substringAfter', 'substringBefore'].map(
    (name) => [name, ([text, sought]: readonly unknown[]) => [text, sought] as const] as const,
  ),
  // Its options say what the separators in the picture are.
  ['formatNumber', ([, picture]) => [picture, picture]],
])

interface Native {
  readonly implementation: (...given: unknown[]) => unknown
}

/** Those of the library's functions that search texts, by name: `tooLong` is what they throw instead of searching for long. */
export function boundSearches(
  find: (name: string) => unknown,
  tooLong: () => Error,
): readonly (readonly [name: string, native: Native])[] {
  return [...searches].map(([name, textsOf]) => {
    const native = find(name)
    if (!isNative(native)) throw new Error(`the library has no ${name}`)
    return [
      name,
      bound(native, (given) => {
        const [text, sought] = textsOf(given).map((part) => (typeof part === 'string' ? part.length : 0))
        if ((text ?? 0) * (sought ?? 0) > MAX_SEARCH) throw tooLong()
      }),
    ] as const
  })
}

function isNative(value: unknown): value is Native {
  return (
    typeof value === 'object' &&
    value !== null &&
    'implementation' in value &&
    typeof value.implementation === 'function'
  )
}

/** The library asks functions how many arguments they take, and reads their names out of their text. */
function bound(native: Native, check: (given: readonly unknown[]) => void): Native {
  const { implementation } = native
  const checked = function (this: unknown, ...given: readonly unknown[]): unknown {
    check(given)
    return Reflect.apply(implementation, this, given)
  }
  Object.defineProperties(checked, {
    length: { value: implementation.length },
    toString: { value: () => String(implementation) },
  })
  return { ...native, implementation: checked }
}
