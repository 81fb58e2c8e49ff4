/** JSONata expressions as functions: pure, synchronous, and stopped when they go on for too long. */
import { createRequire } from 'node:module'
import { endsRun, SyncError } from '../core/error.ts'
import { toHex } from '../core/key-text.ts'
import { ask } from '../core/two-way.ts'
import { boundSearches, isLarger, isTimeout, LIMIT_MS, MAX_TEXT, watch } from './expression-limits.ts'
import { type ExpressionMistake, HOOKS, refused, survey } from './expression-survey.ts'
import { TurnTime } from './turn-time.ts'

export type { ExpressionMistake }

/** For all values of a page of rows, which is one turn of the event loop: a quarter of what a lease lasts. There is one loop for all. */
const turn = new TurnTime(5000)
const MAX_EXPRESSION = 20_000
/** For reading an expression: once, and maybe while everything starts. */
const READ_MS = 5000
/** What quick steps get through in no time; larger rows, and texts that grow beyond, are watched. */
const QUICK_TEXT = 64 * 1024

/** What an expression gives for an input; null where it gives nothing. EXPRESSION_STOPPED: it goes on for too long. */
export type ExpressionFunction = (input: unknown) => unknown

/** Checks an expression, and makes it a function. */
export function compileExpression(text: string, time = turn): ExpressionFunction | ExpressionMistake {
  if (text.length > MAX_EXPRESSION) return { message: `is longer than ${MAX_EXPRESSION} characters` }
  const parse = library()
  try {
    return watch(READ_MS, () => {
      const expression = parse(text)
      const { mistake, quick } = survey(expression.ast())
      return mistake ?? paced(text, bounded(text, expression, quick), time)
    })
  } catch (error) {
    return { message: isTimeout(error) ? 'takes too long to read' : describe(error, 'is no JSONata expression') }
  }
}

type Jsonata = typeof import('jsonata')
type Expression = ReturnType<Jsonata>

/** Loaded by the first config that has an expression, and at once, because configs are checked in one go. */
let loaded: Jsonata | null = null
function library(): Jsonata {
  loaded ??= createRequire(import.meta.url)('jsonata')
  if (loaded === null) throw new SyncError('INTERNAL', 'jsonata is not installed')
  return loaded
}

/** Many values that take their time each stop everything else for as long as one that never ends. One that fails has taken its time, too. */
function paced(text: string, evaluate: ExpressionFunction, time: TurnTime): ExpressionFunction {
  const stopIfSlow = (began: number) => {
    if (time.add(performance.now() - began)) return
    throw stopped(text, `it is too slow for so many rows: one page of them took more than ${time.limitMs} ms`, {
      hint: 'Make it simpler, or leave the work to the source (a computed column) or to a function of the config.',
    })
  }
  return (given) => {
    const began = performance.now()
    try {
      const value = evaluate(given)
      stopIfSlow(began)
      return value
    } catch (error) {
      if (!endsRun(error)) stopIfSlow(began)
      throw error
    }
  }
}

function bounded(text: string, expression: Expression, quick: boolean): ExpressionFunction {
  let deadline = 0
  let maxText = MAX_TEXT
  const tooLate = () => stopped(text, `it took longer than ${LIMIT_MS} ms for one value`)
  const tooLarge = () => stopped(text, 'a text, or its value, grew beyond 16 MB')
  expression.assign(HOOKS[0] ?? '', () => {
    if (performance.now() > deadline) throw tooLate()
  })
  expression.assign(HOOKS[1] ?? '', (_node: unknown, _input: unknown, _scope: unknown, result: unknown) => {
    if (typeof result === 'string' && result.length > maxText) throw maxText === QUICK_TEXT ? grown : tooLarge()
  })
  for (const name of refused.keys()) expression.assign(name, undefined)
  const tooLong = () => stopped(text, 'it searches a long text for a long text')
  for (const [name, native] of boundSearches(functionOf, tooLong)) expression.assign(name, native)
  expression.registerFunction('json', (value: string) => JSON.parse(value), '<s-:x>')
  expression.assign('ask', ask)
  const evaluate = (input: unknown) => {
    const result: unknown = expression.evaluate(input)
    if (isLarger(result, MAX_TEXT)) throw tooLarge()
    if (holdsFunction(result))
      throw new SyncError('VALUE_REFUSED', `the expression ${shortened(text)} gives a function, which is no value`)
    return result
  }
  const watched = (input: unknown) => {
    maxText = MAX_TEXT
    return watch(LIMIT_MS, () => evaluate(input))
  }
  const hurry = (input: unknown) => {
    maxText = QUICK_TEXT
    try {
      return evaluate(input)
    } catch (error) {
      if (error !== grown) throw error
      return watched(input)
    }
  }
  return (given) => {
    const input = plain(given)
    deadline = performance.now() + LIMIT_MS
    try {
      return quick && !isLarger(input, QUICK_TEXT) ? hurry(input) : watched(input)
    } catch (error) {
      if (error instanceof SyncError) throw error
      if (error instanceof RangeError)
        throw error.message.includes('call stack') ? stopped(text, 'it calls itself without end') : tooLarge()
      if (isTimeout(error)) throw tooLate()
      throw new SyncError('VALUE_REFUSED', describe(error, `the expression ${shortened(text)} failed`))
    }
  }
}

/** Not an error of the expression: from the start again, under a watch. */
const grown = new Error('a text grew')

/** One that the library brings. */
function functionOf(name: string): unknown {
  return library()(`$${name}`).evaluate(null)
}

function stopped(text: string, reason: string, { hint = 'Mend it in the sync; nothing was written with it.' } = {}) {
  return new SyncError('EXPRESSION_STOPPED', `the expression ${shortened(text)} was stopped: ${reason}`, { hint })
}

/** What JSON has no word for, as texts that `compute` takes back: digits, and bytes as `\x…`. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value)
  if (value instanceof Uint8Array) return `\\x${toHex(value)}`
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(plain)
  return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, plain(entry)]))
}

/** The library's functions are objects that know more than the row. */
function holdsFunction(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return typeof value === 'function'
  if ('_jsonata_function' in value || '_jsonata_lambda' in value) return true
  return Object.values(value).some(holdsFunction)
}

/** Without what the library says of values, which are the row's. */
function describe(error: unknown, what: string): string {
  if (typeof error !== 'object' || error === null) return what
  const [code, position, token] = ['code', 'position', 'token'].map((name) => Reflect.get(error, name))
  const at = typeof position === 'number' ? ` at character ${position}` : ''
  const near = typeof token === 'string' && token !== '(end)' ? ` near "${token}"` : ''
  const message: unknown = Reflect.get(error, 'message')
  const syntax = typeof code === 'string' && code.startsWith('S') && typeof message === 'string' ? `: ${message}` : ''
  return `${what}${at}${near}${syntax === '' && typeof code === 'string' ? ` (JSONata ${code})` : syntax}`
}

function shortened(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text)
}
