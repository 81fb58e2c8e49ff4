/** JSONata expressions as functions: pure, synchronous, and stopped when they go on for too long. */
import { createRequire } from 'node:module'
import { createContext, Script } from 'node:vm'
import { endsRun, SyncError } from '../core/error.ts'
import { toHex } from '../core/key-text.ts'
import { ask } from '../core/two-way.ts'
import { TurnTime } from './turn-time.ts'

/** For one value. */
const LIMIT_MS = 500
/** For all values of a page of rows, which is one turn of the event loop: a quarter of what a lease lasts. There is one loop for all. */
const turn = new TurnTime(5000)
/** A text grows by doubling in few steps: no step may make a longer one. */
const MAX_TEXT = 16 * 1024 * 1024
const MAX_EXPRESSION = 20_000

/** Not pure, or code made of data. */
const refused: ReadonlyMap<string, string> = new Map([
  ['now', 'the same row must give the same value at any time'],
  ['millis', 'the same row must give the same value at any time'],
  ['random', 'the same row must give the same value every time'],
  ['shuffle', 'the same row must give the same value every time'],
  ['eval', 'rows may hold no code; $json(text) reads JSON'],
])
/** What the library asks at every step, which no expression may take away. */
const HOOKS = ['__evaluate_entry', '__evaluate_exit']

export interface ExpressionMistake {
  /** Says where: "at character 12". */
  readonly message: string
}

/** What an expression gives for an input; null where it gives nothing. EXPRESSION_STOPPED: it goes on for too long. */
export type ExpressionFunction = (input: unknown) => unknown

/** Checks an expression, and makes it a function. */
export function compileExpression(text: string, time = turn): ExpressionFunction | ExpressionMistake {
  if (text.length > MAX_EXPRESSION) return { message: `is longer than ${MAX_EXPRESSION} characters` }
  try {
    const expression = library()(text)
    const found = survey(expression.ast())
    return found.mistake ?? paced(text, bounded(text, expression, found.searches), time)
  } catch (error) {
    return { message: describe(error, 'is no JSONata expression') }
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

/** What is in an expression that may not be; and whether one of its steps may itself take long. */
function survey(ast: unknown): { readonly mistake: ExpressionMistake | null; readonly searches: boolean } {
  let mistake: ExpressionMistake | null = null
  let searches = false
  const visit = (node: unknown): void => {
    if (typeof node !== 'object' || node === null || node instanceof RegExp) return
    const [type, value, position] = ['type', 'value', 'position'].map((name) => Reflect.get(node, name))
    if (type === 'regex') searches = true
    for (const part of Object.values(node)) {
      if (typeof part === 'string' && HOOKS.includes(part)) mistake = { message: `"${part}" is not for expressions` }
      visit(part)
    }
    const reason = type === 'variable' ? refused.get(String(value)) : undefined
    if (reason !== undefined) mistake = { message: `$${value} is not there (at character ${position}): ${reason}` }
  }
  visit(ast)
  return { mistake, searches }
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

function bounded(text: string, expression: Expression, searches: boolean): ExpressionFunction {
  let deadline = 0
  const tooLate = () => stopped(text, `it took longer than ${LIMIT_MS} ms for one value`)
  expression.assign(HOOKS[0] ?? '', () => {
    if (performance.now() > deadline) throw tooLate()
  })
  expression.assign(HOOKS[1] ?? '', (_node: unknown, _input: unknown, _scope: unknown, result: unknown) => {
    if (typeof result === 'string' && result.length > MAX_TEXT) throw stopped(text, 'a text grew beyond 16 MB')
  })
  for (const name of refused.keys()) expression.assign(name, undefined)
  expression.registerFunction('json', (value: string) => JSON.parse(value), '<s-:x>')
  expression.assign('ask', ask)
  let input: unknown
  const evaluate = () => expression.evaluate(input)
  const call = searches ? watched(evaluate) : evaluate
  return (given) => {
    input = plain(given)
    deadline = performance.now() + LIMIT_MS
    try {
      const result = call() ?? null
      if (!holdsFunction(result)) return result
      throw new SyncError('VALUE_REFUSED', `the expression ${shortened(text)} gives a function, which is no value`)
    } catch (error) {
      if (error instanceof SyncError) throw error
      if (error instanceof RangeError) throw stopped(text, 'it calls itself without end')
      if (codeOf(error) === 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw tooLate()
      throw new SyncError('VALUE_REFUSED', describe(error, `the expression ${shortened(text)} failed`))
    }
  }
}

function stopped(text: string, reason: string, { hint = 'Mend it in the sync; nothing was written with it.' } = {}) {
  return new SyncError('EXPRESSION_STOPPED', `the expression ${shortened(text)} was stopped: ${reason}`, { hint })
}

/** A pattern can search for hours in one step, which only another thread can end. It costs 90 µs a call, so it is for these alone. */
function watched(evaluate: () => unknown): () => unknown {
  const context = createContext({ evaluate })
  const script = new Script('evaluate()')
  return () => script.runInContext(context, { timeout: LIMIT_MS })
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

function codeOf(error: unknown): unknown {
  return typeof error === 'object' && error !== null && 'code' in error ? error.code : null
}

function shortened(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text)
}
