/** Values of several writes as columns of one statement. */
import { SyncError } from '../../core/error.ts'
import { type Field, fieldNamed, type Schema } from '../../core/schema.ts'
import type { Value } from '../../core/value.ts'
import { rowTooLarge } from '../limits.ts'
import { limits } from './limits.ts'
import { toText } from './types.ts'

/** The relation of these values: no table of anybody has its name. */
export const GIVEN = '_syncline_given'

/** Values of a group as columns of text, cast where they are used. */
export class Columns {
  readonly arrays: (string | null)[][] = []
  /** Conditions that a column keeps its value as it is, and the column. */
  readonly keeping: { readonly field: Field; readonly sql: string }[] = []
  readonly #schema: Schema
  /** Names of columns of composite types with members that round. */
  readonly #rounding: readonly string[]

  constructor(schema: Schema, rounding: readonly string[] = []) {
    this.#schema = schema
    this.#rounding = rounding
  }

  /** The expression of the new column in the statement. */
  add(name: string, values: readonly Value[]): string {
    const field = fieldNamed(this.#schema, name)
    const texts = values.map((value) => (value === null ? null : toText(field, value)))
    this.#refuseTooLong(texts)
    this.arrays.push(texts)
    return `${GIVEN}.c${this.arrays.length}::${field.native}`
  }

  /**
   * The expression of a value that a column gets. It is cast to the type without its limits: a cast to `varchar(3)` cuts, an assignment
   * refuses. Numbers and times are rounded by an assignment, too, and have a condition of their own.
   */
  assign(name: string, values: readonly Value[]): string {
    const field = fieldNamed(this.#schema, name)
    const loose = withoutLimits(field.native)
    if (loose === field.native) {
      const value = this.add(name, values)
      if (this.#rounding.includes(name))
        this.keeping.push({ field, sql: sameDigits(`(${value})::text`, `${GIVEN}.c${this.arrays.length}`) })
      return value
    }
    this.add(name, values)
    const value = `${GIVEN}.c${this.arrays.length}::${loose}`
    if (rounds(field)) this.keeping.push({ field, sql: keepsValue(field, value) })
    return value
  }

  /** The driver makes one text of a column's values, where quotes and backslashes take two characters. */
  #refuseTooLong(texts: readonly (string | null)[]): void {
    let characters = 0
    for (const text of texts) characters += text?.length ?? 0
    if (2 * characters > limits.rowBytes) throw rowTooLarge()
  }

  get kept(): readonly string[] {
    return this.keeping.map(({ sql }) => sql)
  }

  get source(): string {
    const names = this.arrays.map((_, at) => `c${at + 1}`)
    return `unnest(${names.map((_, at) => `$${at + 1}::text[]`).join(', ')}) WITH ORDINALITY AS ${GIVEN}(${[...names, 'ord'].join(', ')})`
  }
}

/**
 * That a value is spelled as it was given, but for zeros at the end of its decimals. There is no type that a composite could be read as
 * first, so that its members would not round.
 */
function sameDigits(stored: string, given: string): string {
  const plain = (text: string) =>
    `regexp_replace(regexp_replace(${text}, '(\\.[0-9]*[1-9])0+(?![0-9])', '\\1', 'g'), '\\.0+(?![0-9])', '', 'g')`
  return `${plain(stored)} IS NOT DISTINCT FROM ${plain(given)}`
}

/** Whether the column rounds numbers or times: an assignment does, too, and asks nobody. */
export function rounds({ native }: Field): boolean {
  const loose = withoutLimits(native)
  return loose !== native && /^(numeric|time|interval)/.test(loose)
}

/** What a value is that the column would round. */
export function roundsValue({ name, native }: Field): SyncError {
  return new SyncError('VALUE_REFUSED', `column ${name} (${native}) would round the value`)
}

/** The condition that a value, given in the type without its limits, would be stored as it is. */
export function keepsValue({ native }: Field, value: string): string {
  return `(${value})::${native} IS NOT DISTINCT FROM ${value}`
}

/** A type without length, precision and scale. Without them `character` and `bit` would mean a length of one. */
export function withoutLimits(native: string): string {
  if (native.startsWith('"')) return native
  return native
    .replace(/^interval [a-z ]+/, 'interval')
    .replace(/\([^")]*\)/, '')
    .replace(/^character(?! varying)/, 'bpchar')
    .replace(/^bit(?! varying)/, 'bit varying')
}
