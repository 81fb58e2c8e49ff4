/** A conflict as JSON: what the command line prints with --json and the API answers. */
import { parseKeyText } from '../../core/key-text.ts'
import type { PrintedKey } from '../../core/run.ts'
import type { SideName } from '../../core/two-way.ts'
import type { Value } from '../../core/value.ts'
import type { ConflictField, ConflictRecord, Layout, MatchedRow, PairStore } from '../../store/pairs.ts'

export type KeyNames = Layout['keys']

/** How the key fields of a sync's sides are called, as its last run found them. */
export async function keyNames(pairs: PairStore, sync: string): Promise<KeyNames> {
  await using memory = await pairs.read(sync)
  return (await memory.state()).layouts.at(-1)?.keys ?? { left: [], right: [] }
}

/** A conflict as JSON: one object per record. */
export function conflictObject(record: ConflictRecord, names: KeyNames): Record<string, unknown> {
  const { id, sync, kind, status, run, openedAt, closedAt } = record
  return {
    id: String(id),
    sync,
    kind,
    status,
    key: keysOf(record, names),
    fields:
      kind === 'match'
        ? {}
        : Object.fromEntries(Object.entries(record.fields).map(([name, field]) => [name, fieldObject(field)])),
    ...(kind === 'match' ? { rows: matchedRows(record, names) } : {}),
    run,
    openedAt: new Date(openedAt).toISOString(),
    closedAt: closedAt === null ? null : new Date(closedAt).toISOString(),
  }
}

function fieldObject(field: ConflictField): Record<string, unknown> {
  const [base = null, left = null, right = null] = parseKeyText(field.values)
  const take =
    field.take === undefined
      ? {}
      : { take: 'side' in field.take ? field.take.side : { set: parseKeyText(field.take.set)[0] } }
  const note = field.note === undefined ? {} : { note: field.note }
  return { base, left, right, rule: field.rule, outcome: field.outcome, status: field.status, ...take, ...note }
}

/** A key in JSON: `{column: value}`. */
export function printedKey(names: readonly string[], text: string): PrintedKey {
  const parts = parseKeyText(text)
  // Of a sync that was reset, only the values are known.
  const nameAt = (at: number) => names[at] ?? (parts.length === 1 ? 'key' : `key${at + 1}`)
  return Object.fromEntries(parts.map((part, at) => [nameAt(at), part]))
}

/** The row's key on each side; null where that has none. A match is not about one row. */
export function keysOf({ kind, left, right }: ConflictRecord, names: KeyNames): Record<SideName, PrintedKey | null> {
  const of = (side: SideName, text: string | null) =>
    text === null || kind === 'match' ? null : printedKey(names[side], text)
  return { left: of('left', left), right: of('right', right) }
}

interface PrintedRow {
  readonly key: PrintedKey
  readonly match: Readonly<Record<string, Value>>
}

/** The rows whose match is not unique. */
export function matchedRows({ fields }: ConflictRecord, names: KeyNames): Record<SideName, readonly PrintedRow[]> {
  const [, left, right] = parseKeyText(Object.values(fields)[0]?.values ?? '[null,"[]","[]"]')
  const rowsOf = (side: SideName, text: Value | undefined): PrintedRow[] =>
    (JSON.parse(String(text)) as MatchedRow[]).map(([of, match]) => ({
      key: printedKey(names[side], of),
      match: Object.fromEntries(
        Object.entries(match).map(([name, spelled]) => [name, parseKeyText(spelled)[0] ?? null]),
      ),
    }))
  return { left: rowsOf('left', left), right: rowsOf('right', right) }
}
