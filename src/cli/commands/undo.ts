/** `syncline undo <run>`: takes a run's writes back. */
import type { Command } from 'commander'
import { SyncError } from '../../core/error.ts'
import { zeroCounts } from '../../core/run.ts'
import type { TwoWaySync } from '../../core/two-way.ts'
import { newRunId } from '../../engine/observe/run-events.ts'
import type { Project } from '../../engine/project.ts'
import { underLease } from '../../engine/runs/run-under-lease.ts'
import { type Undone, undoRun } from '../../engine/two-way/undo.ts'
import { openProject } from '../project/open-project.ts'
import { exitCodes } from '../terminal/exit-code.ts'
import { counted, key, value } from '../terminal/format.ts'
import { type Shell, show } from '../terminal/shell.ts'
import type { Execute } from './command.ts'
import { twoWaySync } from './conflicts.ts'

export function addUndo(program: Command, execute: Execute): void {
  program
    .command('undo')
    .description('take the writes of a two-way run back; shows what it would do unless --yes')
    .argument('<run>', 'its id, as `run`, `status` and `history` print it')
    .option('--yes', 'do it')
    .addHelpText(
      'after',
      `
A row that changed since is left as it is and becomes a conflict. Afterwards both sides count as agreed as they stand:
the next run neither does it again nor carries the old values over. Inserts are undone only where nobody touched the row.
With --json, one object per write: side, key, kind, fields (from, to), status (planned, undone, changed, rejected, or nothing:
the row is as it was before the run).`,
    )
    .action((run: string, options: { yes?: boolean }) => execute((shell) => undo(shell, run, options.yes === true)))
}

async function undo(shell: Shell, id: string, apply: boolean): Promise<number> {
  await using opened = await openProject(shell, { readOnly: !apply })
  const { project } = opened
  await using _lock = apply ? await project.store.lock() : null
  const record = await project.store.runs.get(id)
  if (record === null)
    throw new SyncError('RUN_UNKNOWN', `there is no run ${id}`, { hint: '`syncline history` lists the runs.' })
  const sync = await twoWaySync(opened, record.sync)
  const undone = apply
    ? await underLease(sync, project, (lease, held) => takeBack(id, sync, held, lease))
    : await undoRun(id, sync, project, { lease: null, id: '' })
  const changed = undone.filter(isLeft).length
  const left = undone.filter(({ status }) => status !== 'nothing').length
  for (const one of undone) show(shell, { event: 'undo', sync: sync.id, run: id, ...one }, () => print(shell, one))
  if (!shell.json) summarize(shell, id, apply, left, changed)
  return exitCodes.fine
}

/** Undoes a run, and keeps that in the history as a run of its own. */
async function takeBack(id: string, sync: TwoWaySync, project: Project, lease: number): Promise<readonly Undone[]> {
  const { store, context } = project
  const own = { id: newRunId(project), sync: sync.id, startedAt: context.clock.now() }
  await store.runs.start(own)
  const undone = await undoRun(id, sync, project, { lease, id: own.id })
  const done = (kind: Undone['kind']) => undone.filter((one) => one.status === 'undone' && one.kind === kind).length
  await store.runs.finish({
    ...zeroCounts,
    ...own,
    status: 'succeeded',
    durationMs: context.clock.now() - own.startedAt,
    inserted: done('insert'),
    updated: done('update'),
    deleted: done('delete'),
    conflicts: undone.filter(isLeft).length,
    error: null,
    heldDeletes: null,
    releasedAt: null,
  })
  return undone
}

function isLeft({ status }: Undone): boolean {
  return status === 'changed' || status === 'rejected'
}

function print({ terminal }: Shell, { side, kind, key: of, fields, status, message }: Undone): void {
  const changes = Object.entries(fields).map(([name, { from, to }]) =>
    kind === 'update' ? `${name}: ${value(from ?? null)} → ${value(to ?? null)}` : `${name}: ${value(to ?? null)}`,
  )
  const note = message === null ? '' : `  ${terminal.paint('yellow', message)}`
  const what = status === 'planned' ? 'would' : status === 'nothing' ? 'no need to' : status
  terminal.out(`  ${what} ${kind} ${side} ${key(of)}  ${changes.join(', ')}${note}`)
}

function summarize({ terminal }: Shell, id: string, apply: boolean, total: number, changed: number): void {
  if (total === 0) terminal.out(`Of run ${id} nothing is left to undo: all it wrote is as it was before.`)
  else if (!apply)
    terminal.out(
      `${counted(total - changed, 'write')} of run ${id} can be taken back, ${changed} not. Do it: syncline undo ${id} --yes`,
    )
  else
    terminal.out(
      `${counted(total - changed, 'write')} of run ${id} taken back${changed > 0 ? `; ${counted(changed, 'row')} changed since: syncline conflicts` : ''}`,
    )
}
