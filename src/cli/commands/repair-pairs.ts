/** `syncline repair-pairs <sync>`: finds pairs again that the state has lost. */
import type { Command } from 'commander'
import { otherSide, sideNames } from '../../core/two-way.ts'
import { underLease } from '../../engine/runs/run-under-lease.ts'
import { type PairedBy, type PairRepair, repairPairs } from '../../engine/two-way/repair-pairs.ts'
import { openProject } from '../project/open-project.ts'
import { exitCodes } from '../terminal/exit-code.ts'
import { count, counted, key } from '../terminal/format.ts'
import { type Shell, show } from '../terminal/shell.ts'
import type { Execute } from './command.ts'
import { twoWaySync } from './conflicts.ts'

export function addRepairPairs(program: Command, execute: Execute): void {
  program
    .command('repair-pairs')
    .description(
      'find the pairs of a two-way sync again whose state was lost or is older; shows what it would do unless --yes',
    )
    .argument('<sync>', 'its name')
    .option('--by <what>', 'key, match, or fields of the sync: a,b (default: its match)')
    .option('--yes', 'do it')
    .addHelpText(
      'after',
      `
Rows without a pair become pairs where they have the same key, the same match, or the same values in these fields, and no
other row on either side has. Writes to the state alone, to no row. Afterwards nothing counts as agreed: \`plan\` shows what the next
run does. Rows that are equal stay so, fields that differ go by their rules with a conflict on record, and a row that
is missing on one side comes back or goes by onDeleteConflict.
With --json: sync, by, done, known (pairs in the state), lost (of these, without their row; by side), found,
alone (rows that stay without a pair; by side: rows, ambiguous, samples).`,
    )
    .action((sync: string, options: { by?: string; yes?: boolean }) =>
      execute((shell) => repair(shell, sync, options.by, options.yes === true)),
    )
}

async function repair(shell: Shell, name: string, said: string | undefined, apply: boolean): Promise<number> {
  await using opened = await openProject(shell, { readOnly: !apply })
  const { project } = opened
  await using _lock = apply ? await project.store.lock() : null
  const sync = await twoWaySync(opened, name)
  const by = pairedBy(said ?? 'match')
  const result = apply
    ? await underLease(sync, project, (lease, held) => repairPairs(sync, held, by, lease))
    : await repairPairs(sync, project, by, null)
  show(shell, { event: 'repair-pairs', sync: sync.id, by, done: apply, ...result }, () =>
    print(shell, sync.id, by, apply, result),
  )
  return exitCodes.fine
}

function pairedBy(said: string): PairedBy {
  return said === 'key' || said === 'match' ? said : said.split(',').map((field) => field.trim())
}

function print({ terminal }: Shell, sync: string, by: PairedBy, done: boolean, result: PairRepair): void {
  const spelled = typeof by === 'string' ? by : by.join(',')
  const { known, lost, found, alone } = result
  terminal.out(
    `${terminal.paint('bold', sync)}  ${counted(known, 'pair')} known, ${count(found)} ${done ? 'found' : 'would be found'} by ${spelled}`,
  )
  for (const side of sideNames) {
    if (lost[side] > 0) terminal.out(`  ${counted(lost[side], 'pair')} without a row on the ${side}`)
    const { rows, ambiguous, samples } = alone[side]
    if (rows === 0) continue
    const many =
      ambiguous === 0 ? '' : `, ${count(ambiguous)} of them because more than one row has the same ${spelled}`
    terminal.out(
      `  ${counted(rows, 'row')} on the ${side} without a counterpart, which the next run takes for new on the ${otherSide(side)}${many}:`,
    )
    for (const sample of samples) terminal.out(`    ${key(sample)}`)
    if (rows > samples.length) terminal.out(`    and ${count(rows - samples.length)} more`)
  }
  terminal.out(
    done
      ? `Nothing counts as agreed now. Look at it before you run: syncline plan ${sync}`
      : `Do it: syncline repair-pairs ${sync} --by ${spelled} --yes`,
  )
}
