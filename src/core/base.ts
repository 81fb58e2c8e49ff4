/**
 * Bases: what each side reported when both last agreed, cell by cell. A cell is text: the value's one spelling, or a
 * 64-bit hash of it where the sync keeps hashes only. Equal cells mean equal values.
 */
import { keyText, parseKeyText } from './key-text.ts'
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
  const spelled = spell(type, value)
  return mode === 'values' ? spelled : hash(spelled)
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

/** One spelling per meaning. A float's −0 is not 0. */
function spell(type: Type, value: Value): string {
  if (value === null) return 'null'
  if (type === 'text' && typeof value === 'string') return JSON.stringify(value)
  return keyText([type === 'float' ? value : canonical(type, value)]).slice(1, -1)
}

/** 64 bits in eight characters below U+0100: two mixed lanes, as in cyrb53 but with all their bits. */
function hash(text: string): string {
  let a = 0xdeadbeef
  let b = 0x41c6ce57
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    a = Math.imul(a ^ unit, 2654435761)
    b = Math.imul(b ^ unit, 1597334677)
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909)
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909)
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
