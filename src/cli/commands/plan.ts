/** `syncline plan [sync…]`: what a run would change. */
import type { Command } from 'commander'
import { describeChange, isDrift } from '../../core/schema.ts'
import { isTwoWay } from '../../core/two-way.ts'
import { type Plan, planSync, type Sample } from '../../engine/one-way/plan.ts'
import { planTwoWay } from '../../engine/two-way/plan.ts'
import { expandTold, strictOption } from '../project/left-out.ts'
import { openProject } from '../project/open-project.ts'
import { exitCodeOfError, exitCodes, worst } from '../terminal/exit-code.ts'
import { count, counted, key, value } from '../terminal/format.ts'
import { type Shell, show, showError } from '../terminal/shell.ts'
import { showTwoWayPlan } from '../terminal/two-way-format.ts'
import type { Execute } from './command.ts'

export function addPlan(program: Command, execute: Execute): void {
  program
    .command('plan')
    .description('what a run would change, with samples; writes nothing')
    .argument('[sync...]', 'their names (default: all)')
    .option(...strictOption)
    .addHelpText(
      'after',
      `
Compares both sides in full, and shows rows to insert, update and delete, schema changes, how the next run will read
the source, and whether the delete guard would hold it.
With --json, one object per sync: sync, inserts, updates, deletes, schema, samples, reading, held. Of a two-way sync
also left and right (the counts of each side), pairs, conflicts, conflictSamples, warnings; its samples have side and reason.`,
    )
    .action((syncs: string[], { strict }: { strict?: boolean }) =>
      execute((shell) => plan(shell, syncs, strict === true)),
    )
}

async function plan(shell: Shell, names: readonly string[], strict: boolean): Promise<number> {
  await using opened = await openProject(shell, { readOnly: true })
  const { syncs, failures } = await expandTold(opened, names, shell, strict)
  const codes = failures.map(({ name: sync, error }) => exitCodeOfError(showError(shell, error, { sync })))
  for (const sync of syncs) {
    try {
      if (isTwoWay(sync)) showTwoWayPlan(shell, await planTwoWay(sync, opened.project))
      else {
        const planned = await planSync(sync, opened.project)
        show(shell, objectOf(planned), () => print(shell, planned))
      }
    } catch (error) {
      codes.push(exitCodeOfError(showError(shell, error, { sync: sync.id })))
    }
  }
  return codes.length === 0 ? exitCodes.fine : worst(codes)
}

function objectOf(planned: Plan): Record<string, unknown> {
  const { sync, inserts, updates, deletes, schema, samples, ...rest } = planned
  const changes = schema.map((change) => ({ ...change, description: describeChange(change) }))
  return { event: 'plan', sync, inserts, updates, deletes, schema: changes, samples, ...rest }
}

function print(shell: Shell, planned: Plan): void {
  const { terminal } = shell
  const { inserts, updates, deletes, rejected } = planned
  const rows = [
    inserts > 0 ? `insert ${count(inserts)}` : '',
    updates > 0 ? `update ${count(updates)}` : '',
    deletes > 0 ? `delete ${count(deletes)}` : '',
    rejected > 0 ? `${terminal.paint('yellow', 'reject')} ${count(rejected)}` : '',
  ].filter((part) => part !== '')
  const what = rows.length > 0 ? rows.join(', ') : planned.schema.length > 0 ? 'no rows' : 'nothing to do'
  terminal.out(`${terminal.paint('bold', planned.sync)}  ${what}`)
  for (const change of planned.schema) terminal.out(`  schema: ${describeChange(change)}`)
  for (const sample of planned.samples) terminal.out(`  ${describeSample(sample)}`)
  if (rejected > 0)
    terminal.out(
      `  ${counted(rejected, 'row')} can't be read or would be refused: a run tells why (syncline dead-letters)`,
    )
  if (planned.schema.some(isDrift))
    terminal.out(`  ${terminal.paint('yellow', 'held')}: the target can't follow this change of the schema by itself`)
  else if (planned.held) {
    terminal.out(
      `  ${terminal.paint('yellow', 'held')}: the delete guard would hold ${counted(deletes, 'deletion')} until you release the run`,
    )
  }
  terminal.out(`  ${terminal.paint('dim', `reads: ${planned.reading}`)}`)
}

function describeSample(sample: Sample): string {
  const fields = Object.entries(sample.fields).filter(([name]) => !Object.hasOwn(sample.key, name))
  const shown = fields.slice(0, 6).map(([name, { from, to }]) => {
    return sample.kind === 'update'
      ? `${name}: ${value(from)} → ${value(to)}`
      : `${name}: ${value(sample.kind === 'insert' ? to : from)}`
  })
  const more = fields.length > shown.length ? [`${fields.length - shown.length} more`] : []
  return `${sample.kind} ${key(sample.key)}  ${[...shown, ...more].join(', ')}`.trimEnd()
}
