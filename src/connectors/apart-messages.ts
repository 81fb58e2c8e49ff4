/**
 * What crosses between a process that asks and one that works for it (apart.ts). Values cross as copies; functions stay where they are:
 * an object that has some crosses as the names it is called by. So any part of the contract crosses, also one that is added to it later.
 */
import { isErrorCode, SyncError } from '../core/error.ts'
import type { Severity } from '../core/log.ts'

export type Request =
  | { readonly kind: 'open'; readonly id: number; readonly config: unknown }
  | {
      readonly kind: 'call'
      readonly id: number
      readonly object: number
      readonly method: string
      readonly args: readonly unknown[]
    }
  /** Pulls a stream on, or ends it. */
  | { readonly kind: 'next' | 'return'; readonly id: number; readonly stream: number }
  /** Closes the connection, so that the process can open another. */
  | { readonly kind: 'close'; readonly id: number }
  | { readonly kind: 'abort'; readonly reason: ToldError }

/** A request that is answered. */
export type Question = Exclude<Request, { kind: 'abort' }>

export type Answer =
  | { readonly kind: 'done'; readonly id: number; readonly result: Thing }
  | { readonly kind: 'failed'; readonly id: number; readonly error: ToldError }
  | { readonly kind: 'log'; readonly message: string; readonly severity: Severity | undefined }

export type Thing =
  | { readonly kind: 'data'; readonly value: unknown }
  | {
      readonly kind: 'object'
      readonly id: number
      readonly methods: readonly string[]
      readonly parts: readonly (readonly [name: string, part: Thing])[]
    }
  | { readonly kind: 'stream'; readonly id: number }
  | { readonly kind: 'end' }

/** Methods of the contract that give an AsyncIterable, at once. */
export const streaming: ReadonlySet<string> = new Set(['read', 'scan', 'watch'])
/** The name under which an object is disposed. */
export const DISPOSE = '@dispose'

/** Stands for any signal among arguments: at the other side it is that of the connection, which ends with every run of it. */
const SIGNAL = { '@signal': true } as const

export function outgoingArguments(args: readonly unknown[]): readonly unknown[] {
  return args.map((argument) => {
    if (argument instanceof AbortSignal) return SIGNAL
    if (!isPlain(argument) || !(argument.signal instanceof AbortSignal)) return argument
    return { ...argument, signal: SIGNAL }
  })
}

export function incomingArguments(args: readonly unknown[], signal: AbortSignal): readonly unknown[] {
  const isSignal = (value: unknown) => isPlain(value) && value['@signal'] === true
  return args.map((argument) => {
    if (isSignal(argument)) return signal
    return isPlain(argument) && isSignal(argument.signal) ? { ...argument, signal } : argument
  })
}

/** Describes a result; `keep` keeps an object that has methods, and names it. */
export function outgoing(value: unknown, keep: (object: object) => number): Thing {
  if (!isPlain(value)) return { kind: 'data', value }
  const entries = Object.entries(value)
  const methods = entries.flatMap(([name, part]) => (typeof part === 'function' ? [name] : []))
  if (Symbol.asyncDispose in value) methods.push(DISPOSE)
  const parts = entries
    .filter(([, part]) => typeof part !== 'function')
    .map(([name, part]) => [name, outgoing(part, keep)] as const)
  if (methods.length === 0 && parts.every(([, { kind }]) => kind === 'data')) return { kind: 'data', value }
  return { kind: 'object', id: methods.length === 0 ? 0 : keep(value), methods, parts }
}

function isPlain(value: unknown): value is Record<PropertyKey, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null || Symbol.asyncDispose in value
}

/** An error as it crosses. */
export interface ToldError {
  /** Null: it is none of ours. */
  readonly code: string | null
  readonly message: string
  readonly hint: string | null
  readonly stack: string | null
}

export function outgoingError(error: unknown): ToldError {
  if (!(error instanceof Error)) return { code: null, message: String(error), hint: null, stack: null }
  const cause = error instanceof SyncError && error.cause instanceof Error ? error.cause : error
  return {
    code: error instanceof SyncError ? error.code : null,
    message: error.message,
    hint: error instanceof SyncError ? error.hint : null,
    stack: cause.stack ?? null,
  }
}

export function incomingError({ code, message, hint, stack }: ToldError): Error {
  const cause = new Error(message)
  if (stack !== null) cause.stack = stack
  if (code === null || !isErrorCode(code)) return cause
  return new SyncError(code, message, hint === null ? { cause } : { hint, cause })
}
