/** Keys and rows as text: how `_syncline_rejected` and the store spell them. Version 1: a JSON array; values that JSON has not are tagged. */
import type { Key, Value } from './value.ts'

export function keyText(key: Key): string {
  let text = '['
  for (let at = 0; at < key.length; at++) text += `${at === 0 ? '' : ','}${partSpelling(key[at] as Value)}`
  return `${text}]`
}

/** One part as keyText spells it. Nearly all are texts and small numbers: those need no object in between. */
export function partSpelling(value: Value): string {
  if (typeof value === 'number' && Number.isFinite(value) && !Object.is(value, -0)) return String(value)
  return JSON.stringify(partText(value))
}

/** The reverse of keyText. */
export function parseKeyText(text: string): Key {
  const parts: unknown = JSON.parse(text)
  return Array.isArray(parts) ? parts.map(partOf) : []
}

/** Integers beyond 2^53, bytes, and the numbers that JSON would write as null or as another. */
function partText(value: Value): unknown {
  if (typeof value === 'bigint') return { n: `${value}` }
  if (value instanceof Uint8Array) return { b: toHex(value) }
  if (typeof value === 'number' && (!Number.isFinite(value) || Object.is(value, -0)))
    return { f: value === 0 ? '-0' : `${value}` }
  return value
}

function partOf(part: unknown): Value {
  if (typeof part === 'object' && part !== null) {
    if ('n' in part) return BigInt(String(part.n))
    if ('f' in part) return Number(part.f)
    if ('b' in part) return fromHex(String(part.b))
    return null
  }
  return typeof part === 'string' || typeof part === 'number' || typeof part === 'boolean' ? part : null
}

/** Lower-case hex digits, two per byte. */
export function toHex(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0')
  return text
}

export function fromHex(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))
}

/** Whether all parts of a key are known. No look-up finds a row without them. */
export function isWhole(key: Key): boolean {
  return !key.includes(null)
}
