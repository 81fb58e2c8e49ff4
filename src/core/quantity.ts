/** Sizes and times as people write them. */

const sizes: Readonly<Record<string, number>> = { B: 1, KB: 1024, MB: 1024 ** 2, GB: 1024 ** 3 }
const durations: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
}

/** Bytes: `8MB`, `512KB`; null: no such size. */
export function parseSize(text: string): number | null {
  return parseQuantity(text.toUpperCase(), sizes)
}

/** Milliseconds: `500ms`, `15m`, `1.5h`; null: no such time. */
export function parseDuration(text: string): number | null {
  return parseQuantity(text.toLowerCase(), durations)
}

function parseQuantity(text: string, units: Readonly<Record<string, number>>): number | null {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]+)$/i.exec(text.trim())
  const unit = units[match?.[2] ?? '']
  const quantity = Math.round(Number(match?.[1]) * (unit ?? 0))
  return quantity > 0 ? quantity : null
}
