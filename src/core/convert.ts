/** Values from one type to another, without loss or not at all. */
import { SyncError } from './error.ts'
import { fromHex, toHex } from './key-text.ts'
import { normalizeTime } from './time.ts'
import { canonicalDecimal, type Type, types, type Value } from './value.ts'

/** A value of type `to` that means the same; throws VALUE_REFUSED where there is none. */
export function convert(value: Value, from: Type, to: Type): Value {
  if (value === null || from === to) return value
  const converted = comparable(from, to) ? fromText(to, toText(from, value)) : null
  if (converted !== null) return converted
  throw new SyncError('VALUE_REFUSED', `a ${from} that is no ${to}`, { hint: `Declare another type, or mend the row.` })
}

/**
 * What a config's function returned, as a value of the declared type; throws VALUE_REFUSED for anything else. `name`: of the function, for
 * people. NULL has to be said: a forgotten return, or an expression about a field that is not there, gives `undefined`.
 */
export function fromFunction(type: Type, result: unknown, name: string): Value {
  if (result === null) return null
  if (result === undefined)
    throw new SyncError('VALUE_REFUSED', `${name} returned undefined`, {
      hint: 'Is a `return` missing, or a name mistyped? To write NULL, return null.',
    })
  if (result instanceof Date && !Number.isNaN(result.getTime())) return fromFunction(type, result.toISOString(), name)
  if (result instanceof Uint8Array && type === 'bytes') return result
  if (type === 'json' && typeof result === 'object' && !(result instanceof Date)) return JSON.stringify(result)
  if (type === 'text' && typeof result !== 'object' && typeof result !== 'function') return String(result)
  const given = typeof result === 'boolean' ? 'boolean' : typeof result === 'string' ? 'text' : 'float'
  if (given === 'float' && type === 'float' && typeof result === 'number') return result
  const value =
    typeof result === 'object' || typeof result === 'function'
      ? null
      : fromText(type, given === 'boolean' ? (result ? 'true' : 'false') : String(result))
  if (value !== null) return value
  throw new SyncError('VALUE_REFUSED', `${name} returned ${withArticle(typeof result)}, which is no ${type}`, {
    hint: 'Return a value of the declared `type`, or null.',
  })
}

function withArticle(kind: string): string {
  return `${/^[aeiou]/.test(kind) ? 'an' : 'a'} ${kind}`
}

export function isType(name: string): name is Type {
  return types.some((type) => type === name)
}

const numbers: readonly Type[] = ['boolean', 'integer', 'float', 'decimal']
const times: readonly Type[] = ['date', 'time', 'timestamp', 'instant']

/** Numbers and points in time share a word, infinity, and nothing else. */
function comparable(from: Type, to: Type): boolean {
  return !(numbers.includes(from) && times.includes(to)) && !(times.includes(from) && numbers.includes(to))
}

function toText(type: Type, value: Exclude<Value, null>): string {
  if (type === 'boolean') return value === true ? 'true' : 'false'
  if (value instanceof Uint8Array) return `\\x${toHex(value)}`
  return String(value)
}

function fromText(type: Type, text: string): Value {
  switch (type) {
    case 'boolean':
      return /^(true|t|yes|y|on|1)$/i.test(text) ? true : /^(false|f|no|n|off|0)$/i.test(text) ? false : null
    case 'integer':
      return integerOf(text)
    case 'float':
      return floatOf(text)
    case 'decimal':
      return /^([+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|NaN|-?Infinity)$/.test(text)
        ? text
        : text === 'true' || text === 'false'
          ? String(Number(text === 'true'))
          : null
    case 'bytes':
      return /^\\x([0-9a-f]{2})*$/i.test(text) ? fromHex(text.slice(2)) : null
    case 'uuid':
      return /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i.test(text) ? spellUuid(text) : null
    case 'date':
    case 'time':
    case 'timestamp':
    case 'instant':
      return normalizeTime(type, text)
    case 'json':
      return isJson(text) ? text : JSON.stringify(text)
    case 'text':
      return text
  }
}

function integerOf(text: string): Value {
  const digits = text === 'true' ? '1' : text === 'false' ? '0' : text.replace(/\.0*$/, '')
  if (!/^[+-]?\d+$/.test(digits)) return null
  const exact = BigInt(digits)
  return Number.isSafeInteger(Number(exact)) ? Number(exact) : exact
}

/** Only where the float spells the same number: 0.1 does, 2^53 + 1 and 10^400 do not. */
function floatOf(text: string): Value {
  if (/^(NaN|-?Infinity)$/.test(text)) return Number(text)
  if (text === 'true' || text === 'false') return Number(text === 'true')
  if (!/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text)) return null
  const float = Number(text)
  return canonicalDecimal(String(float)) === canonicalDecimal(text) ? float : null
}

function spellUuid(text: string): string {
  const digits = text.replaceAll('-', '').toLowerCase()
  return [digits.slice(0, 8), digits.slice(8, 12), digits.slice(12, 16), digits.slice(16, 20), digits.slice(20)].join(
    '-',
  )
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
