/** How numbers, times, values and tables look to people. */
import type { PrintedKey } from '../../core/run.ts'
import type { Value } from '../../core/value.ts'
import { printableBytes } from '../../protocol/printable.ts'

/** `1,234,567` */
export function count(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ',')
}

/** `1 row`, `2,000 rows` */
export function counted(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`
}

/** `840 ms`, `3.2 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h` */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`
  const units = [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['min', 60_000],
    ['s', 1000],
  ] as const
  const first = units.findIndex(([, size]) => ms >= size)
  const parts = units.slice(first, first + 2).map(([unit, size], index) => {
    const whole = index === 0 ? ms : ms % (units[first]?.[1] ?? 1)
    return { unit, amount: Math.floor(whole / size) }
  })
  return parts
    .filter(({ amount }) => amount > 0)
    .map(({ unit, amount }) => `${amount} ${unit}`)
    .join(' ')
}

/** `2025-01-31 13:05:09`, in the time zone of the machine. */
export function instant(ms: number): string {
  const date = new Date(ms)
  const two = (value: number) => String(value).padStart(2, '0')
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
}

/** A value as people read it, cut where it is long. */
export function value(of: Value): string {
  if (of === null) return 'null'
  const text = of instanceof Uint8Array ? printableBytes(of) : typeof of === 'string' ? JSON.stringify(of) : String(of)
  return text.length <= 60 ? text : `${text.slice(0, 57)}…`
}

/** `id 5, part 2` */
export function key(of: PrintedKey): string {
  return Object.entries(of)
    .map(([name, part]) => `${name} ${value(part)}`)
    .join(', ')
}

/** Lines of a table whose columns are aligned: numbers to the right, the last column as long as it is. */
export function table(rows: readonly (readonly (string | number)[])[], header?: readonly string[]): string[] {
  const all = header === undefined ? rows : [header, ...rows]
  const width = (column: number) => Math.max(...all.map((row) => textOf(row[column]).length))
  const widths = (all[0] ?? []).map((_, column) => width(column))
  const right = widths.map((_, column) => rows.length > 0 && rows.every((row) => typeof row[column] === 'number'))
  return all.map((row) =>
    row
      .map((cell, column) =>
        right[column] ? textOf(cell).padStart(widths[column] ?? 0) : textOf(cell).padEnd(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  )
}

function textOf(cell: string | number | undefined): string {
  return typeof cell === 'number' ? count(cell) : (cell ?? '')
}
