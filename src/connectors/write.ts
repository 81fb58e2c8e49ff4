/**
 * What the SQL connectors share of conditional writing. Conditional writes of one transaction, one by one: a refused row does not take the others with it, and writes that
 * stand in each other's way (two rows that swap a unique value) succeed together.
 */
import { SyncError } from '../core/error.ts'
import { keyText, parseKeyText } from '../core/key-text.ts'
import { fieldNamed, type Schema } from '../core/schema.ts'
import type { Value } from '../core/value.ts'
import type { Write, WriteResult, WriterSpec } from './connector.ts'
import { parkedValue } from './park.ts'

/** What happened to one write. `taken`: another row has the value of these columns. */
export type Attempt =
  | WriteResult
  | { readonly status: 'taken'; readonly columns: readonly string[]; readonly message: string }

/** An update that another row's value stands in the way of. */
export interface Blocked {
  readonly write: Write & { readonly kind: 'update' }
  /** Its place among the writes. */
  readonly at: number
  readonly columns: readonly string[]
}

export interface Transaction {
  /** Tries one write; one that is refused leaves no trace. */
  attempt(write: Write, at: number): Promise<Attempt>
  /** Does all or nothing, values in the way first moved out of it; null: nothing. */
  swap(members: readonly Blocked[]): Promise<readonly WriteResult[] | null>
}

export async function applyOneByOne(writes: readonly Write[], transaction: Transaction): Promise<WriteResult[]> {
  const results: (WriteResult | null)[] = writes.map(() => null)
  let waiting = writes.map((write, at): Waiting => ({ write, at, columns: [], refusal: null }))
  // A write may be in the way of one before it: as long as some succeed, the others may.
  for (let progress = true; progress && waiting.length > 0; ) {
    const still: Waiting[] = []
    for (const { write, at } of waiting) {
      const result = await transaction.attempt(write, at)
      if (result.status === 'taken')
        still.push({ write, at, columns: result.columns, refusal: { code: 'VALUE_TAKEN', message: result.message } })
      else if (result.status === 'rejected' && result.code !== 'VALUE_REFUSED')
        still.push({ write, at, columns: [], refusal: result })
      else results[at] = result
    }
    progress = still.length < waiting.length
    waiting = still
  }
  const blocked = waiting.flatMap(({ write, at, columns }) =>
    write.kind === 'update' && columns.length > 0 ? [{ write, at, columns }] : [],
  )
  const swapped = blocked.length > 1 ? await transaction.swap(blocked) : null
  swapped?.forEach((result, i) => {
    results[(blocked[i] as Blocked).at] = result
  })
  for (const { at, refusal } of waiting) if (refusal !== null) results[at] ??= { status: 'rejected', ...refusal }
  return results.map((result) => result ?? { status: 'stale' })
}

/** A write that another of its batch may be in the way of. */
interface Waiting {
  readonly write: Write
  readonly at: number
  /** Whose values another row has. */
  readonly columns: readonly string[]
  readonly refusal: { readonly code: string; readonly message: string } | null
}

/** What a write is that the table takes without an error and does not keep. */
export function notKept({ kind }: Write): WriteResult {
  const what = kind === 'insert' ? 'row' : kind === 'update' ? 'change' : 'deletion'
  const message = `the table did not keep the ${what} (row-level security, a trigger or a rule?)`
  return { status: 'rejected', code: 'VALUE_REFUSED', message }
}

/** What a deletion is that would take along rows which are to stay. */
export function dependentsKept(collection: string): WriteResult {
  const message = `rows of ${collection} refer to it, and would go or change with it (ON DELETE); it waits until they are gone`
  return { status: 'rejected', code: 'DEPENDENTS_KEPT', message }
}

/** What a write is that a foreign key refused. */
export function refusedByReference({ kind }: Write, message: string): WriteResult {
  return { status: 'rejected', code: kind === 'delete' ? 'ROW_REFERENCED' : 'PARENT_MISSING', message }
}

/** The swap of SQL systems: values are parked where no row has them, then written. */
export async function swapParked(
  members: readonly Blocked[],
  schema: Schema,
  random: () => number,
  attempt: (write: Write) => Promise<Attempt>,
): Promise<readonly WriteResult[] | null> {
  for (const { write, columns } of members) {
    const fields = parkedFields(write, columns, schema, random)
    if (fields === null || (await attempt({ ...write, fields })).status !== 'written') return null
  }
  const results: WriteResult[] = []
  for (const { write, columns } of members) {
    const result = await attempt(unparked(write, columns))
    if (result.status !== 'written') return null
    results.push(result)
  }
  return results
}

function parkedFields(
  write: Blocked['write'],
  columns: readonly string[],
  schema: Schema,
  random: () => number,
): Record<string, Value> | null {
  const fields: [string, Value][] = []
  for (const name of columns.filter((column) => Object.hasOwn(write.fields, column))) {
    const field = fieldNamed(schema, name)
    const parked = parkedValue(field, random())
    if (parked === undefined) return null
    fields.push([name, parked])
  }
  return fields.length === 0 ? null : Object.fromEntries(fields)
}

/** The parked columns were compared when they were parked, and hold something else now. */
function unparked(write: Blocked['write'], columns: readonly string[]): Write {
  const expected = Object.fromEntries(Object.entries(write.expected).filter(([name]) => !columns.includes(name)))
  return { ...write, expected }
}

export function leaseLost({ name }: WriterSpec): SyncError {
  return new SyncError('LEASE_LOST', `another process took over ${name}; this one writes nothing more`, {
    hint: 'Nothing is lost: the other process goes on.',
  })
}

/** Results as they are kept beside the rows. */
export function encodeResults(results: readonly WriteResult[]): string {
  return JSON.stringify(
    results.map((result) =>
      result.status === 'written' ? { ...result, row: result.row === null ? null : keyText(result.row) } : result,
    ),
  )
}

/** Our own JSON, written in the transaction of the rows. */
export function decodeResults(text: string): WriteResult[] {
  type Stored = Exclude<WriteResult, { status: 'written' }> | { status: 'written'; row: string | null }
  return (JSON.parse(text) as Stored[]).map((result) =>
    result.status === 'written' ? { ...result, row: result.row === null ? null : parseKeyText(result.row) } : result,
  )
}
