/** How results are spelled in JSON: no digit and no byte is lost. */

/** One line of JSON: bigints as text, bytes as `\x…`, and NaN and infinities, which JSON has no numbers for, as text. */
export function jsonLine(object: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(printable(object))
}

export function hex(bytes: Uint8Array): string {
  return `\\x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')}`
}

function printable(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value)
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value)
  if (value instanceof Uint8Array) return hex(value)
  if (Array.isArray(value)) return value.map(printable)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, printable(item)]))
}
