/** `syncline dead-letters [sync…]`: rows that could not be written. */
import type { Command } from 'commander'
import { deadLetters } from '../engine/dead-letters.ts'
import { exitCodeOfError, exitCodes, worst } from './exit-code.ts'
import { key } from './format.ts'
import type { Execute } from './main.ts'
import { openProject } from './open-project.ts'
import { type Shell, show, showError } from './shell.ts'

export function addDeadLetters(program: Command, execute: Execute): void {
  program
    .command('dead-letters')
    .description('rows that could not be written, and why')
    .argument('[sync...]', 'their names (default: all)')
    .addHelpText(
      'after',
      `
They are kept by key and reason, without values, and tried again on every run: mend the row or the target, then
\`syncline run\`. With --json, one object per row: sync, key, code, message.`,
    )
    .action((syncs: string[]) => execute((shell) => list(shell, syncs)))
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
