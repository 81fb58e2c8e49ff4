/** Keys as text: how `_syncline_rejected` spells them. Version 1: a JSON array; integers beyond 2^53 and bytes are tagged. */
import type { Key, Value } from '../core/value.ts'

export function keyText(key: Key): string {
  return JSON.stringify(
    key.map((value) =>
      typeof value === 'bigint'
        ? { n: `${value}` }
        : value instanceof Uint8Array
          ? { b: Buffer.from(value).toString('hex') }
          : value,
    ),
  )
}

/** The reverse of keyText. */
export function parseKeyText(text: string): Key {
  const parts: unknown = JSON.parse(text)
  return Array.isArray(parts) ? parts.map(partOf) : []
}

function partOf(part: unknown): Value {
  if (typeof part === 'object' && part !== null) {
    if ('n' in part) return BigInt(String(part.n))
    if ('b' in part) return new Uint8Array(Buffer.from(String(part.b), 'hex'))
    return null
  }
  return typeof part === 'string' || typeof part === 'number' || typeof part === 'boolean' ? part : null
}
