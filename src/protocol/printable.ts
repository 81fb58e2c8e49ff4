/** Values of rows in JSON: no digit and no byte is lost. */
import { toHex } from '../core/key-text.ts'

/** Bigints as text, bytes as `\x…`, and NaN and infinities, which JSON has no numbers for, as text. */
export function printable(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value)
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value)
  if (value instanceof Uint8Array) return printableBytes(value)
  if (Array.isArray(value)) return value.map(printable)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, printable(item)]))
}

export function printableBytes(bytes: Uint8Array): string {
  return `\\x${toHex(bytes)}`
}
