/** `syncline history [sync]`: past runs. */
import { type Command, InvalidArgumentError } from 'commander'
import { checkChosen } from '../../config/expand.ts'
import type { RunRecord } from '../../core/run.ts'
import { runObject } from '../../protocol/objects.ts'
import { openProject } from '../project/open-project.ts'
import { exitCodes } from '../terminal/exit-code.ts'
import { duration, instant, table } from '../terminal/format.ts'
import { type Shell, show } from '../terminal/shell.ts'
import type { Execute } from './command.ts'

export function addHistory(program: Command, execute: Execute): void {
  program
    .command('history')
    .description('past runs, newest first, with what they did')
    .argument('[sync]', 'only this one; a pattern’s name means all it expands to')
    .option('-n, --limit <number>', 'how many runs', positive, 20)
    .addHelpText(
      'after',
      '\nWith --json, one object per run: run, sync, status, startedAt, durationMs, the counts, error, heldDeletes.',
    )
    .action((sync: string | undefined, options: { limit: number }) =>
      execute((shell) => history(shell, sync, options.limit)),
    )
}

async function history(shell: Shell, sync: string | undefined, limit: number): Promise<number> {
  await using opened = await openProject(shell, { readOnly: true })
  const runs = await opened.project.store.runs.list({ ...(sync === undefined ? {} : { sync }), limit })
  if (sync !== undefined && runs.length === 0 && (await opened.reach.find(sync)) === null)
    checkChosen(opened.config, [sync])
  for (const run of runs) show(shell, { event: 'history', ...runObject(run) }, () => {})
  if (shell.json) return exitCodes.fine
  if (runs.length === 0) shell.terminal.out(sync === undefined ? 'no runs yet' : `no runs of ${sync} yet`)
  else for (const line of table(runs.map(cells), header)) shell.terminal.out(line)
  for (const run of runs.filter(({ error }) => error !== null)) {
    shell.terminal.out(`\n${run.id}  ${run.error?.code}: ${run.error?.message}`)
    if (run.error?.hint !== null) shell.terminal.out(`  ${run.error?.hint}`)
  }
  return exitCodes.fine
}

const header = ['when', 'sync', 'status', 'took', 'read', 'inserted', 'updated', 'deleted', 'rejected', 'run']

function cells(run: RunRecord): (string | number)[] {
  const took = run.durationMs === null ? '' : duration(run.durationMs)
  return [
    instant(run.startedAt),
    run.sync,
    run.status,
    took,
    run.read,
    run.inserted,
    run.updated,
    run.deleted,
    run.rejected,
    run.id,
  ]
}

function positive(text: string): number {
  if (/^[1-9]\d*$/.test(text)) return Number(text)
  throw new InvalidArgumentError('a positive number is needed')
}
