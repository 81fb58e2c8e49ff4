/**
 * Values and their types: what a field may hold, when two values are equal, and the one order of keys.
 * Every connector speaks these spellings; docs/guide/values.md lists them for people.
 */
import { compactJson } from './compact-json.ts'

/** One field's content. Only primitives; `null` is SQL NULL. */
export type Value = null | boolean | number | bigint | string | Uint8Array

/**
 * The type of a field.
 * - `integer`: number when safe, else bigint. `decimal`: text as the source spells it.
 * - `date` `2025-01-31`, `time` `13:05:09.250000`, `timestamp` `2025-01-31T13:05:09.250000`,
 *   `instant` the same with `Z`: always six fractional digits, so that text order is time order.
 * - `json`: JSON text. `text` also carries native types that have a reversible text form (arrays, ranges …).
 */
export const types = [
  'boolean',
  'integer',
  'float',
  'decimal',
  'text',
  'bytes',
  'uuid',
  'date',
  'time',
  'timestamp',
  'instant',
  'json',
] as const
export type Type = (typeof types)[number]

/** A tuple of values in the order of its schema's fields. */
export type Row = readonly Value[]
/** A row's identity: the values of its schema's key fields, in key order, canonically spelled. */
export type Key = readonly Value[]

/** Whether two values of one type mean the same. NULL equals NULL; 1.0 equals 1.00; JSON is compared in canonical form. */
export function equal(type: Type, a: Value, b: Value): boolean {
  if (a === b) return type !== 'float' || a !== 0 || Object.is(a, b)
  if (a === null || b === null) return false
  switch (type) {
    case 'float':
      return Object.is(Number(a), Number(b))
    case 'integer':
      return BigInt(a as number | bigint) === BigInt(b as number | bigint)
    case 'decimal':
      return canonicalDecimal(String(a)) === canonicalDecimal(String(b))
    case 'json':
      return canonicalJson(String(a)) === canonicalJson(String(b))
    case 'bytes':
      return a instanceof Uint8Array && b instanceof Uint8Array && compareBytes(a, b) === 0
    case 'uuid':
      return canonicalUuid(String(a)) === canonicalUuid(String(b))
    default:
      return false
  }
}

/** The one spelling a value has when it is part of a key. */
export function canonical(type: Type, value: Value): Value {
  if (value === null) return null
  switch (type) {
    case 'decimal':
      return canonicalDecimal(String(value))
    case 'json':
      return canonicalJson(String(value))
    case 'uuid':
      return canonicalUuid(String(value))
    case 'integer':
      return typeof value === 'bigint' && value <= MAX_SAFE && value >= -MAX_SAFE ? Number(value) : value
    case 'float':
      return value === 0 ? 0 : value
    default:
      return value
  }
}

/**
 * The order of keys, the same in every connector: numbers by size, everything else by the bytes of its canonical
 * spelling in UTF-8. A connector whose `scan` returns rows in another order breaks sweeps and verify.
 */
export function compareKeys(keyTypes: readonly Type[], a: Key, b: Key): number {
  for (let i = 0; i < keyTypes.length; i++) {
    const order = compareValues(keyTypes[i] as Type, a[i] as Value, b[i] as Value)
    if (order !== 0) return order
  }
  return 0
}

/** The order of two values of one type as parts of a key. NULL never occurs in a key. */
export function compareValues(type: Type, a: Value, b: Value): number {
  if (a === b) return 0
  if (a === null || b === null) return a === null ? -1 : 1
  switch (type) {
    case 'integer':
    case 'boolean':
      return a < b ? -1 : a > b ? 1 : 0
    case 'float':
      return compareFloats(Number(a), Number(b))
    case 'bytes':
      return compareBytes(a as Uint8Array, b as Uint8Array)
    default:
      return compareText(String(canonical(type, a)), String(canonical(type, b)))
  }
}

/** Text order by UTF-8 bytes, which is code point order: JavaScript's `<` differs above U+D7FF. */
export function compareText(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x === y) continue
    const bothHigh = x >= 0xd800 && y >= 0xd800
    return bothHigh ? rotateSurrogates(x) - rotateSurrogates(y) : x - y
  }
  return a.length - b.length
}

