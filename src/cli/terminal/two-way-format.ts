/** How two-way plans, conflicts and writes look to people and in JSON. */
import { parseKeyText } from '../../core/key-text.ts'
import { otherSide, sideNames } from '../../core/two-way.ts'
import { type KeyNames, keysOf } from '../../engine/two-way/conflict-object.ts'
import type { ConflictSample, SideCounts, TwoWayPlan } from '../../engine/two-way/plan.ts'
import type { ConflictRecord } from '../../store/pairs.ts'
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

export function describeKeys(record: ConflictRecord, names: KeyNames): string {
  if (record.kind === 'match')
    return `match ${parseKeyText(record.left ?? '[]')
      .map(value)
      .join(', ')}`
  const keys = keysOf(record, names)
  return sideNames.flatMap((side) => (keys[side] === null ? [] : [`${side} ${key(keys[side])}`])).join(', ')
}
