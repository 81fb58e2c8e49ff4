/** `syncline reset <sync>`: forgets how far a sync has been read. */
import type { Command } from 'commander'
import { SyncError } from '../../core/error.ts'
import { type AnySync, isTwoWay, placesOf } from '../../core/two-way.ts'
import { resetSync } from '../../engine/runs/run-sync.ts'
import { underLease } from '../../engine/runs/run-under-lease.ts'
import { openProject } from '../project/open-project.ts'
import { exitCodeOfError, exitCodes, worst } from '../terminal/exit-code.ts'
import { type Shell, show, showError } from '../terminal/shell.ts'
import type { Execute } from './command.ts'

export function addReset(program: Command, execute: Execute): void {
  program
    .command('reset')
    .description('forget how far a sync has been read: its next run compares everything')
    .argument('<sync>', 'its name; a pattern’s name means all it expands to')
    .option('--drop', 'also drop the target table; the next run makes it anew')
    .option(
      '--keep-pairs',
      'of a two-way sync: keep which rows belong together, forget only what was agreed about them',
    )
    .action((sync: string, options: { drop?: boolean; keepPairs?: boolean }) =>
      execute((shell) => reset(shell, sync, options.drop === true, options.keepPairs === true)),
    )
}

async function reset(shell: Shell, name: string, drop: boolean, keepPairs: boolean): Promise<number> {
  await using opened = await openProject(shell, { readOnly: false })
  await using _lock = await opened.project.store.lock()
  const { syncs, failures } = await opened.expand([name])
  const codes = failures.map(({ name: sync, error }) => exitCodeOfError(showError(shell, error, { sync })))
  for (const sync of syncs) {
    try {
      if (drop && isTwoWay(sync))
        throw new SyncError('CONFIG_INVALID', `sync ${sync.id} is two-way: its tables are not its own to drop`, {
          hint: 'Leave --drop out: then only what Syncline remembers of the pairs is forgotten.',
        })
      if (keepPairs && !isTwoWay(sync))
        throw new SyncError('CONFIG_INVALID', `sync ${sync.id} is one-way: it has no pairs to keep`, {
          hint: 'Leave --keep-pairs out.',
        })
      await underLease(sync, opened.project, (_, project) => resetSync(sync, project, { drop, keepPairs }))
    } catch (error) {
      codes.push(exitCodeOfError(showError(shell, error, { sync: sync.id })))
      continue
    }
    const warning = doubles(sync, keepPairs) ? { warning: doubling(sync.id) } : {}
    show(shell, { event: 'reset', sync: sync.id, dropped: drop, ...warning }, () => {
      const [, target] = placesOf(sync)
      const dropped = drop ? `, ${target.connection}.${target.collection} is dropped` : ''
      const next =
        isTwoWay(sync) && !keepPairs ? 'its next run pairs all rows anew' : 'its next run compares everything'
      shell.terminal.out(`${sync.id} is reset${dropped}; ${next}`)
      if (warning.warning !== undefined)
        shell.terminal.out(`  ${shell.terminal.paint('yellow', 'warning')}: ${warning.warning}`)
    })
  }
  return codes.length === 0 ? exitCodes.fine : worst(codes)
}

/** Whether nothing is left that tells which rows belong together. */
function doubles(sync: AnySync, keepPairs: boolean): boolean {
  return isTwoWay(sync) && !keepPairs && sync.match.length === 0
}

function doubling(sync: string): string {
  return `the sync has no \`match\`: its next run takes all rows of both sides for new ones, and inserts them on the other side. Find the pairs before it: syncline repair-pairs ${sync} --by key, or by fields (\`reset --keep-pairs\` keeps the pairs)`
}