/** Drops a decimal's sign of zero, leading zeros, exponent form and trailing zeros: `1.50`, `+1.5` and `15e-1` become `1.5`. */
export function canonicalDecimal(text: string): string {
  // Nearly all are spelled so already.
  if (/^-?(?:[1-9]\d*|0(?=\.))(?:\.\d*[1-9])?$/.test(text)) return text
  const match = /^([+-]?)(\d*)\.?(\d*)(?:[eE]([+-]?\d+))?$/.exec(text)
  if (match === null) return text
  let [, sign = '', whole = '', fraction = ''] = match
  const exponent = match[4] === undefined ? 0 : Number(match[4])
  // JSON allows 1e999999999: writing that out would fill the memory, and two spellings of it are not worth it.
  if (Math.abs(exponent) > MAX_EXPONENT) return text
  if (exponent > 0) {
    whole += fraction.slice(0, exponent).padEnd(exponent, '0')
    fraction = fraction.slice(exponent)
  } else if (exponent < 0) {
    const padded = whole.padStart(-exponent, '0')
    fraction = padded.slice(padded.length + exponent) + fraction
    whole = padded.slice(0, padded.length + exponent)
  }
  whole = whole.replace(/^0+/, '') || '0'
  fraction = fraction.replace(/0+$/, '')
  const digits = fraction === '' ? whole : `${whole}.${fraction}`
  return sign === '-' && digits !== '0' ? `-${digits}` : digits
}

/** `{6F9619FF8B86D011B42D00CF4FC964FF}` becomes `6f9619ff-8b86-d011-b42d-00cf4fc964ff`; what is no UUID keeps its spelling. */
export function canonicalUuid(text: string): string {
  // Nearly all are spelled so already.
  if (isCanonicalUuid(text)) return text
  const digits = text.replace(/[{}-]/g, '').toLowerCase()
  if (!/^[0-9a-f]{32}$/.test(digits)) return text.toLowerCase()
  return [digits.slice(0, 8), digits.slice(8, 12), digits.slice(12, 16), digits.slice(16, 20), digits.slice(20)].join(
    '-',
  )
}

function isCanonicalUuid(text: string): boolean {
  if (text.length !== 36) return false
  for (let at = 0; at < 36; at++) {
    const unit = text.charCodeAt(at)
    if (at === 8 || at === 13 || at === 18 || at === 23) {
      if (unit !== 45) return false
    } else if ((unit < 48 || unit > 57) && (unit < 97 || unit > 102)) return false
  }
  return true
}

/** JSON text with sorted object keys, no white space, and numbers in canonical decimal form (no precision is lost). */
export function canonicalJson(text: string): string {
  try {
    return compactJson(text) ?? writeCanonical(parseExact(text))
  } catch {
    return text
  }
}

const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER)
/** Postgres' numeric holds 131,072 digits before the point. */
const MAX_EXPONENT = 200_000

/** A JSON number kept as the text it was written in. */
class ExactNumber {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

function parseExact(text: string): unknown {
  // Short whole numbers lose nothing, and without a reviver parsing takes a third of the time.
  if (!/\d{16}|\d[.eE]|-0/.test(text)) return JSON.parse(text)
  // The third argument (source text) exists from Node 21; numbers keep every digit through it.
  const reviver = (_key: string, value: unknown, context?: { source?: string }): unknown =>
    typeof value === 'number' ? new ExactNumber(context?.source ?? String(value)) : value
  return JSON.parse(text, reviver as (key: string, value: unknown) => unknown)
}

function writeCanonical(value: unknown): string {
  if (typeof value === 'number') return String(value)
  if (value instanceof ExactNumber) return canonicalDecimal(value.text)
  if (Array.isArray(value)) return `[${value.map(writeCanonical).join(',')}]`
  if (typeof value === 'object' && value !== null) {
    const item = value as Readonly<Record<string, unknown>>
    let text = '{'
    for (const name of sortedNames(Object.keys(item)))
      text += `${text === '{' ? '' : ','}${JSON.stringify(name)}:${writeCanonical(item[name])}`
    return `${text}}`
  }
  return JSON.stringify(value)
}

/** Most objects come with their names in order already. */
function sortedNames(names: string[]): string[] {
  for (let at = 1; at < names.length; at++)
    if (compareText(names[at - 1] as string, names[at] as string) > 0) return names.sort(compareText)
  return names
}

function compareFloats(a: number, b: number): number {
  if (Number.isNaN(a)) return Number.isNaN(b) ? 0 : 1
  if (Number.isNaN(b)) return -1
  return a < b ? -1 : a > b ? 1 : 0
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const difference = (a[i] as number) - (b[i] as number)
    if (difference !== 0) return difference
  }
  return a.length - b.length
}

/** Moves surrogates (which encode code points above U+FFFF) above U+E000–U+FFFF. */
function rotateSurrogates(unit: number): number {
  return unit >= 0xe000 ? unit - 0x800 : unit + 0x2000
}
