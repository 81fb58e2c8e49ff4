/** How two-way plans, conflicts and writes look to people and in JSON. */

import { parseKeyText } from '../core/key-text.ts'
import type { Value } from '../core/value.ts'
import type { SideCounts, TwoWayPlan } from '../engine/two-way-plan.ts'
import type { ConflictField, ConflictRecord } from '../store/pairs.ts'
import { count, counted, key, value } from './format.ts'
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
  for (const { key: of, field, left, right, rule, outcome } of planned.conflictSamples) {
    const about = field === null ? 'the row' : field
    terminal.out(
      `  ${terminal.paint('yellow', 'conflict')} ${key(of)}  ${about}: left ${value(left)}, right ${value(right)}  (${rule} → ${outcome})`,
    )
  }
  for (const warning of planned.warnings) terminal.out(`  ${terminal.paint('yellow', 'warning')}: ${warning}`)
  if (planned.held)
    terminal.out(
      `  ${terminal.paint('yellow', 'held')}: the delete guard would hold ${counted(planned.deletes, 'deletion')} until you release the run`,
    )
  terminal.out(`  ${terminal.paint('dim', `reads: ${planned.reading}`)}`)
}

/** A conflict as JSON: one object per record. */
export function conflictObject(record: ConflictRecord): Record<string, unknown> {
  const { id, sync, kind, status, run, openedAt, closedAt } = record
  return {
    event: 'conflict',
    id: String(id),
    sync,
    kind,
    status,
    key: keysOf(record),
    fields: Object.fromEntries(Object.entries(record.fields).map(([name, field]) => [name, fieldObject(field)])),
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

/** The keys of both sides, each as its parts; of a match conflict, the match. */
function keysOf({ kind, left, right }: ConflictRecord): Record<string, readonly Value[] | Value> {
  const parts = (text: string | null) => {
    const parsed = text === null ? null : parseKeyText(text)
    return parsed === null ? null : parsed.length === 1 ? (parsed[0] ?? null) : parsed
  }
  return kind === 'match' ? { match: parts(left) } : { left: parts(left), right: parts(right) }
}

export function describeKeys(record: ConflictRecord): string {
  return Object.entries(keysOf(record))
    .filter(([, part]) => part !== null)
    .map(
      ([name, part]) =>
        `${name} ${Array.isArray(part) ? part.map((one) => value(one as Value)).join(', ') : value(part as Value)}`,
    )
    .join(', ')
}
