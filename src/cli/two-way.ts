/** How two-way plans, conflicts and writes look to people and in JSON. */

import { parseKeyText } from '../core/key-text.ts'
import type { PrintedKey } from '../core/run.ts'
import { otherSide, type SideName, sideNames } from '../core/two-way.ts'
import type { Value } from '../core/value.ts'
import type { ConflictSample, SideCounts, TwoWayPlan } from '../engine/two-way-plan.ts'
import type { ConflictField, ConflictRecord, Layout, MatchedRow } from '../store/pairs.ts'
import { count, counted, key, value } from './format.ts'
import type { OpenProject } from './open-project.ts'
import { type Shell, show } from './shell.ts'

export function showTwoWayPlan(shell: Shell, planned: TwoWayPlan): void {
  show(shell, { event: 'plan', ...planned }, () => printPlan(shell, planned))
}

function printPlan({ terminal }: Shell, planned: TwoWayPlan): void {
  const side = (name: string, { inserts, updates, deletes }: SideCounts) => {
    const parts = [
      inserts > 0 ? `insert ${count(inserts)}` : '',
      updates > 0 ? `update ${count(updates)}` : '',
      deletes > 0 ? `delete ${count(deletes)}` : '',
    ].filter((part) => part !== '')
    return parts.length === 0 ? '' : `${name}: ${parts.join(', ')}`
  }
  const parts = [
    side('left', planned.left),
    side('right', planned.right),
    planned.pairs > 0 ? `pair ${count(planned.pairs)}` : '',
    planned.conflicts > 0 ? counted(planned.conflicts, 'conflict') : '',
  ].filter((part) => part !== '')
  terminal.out(`${terminal.paint('bold', planned.sync)}  ${parts.join('; ') || 'nothing to do'}`)
  for (const sample of planned.samples) {
    const fields = Object.entries(sample.fields)
      .slice(0, 6)
      .map(([name, { from, to }]) =>
        sample.kind === 'update'
          ? `${name}: ${value(from)} → ${value(to)}`
          : `${name}: ${value(sample.kind === 'insert' ? to : from)}`,
      )
    terminal.out(
      `  ${sample.side}: ${sample.kind} ${key(sample.key)}  ${fields.join(', ')}  ${terminal.paint('dim', `(${sample.reason})`)}`,
    )
  }
  for (const sample of planned.conflictSamples) {
    const { key: of, rule, outcome } = sample
    terminal.out(
      `  ${terminal.paint('yellow', 'conflict')} ${key(of)}  ${describeSample(sample)}  (${rule} → ${outcome})`,
    )
  }
  for (const warning of planned.warnings) terminal.out(`  ${terminal.paint('yellow', 'warning')}: ${warning}`)
  if (planned.held)
    terminal.out(
      `  ${terminal.paint('yellow', 'held')}: the delete guard would hold ${counted(planned.deletes, 'deletion')} until you release the run`,
    )
  terminal.out(`  ${terminal.paint('dim', `reads: ${planned.reading}`)}`)
}

function describeSample({ field, left, right, row }: ConflictSample): string {
  if (row === null) return `${field ?? 'the match'}: left ${value(left)}, right ${value(right)}`
  const changes = Object.entries(row.changed).map(([name, { base, now }]) =>
    base === null ? `${name}: ${value(now)}` : `${name}: ${value(base)} → ${value(now)}`,
  )
  return `${row.deleted} deleted it, ${otherSide(row.deleted)} changed ${changes.join(', ')}`
}

export type KeyNames = Layout['keys']

/** How the key fields of a sync's sides are called, as its last run found them. */
export async function keyNames({ project }: OpenProject, sync: string): Promise<KeyNames> {
  await using memory = await project.store.pairs.open(sync, { readOnly: true })
  return (await memory.state()).layouts.at(-1)?.keys ?? { left: [], right: [] }
}

/** A conflict as JSON: one object per record. */
export function conflictObject(record: ConflictRecord, names: KeyNames): Record<string, unknown> {
  const { id, sync, kind, status, run, openedAt, closedAt } = record
  return {
    event: 'conflict',
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
function printed(names: readonly string[], text: string): PrintedKey {
  const parts = parseKeyText(text)
  // Of a sync that was reset, only the values are known.
  const nameAt = (at: number) => names[at] ?? (parts.length === 1 ? 'key' : `key${at + 1}`)
  return Object.fromEntries(parts.map((part, at) => [nameAt(at), part]))
}

/** The row's key on each side; null where that has none. A match is not about one row. */
function keysOf({ kind, left, right }: ConflictRecord, names: KeyNames): Record<SideName, PrintedKey | null> {
  const of = (side: SideName, text: string | null) =>
    text === null || kind === 'match' ? null : printed(names[side], text)
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
      key: printed(names[side], of),
      match: Object.fromEntries(
        Object.entries(match).map(([name, spelled]) => [name, parseKeyText(spelled)[0] ?? null]),
      ),
    }))
  return { left: rowsOf('left', left), right: rowsOf('right', right) }
}

export function describeKeys(record: ConflictRecord, names: KeyNames): string {
  if (record.kind === 'match')
    return `match ${parseKeyText(record.left ?? '[]')
      .map(value)
      .join(', ')}`
  const keys = keysOf(record, names)
  return sideNames.flatMap((side) => (keys[side] === null ? [] : [`${side} ${key(keys[side])}`])).join(', ')
}
