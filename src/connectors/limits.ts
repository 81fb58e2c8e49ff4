/** What a system can't hold, asked before anything is made. Each SQL connector says its own in its `limits.ts`. */
import { createHash } from 'node:crypto'
import { SyncError } from '../core/error.ts'
import type { TargetSpec } from './connector.ts'

export interface Limits {
  /** As people know it. */
  readonly system: string
  /** Of a name, in UTF-8; what is longer the system cuts, or refuses. Null: any length. */
  readonly nameBytes: number | null
  readonly columns: number
  readonly keyColumns: number
  /** Of a row, as it is read: a larger one is rejected by its key. Connections may say less (`maxRowBytes`). */
  readonly rowBytes: number
  /** Columns that every table has, in the system's spelling. */
  readonly reservedColumns: readonly string[]
  /** Tables that the system keeps for itself. */
  readonly reservedTables: RegExp | null
  /** Whether it takes names for one that differ in the case of ASCII letters. */
  readonly foldsCase: boolean
}

/** The list of an adopted table's keys has a column of its own beside them. */
const LIST_COLUMN = '_written'

/** CONFIG_INVALID where the target's system could not make the table, or would make another than was asked for. */
export function refuseBeyondLimits(spec: TargetSpec, table: readonly string[], limits: Limits): void {
  const { sync, collection, schema } = spec
  const refuse = (what: string, hint: string) => {
    throw new SyncError('CONFIG_INVALID', `sync ${sync}: ${what}`, { hint })
  }
  const fields = schema.fields.map(({ name }) => name)
  const rename = `List the fields with \`fields\`, and give this one another name there: { short_name: '<field of the source>' }.`
  const { system, nameBytes, columns, keyColumns, reservedColumns, reservedTables, foldsCase } = limits
  if (nameBytes !== null) {
    const tooLong = (name: string) => Buffer.byteLength(name) > nameBytes
    const than = `is longer than the ${nameBytes} bytes that a name may have in ${system}`
    if (table.some(tooLong)) refuse(`the target's name ${collection} ${than}`, 'Choose a shorter one with `to`.')
    const field = fields.find(tooLong)
    if (field !== undefined) refuse(`column ${field} of ${collection} ${than}`, rename)
  }
  if (reservedTables?.test(table.at(-1) ?? '') === true)
    refuse(`${system} keeps tables with names like ${collection} for itself`, 'Choose another name with `to`.')
  const reserved = fields.find((name) => reservedColumns.includes(name))
  if (reserved !== undefined)
    refuse(`column ${reserved} of ${collection} has the name of a column that every table of ${system} has`, rename)
  if (spec.adopt && schema.key.includes(LIST_COLUMN))
    refuse(`key column ${LIST_COLUMN} of ${collection} has a name that Syncline needs beside an adopted table`, rename)
  const twin = foldsCase ? firstTwin(fields) : null
  if (twin !== null) refuse(`${system} takes columns ${twin[0]} and ${twin[1]} of ${collection} for one`, rename)
  const all = fields.length + (spec.deletes === 'mark' ? 1 : 0)
  const few = 'List fewer fields with `fields`, or split the sync in two.'
  if (all > columns)
    refuse(`${collection} would have ${all} columns, and a table of ${system} has at most ${columns}`, few)
  if (schema.key.length > keyColumns)
    refuse(
      `the key of ${collection} has ${schema.key.length} columns, and one of ${system} has at most ${keyColumns}`,
      'Choose a shorter `key`.',
    )
}

/** What the runtime could not hold as one text, as VALUE_REFUSED; anything else unchanged. */
export function tooLong(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const isTooLong =
    (error instanceof RangeError && error.message === 'Invalid string length') ||
    ('code' in error && error.code === 'ERR_STRING_TOO_LONG')
  return isTooLong ? rowTooLarge(error) : error
}

export function rowTooLarge(cause?: Error): SyncError {
  return new SyncError('VALUE_REFUSED', 'the row is too large: as text it is longer than the runtime can hold', {
    hint: 'Leave the large field out with `fields`, or shorten its value at the source.',
    ...(cause === undefined ? {} : { cause }),
  })
}

function firstTwin(names: readonly string[]): readonly [string, string] | null {
  const seen = new Map<string, string>()
  for (const name of names) {
    const folded = name.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
    const before = seen.get(folded)
    if (before !== undefined) return [before, name]
    seen.set(folded, name)
  }
  return null
}

/** A name of our own for something of a table. Where the system would cut it, a hash of the whole stands for its end. */
export function ownName(prefix: string, name: string, { nameBytes }: Limits): string {
  const whole = `${prefix}${name}`
  if (nameBytes === null || Buffer.byteLength(whole) <= nameBytes) return whole
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 20)
  let kept = name
  while (Buffer.byteLength(`${prefix}${kept}_${hash}`) > nameBytes) kept = [...kept].slice(0, -1).join('')
  return `${prefix}${kept}_${hash}`
}
