/**
 * Bases: what each side reported when both last agreed, cell by cell. A cell is text: the value's one spelling, or a
 * 64-bit hash of it where the sync keeps hashes only. Equal cells mean equal values.
 */
import { parseKeyText, partSpelling } from './key-text.ts'
import type { Base } from './reconcile.ts'
import type { SideName, TwoWaySync } from './two-way.ts'
import { canonical, type Row, type Type, type Value } from './value.ts'

export type BaseMode = TwoWaySync['bases']

/** A cell that equals no value: the field counts as changed until it has been written. */
export const neverCell = '!'
/** A cell of a field that came to the sync later than the pair. */
export const unknownCell = '?'

const HASH_LENGTH = 8

/** The cells of one side's row. */
export function cellsOf(mode: BaseMode, types: readonly Type[], row: Row, width: number): string[] {
  const cells: string[] = []
  for (let at = 0; at < width; at++) cells.push(cellOf(mode, types[at] as Type, row[at] ?? null))
  return cells
}

export function cellOf(mode: BaseMode, type: Type, value: Value): string {
  const one = type === 'float' ? value : canonical(type, value)
  if (mode === 'values') return partSpelling(one)
  // The hash of a text's spelling, without spelling it.
  return (typeof one === 'string' ? hashQuoted(one) : null) ?? hash(partSpelling(one))
}

/** A cell of values as a cell of hashes. */
export function hashCell(cell: string): string {
  return cell === neverCell || cell === unknownCell ? cell : hash(cell)
}

/** A cell of hashes among cells of values: the value is not known, but whether another is the same. */
export function hashedCell(cell: string): string {
  if (cell === neverCell || cell === unknownCell) return cell
  return `#${Array.from(cell, (letter) => letter.charCodeAt(0).toString(16).padStart(2, '0')).join('')}`
}

/** A base as it is stored; one of hashes begins with `#`. */
export function encodeCells(mode: BaseMode, cells: readonly string[]): string {
  return mode === 'values' ? cells.join('\n') : `#${cells.map((cell) => cell.padEnd(HASH_LENGTH, '\0')).join('')}`
}

export function decodeCells(mode: BaseMode, text: string): string[] {
  if (mode === 'values') return text.split('\n')
  const cells: string[] = []
  for (let at = 1; at < text.length; at += HASH_LENGTH) {
    const cell = text.slice(at, at + HASH_LENGTH)
    cells.push(cell === NEVER_HASH ? neverCell : cell === UNKNOWN_HASH ? unknownCell : cell)
  }
  return cells
}

const NEVER_HASH = neverCell.padEnd(HASH_LENGTH, '\0')
const UNKNOWN_HASH = unknownCell.padEnd(HASH_LENGTH, '\0')

/** Both sides' cells as reconcile asks for them. */
export function baseOf(
  mode: BaseMode,
  cells: Readonly<Record<SideName, readonly string[]>>,
  types: Readonly<Record<SideName, readonly Type[]>>,
): Base {
  return {
    unchanged: (side, at, value) => {
      const cell = cells[side][at] ?? unknownCell
      if (cell === unknownCell) return null
      const type = types[side][at] as Type
      return cell.startsWith('#') && mode === 'values'
        ? cell === hashedCell(cellOf('hash', type, value))
        : cell === cellOf(mode, type, value)
    },
    value: (side, at) => {
      const cell = cells[side][at] ?? unknownCell
      if (mode === 'hash' || cell === unknownCell || cell === neverCell || cell.startsWith('#')) return null
      return parseKeyText(`[${cell}]`)[0] ?? null
    },
  }
}

/** 53 bits of a text as a whole number. */
export function hashNumber(text: string): number {
  const [a, b] = lanes(text)
  return (a >>> 0) + (b >>> 11) * 2 ** 32
}

/** 64 bits in eight characters below U+0100. */
function hash(text: string): string {
  const [a, b] = lanes(text)
  return eightCharacters(a, b)
}

const QUOTE = 34
const BACKSLASH = 92

/** `hash(JSON.stringify(text))`; null where JSON escapes more than quotes and backslashes, of which JSON texts are full. */
function hashQuoted(text: string): string | null {
  let a = Math.imul(SEED_A ^ QUOTE, PRIME_A)
  let b = Math.imul(SEED_B ^ QUOTE, PRIME_B)
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    if (unit < 32 || (unit & 0xf800) === 0xd800) return null
    if (unit === QUOTE || unit === BACKSLASH) {
      a = Math.imul(a ^ BACKSLASH, PRIME_A)
      b = Math.imul(b ^ BACKSLASH, PRIME_B)
    }
    a = Math.imul(a ^ unit, PRIME_A)
    b = Math.imul(b ^ unit, PRIME_B)
  }
  const [c, d] = finish(Math.imul(a ^ QUOTE, PRIME_A), Math.imul(b ^ QUOTE, PRIME_B))
  return eightCharacters(c, d)
}

const SEED_A = 0xdeadbeef
const SEED_B = 0x41c6ce57
const PRIME_A = 2654435761
const PRIME_B = 1597334677

/** Two mixed lanes, as in cyrb53 but with all their bits. */
function lanes(text: string): readonly [number, number] {
  let a = SEED_A
  let b = SEED_B
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    a = Math.imul(a ^ unit, PRIME_A)
    b = Math.imul(b ^ unit, PRIME_B)
  }
  return finish(a, b)
}

function finish(a: number, b: number): readonly [number, number] {
  const c = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909)
  return [c, Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(c ^ (c >>> 13), 3266489909)]
}

function eightCharacters(a: number, b: number): string {
  return String.fromCharCode(
    a >>> 24,
    (a >>> 16) & 255,
    (a >>> 8) & 255,
    a & 255,
    b >>> 24,
    (b >>> 16) & 255,
    (b >>> 8) & 255,
    b & 255,
  )
}
