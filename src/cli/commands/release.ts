/** `syncline release <run>`: lets a held run's deletions go on. */
import type { Command } from 'commander'
import { systemClock } from '../../engine/clock.ts'
import { trigger } from '../../engine/queue/service.ts'
import { openProject } from '../project/open-project.ts'
import { exitCodes } from '../terminal/exit-code.ts'
import { counted } from '../terminal/format.ts'
import { type Shell, show } from '../terminal/shell.ts'
import type { Execute } from './command.ts'

export function addRelease(program: Command, execute: Execute): void {
  program
    .command('release')
    .description('let the deletions of a held run go on')
    .argument('<run>', 'its id, as `run`, `status` and `history` print it')
    .addHelpText(
      'after',
      `
Only records the decision: the next run of the sync deletes, at most as many rows as were held. A watch that is
running picks it up by itself.`,
    )
    .action((run: string) => execute((shell) => release(shell, run)))
}

async function release(shell: Shell, id: string): Promise<number> {
  await using opened = await openProject(shell, { readOnly: false })
  const run = await opened.project.store.runs.release(id, systemClock.now())
  const allowed = run.heldDeletes ?? 0
  // A service that is running goes on at once.
  if ((await opened.project.store.schedules.get(run.sync)) !== null)
    await trigger(opened.project.store, systemClock, run.sync, 'high')
  show(shell, { event: 'release', sync: run.sync, run: run.id, heldDeletes: allowed }, () => {
    const rows = counted(allowed, 'row')
    shell.terminal.out(
      `Released: the next run of ${run.sync} may delete up to ${rows}. Go on with: syncline run ${run.sync}`,
    )
  })
  return exitCodes.fine
}
