/** `syncline reset <sync>`: forgets how far a sync has been read. */
import type { Command } from 'commander'
import { resetSync } from '../engine/worker.ts'
import { exitCodeOfError, exitCodes, worst } from './exit-code.ts'
import type { Execute } from './main.ts'
import { openProject } from './open-project.ts'
import { type Shell, show, showError } from './shell.ts'

export function addReset(program: Command, execute: Execute): void {
  program
    .command('reset')
    .description('forget how far a sync has been read: its next run compares everything')
    .argument('<sync>', 'its name; a pattern’s name means all it expands to')
    .option('--drop', 'also drop the target table; the next run makes it anew')
    .action((sync: string, options: { drop?: boolean }) =>
      execute((shell) => reset(shell, sync, options.drop === true)),
    )
}

async function reset(shell: Shell, name: string, drop: boolean): Promise<number> {
  await using opened = await openProject(shell, { readOnly: false })
  await using _lock = await opened.project.store.lock()
  const { syncs, failures } = await opened.expand([name])
  const codes = failures.map(({ name: sync, error }) => exitCodeOfError(showError(shell, error, { sync })))
  for (const sync of syncs) {
    try {
      await resetSync(sync, opened.project, { drop })
    } catch (error) {
      codes.push(exitCodeOfError(showError(shell, error, { sync: sync.id })))
      continue
    }
    show(shell, { event: 'reset', sync: sync.id, dropped: drop }, () => {
      const table = `${sync.to.connection}.${sync.to.collection}`
      shell.terminal.out(`${sync.id} is reset${drop ? `, ${table} is dropped` : ''}; its next run compares everything`)
    })
  }
  return codes.length === 0 ? exitCodes.fine : worst(codes)
}
