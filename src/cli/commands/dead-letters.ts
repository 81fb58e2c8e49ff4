/** `syncline dead-letters [sync…]`: rows that could not be written. */
import type { Command } from 'commander'
import { SyncError } from '../../core/error.ts'
import { deadLetters } from '../../engine/runs/dead-letters.ts'
import { openProject } from '../project/open-project.ts'
import { exitCodeOfError, exitCodes, worst } from '../terminal/exit-code.ts'
import { key } from '../terminal/format.ts'
import { type Shell, show, showError } from '../terminal/shell.ts'
import type { Execute } from './command.ts'
import { triggerAll } from './jobs.ts'

export function addDeadLetters(program: Command, execute: Execute): void {
  program
    .command('dead-letters')
    .description('rows that could not be written, and why')
    .argument('[sync...]', 'their names (default: all)')
    .option('--retry', 'puts a run of these syncs into the queue, which tries them again')
    .addHelpText(
      'after',
      `
They are kept by key and reason, without values, and tried again on every run: mend the row or the target, then
\`syncline run\`, or \`syncline dead-letters <sync> --retry\` where the service runs. With --json, one object per row:
sync, key, code, message.`,
    )
    .action((syncs: string[], { retry = false }: { retry?: boolean }) =>
      execute((shell) => (retry ? retryAll(shell, syncs) : list(shell, syncs))),
    )
}

/** There is no other way to try a row again than a run, which tries them all. */
async function retryAll(shell: Shell, names: readonly string[]): Promise<number> {
  if (names.length > 0) return await triggerAll(shell, names, 'default')
  throw new SyncError('USAGE_INVALID', '--retry needs the names of syncs', {
    hint: 'syncline dead-letters <sync> --retry',
  })
}

async function list(shell: Shell, names: readonly string[]): Promise<number> {
  await using opened = await openProject(shell, { readOnly: true })
  const { syncs, failures } = await opened.expand(names)
  const codes = failures.map(({ name: sync, error }) => exitCodeOfError(showError(shell, error, { sync })))
  let count = 0
  for (const sync of syncs) {
    try {
      for (const letter of await deadLetters(sync, opened.project)) {
        count++
        show(shell, { event: 'dead-letter', sync: sync.id, ...letter }, () =>
          shell.terminal.out(`${sync.id}  ${key(letter.key)}  ${letter.code}: ${letter.message}`),
        )
      }
    } catch (error) {
      codes.push(exitCodeOfError(showError(shell, error, { sync: sync.id })))
    }
  }
  if (count === 0 && codes.length === 0 && !shell.json) shell.terminal.out('no dead letters')
  return codes.length === 0 ? exitCodes.fine : worst(codes)
}
