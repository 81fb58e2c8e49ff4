/** `syncline run [sync…]`: brings targets up to date, once. */
import type { Command } from 'commander'
import type { Expansion, ExpansionFailure } from '../../config/expand.ts'
import type { ProjectConfig, SyncSetup } from '../../config/project-config.ts'
import { asSyncError } from '../../core/error.ts'
import type { RunRecord } from '../../core/run.ts'
import { type AnySync, isTwoWay, placesOf } from '../../core/two-way.ts'
import { madeOf, madeSyncs } from '../../engine/connections/api-syncs.ts'
import { recordFailure } from '../../engine/observe/run-events.ts'
import { askForRun } from '../../engine/queue/permit.ts'
import { waitsForOthers } from '../../engine/runs/dead-letters.ts'
import type { RunOptions } from '../../engine/runs/run-sync.ts'
import { runAlone } from '../../engine/runs/run-under-lease.ts'
import { expandTold, strictOption } from '../project/left-out.ts'
import { type OpenProject, openProject } from '../project/open-project.ts'
import { exitCodeOfRun, worst } from '../terminal/exit-code.ts'
import { listenForInterrupts } from '../terminal/interrupt.ts'
import { runReporter } from '../terminal/run-reporter.ts'
import type { Shell } from '../terminal/shell.ts'
import type { Execute } from './command.ts'

export function addRun(program: Command, execute: Execute): void {
  program
    .command('run')
    .description('bring the targets up to date, once')
    .argument('[sync...]', 'their names (default: all of the config); a pattern’s name means all it expands to')
    .option(...strictOption)
    .addHelpText(
      'after',
      `
Syncs run one after the other, in the order of the config, those that others reference first; one that fails doesn't
stop the others. What foreign keys of the database stand in the way of (a parent to be deleted before its children are)
is tried again at the end, in reverse order: such a sync has two runs. Ctrl-C finishes the current batch and exits 130;
the next run goes on from there. A sync of a connection that the API made is run by its name (acme/contacts; acme: all of its).
With --json, run.started, run.progress and at last run.finished for each run: status, counts, durationMs, error.`,
    )
    .action((syncs: string[], { strict }: { strict?: boolean }) =>
      execute((shell) => run(shell, syncs, strict === true)),
    )
}

async function run(shell: Shell, names: readonly string[], strict: boolean): Promise<number> {
  using interrupts = listenForInterrupts(shell.terminal)
  const reporter = runReporter(shell, { onlyNews: false })
  await using opened = await openProject(shell, { ...reporter, readOnly: false, signal: interrupts.signal })
  const { project } = opened
  await using _lock = await project.store.lock()
  const records: RunRecord[] = []
  const ran: AnySync[] = []
  const runAll = async ({ syncs, failures }: Expansion) => {
    for (const failure of failures) records.push(await recordFailure(failure, project))
    for (const sync of syncs) {
      if (interrupts.signal.aborted) return
      records.push(await runOne(sync, opened, { patient: true }))
      ran.push(sync)
    }
  }
  const { syncs, failures } = await expandTold(opened, names, shell, strict)
  const chained = failures.filter((failure) => isFed(failure, opened.config))
  await runAll({ syncs, failures: failures.filter((failure) => !chained.includes(failure)), leftOut: [] })
  for (const { name } of chained) {
    if (interrupts.signal.aborted) break
    await runAll(await expandTold(opened, membersOf(name, names), shell, strict))
  }
  await runWaiting({ ran, records, opened, signal: interrupts.signal })
  summarize(shell, records)
  return interrupts.signal.aborted ? interrupts.exitCode() : worst(records.map(exitCodeOfRun))
}

interface Ran {
  readonly ran: readonly AnySync[]
  /** The last record of each; replaced by that of a further run. */
  readonly records: RunRecord[]
  readonly opened: OpenProject
  readonly signal: AbortSignal
}

/**
 * Runs again what foreign keys of a database stood in the way of: two-way syncs once, as they reject what is refused twice; one-way syncs
 * as long as rows go in or go, in turns from either end of the order.
 */
async function runWaiting({ ran, records, opened, signal }: Ran): Promise<void> {
  const recordOf = (sync: AnySync) => records.findLastIndex((record) => record.sync === sync.id)
  const again = async (syncs: readonly AnySync[], options?: RunOptions) => {
    for (const sync of syncs) if (!signal.aborted) records[recordOf(sync)] = await runOne(sync, opened, options)
  }
  const waitingOf = async (syncs: readonly AnySync[]) => {
    const waiting: AnySync[] = []
    for (const sync of syncs) {
      const known = isTwoWay(sync) || (records[recordOf(sync)]?.rejected ?? 0) > 0
      if (known && !signal.aborted && (await waitsForOthers(sync, opened.project))) waiting.push(sync)
    }
    return waiting
  }
  await again(await waitingOf(ran.filter(isTwoWay).reverse()))
  let waiting = await waitingOf(ran.filter((sync) => !isTwoWay(sync)).reverse())
  const refused = () => waiting.reduce((sum, sync) => sum + (records[recordOf(sync)]?.rejected ?? 0), 0)
  for (let before = Number.POSITIVE_INFINITY; waiting.length > 0 && refused() < before; ) {
    before = refused()
    await again(waiting, { patient: true })
    waiting = (await waitingOf(waiting)).reverse()
  }
  // Nothing clears the way for these: now they fail.
  await again(waiting)
}

/** Whether what a pattern could not find yet may be there once others have run: they write where it reads. */
function isFed({ name }: ExpansionFailure, { connections, syncs }: ProjectConfig): boolean {
  const place = (connection: string | undefined) => connections.get(connection ?? '')?.identity
  const setup = syncs.find((candidate) => candidate.name === name)
  const source = setup?.kind === 'one-way' ? place(setup.from.connection) : undefined
  const written = (other: SyncSetup) => (other.kind === 'one-way' ? [other.to] : [other.left, other.right])
  return syncs.some((other) => written(other).some(({ connection }) => place(connection) === source))
}

/** What was chosen of a pattern. */
function membersOf(pattern: string, chosen: readonly string[]): readonly string[] {
  const members = chosen.filter((name) => name.startsWith(`${pattern}/`))
  return members.length === 0 || chosen.includes(pattern) ? [pattern] : members
}

/** Runs a sync; whatever goes wrong is in the record, so that the others go on. */
export async function runOne(sync: AnySync, opened: OpenProject, options?: RunOptions): Promise<RunRecord> {
  const { project, config } = opened
  try {
    if (config.permit !== null) await askForRun(config.permit, { sync, project: await ownerOf(sync, opened) }, null)
    return await runAlone(sync, project, options)
  } catch (error) {
    return await recordFailure({ name: sync.id, error: asSyncError(error) }, project)
  }
}

/** Whose a sync is that the API or a connection made. */
async function ownerOf(sync: AnySync, { project, reach }: OpenProject): Promise<string | null> {
  const reached = reach.projectOf(placesOf(sync)[0].connection)
  return reached === undefined ? (madeOf(await madeSyncs(project.store.records), sync.id)?.project ?? null) : reached
}

function summarize(shell: Shell, records: readonly Pick<RunRecord, 'status'>[]): void {
  if (shell.json || records.length < 2) return
  const counts = (['succeeded', 'failed', 'held', 'interrupted'] as const)
    .map((status) => ({ status, count: records.filter((record) => record.status === status).length }))
    .filter(({ count }) => count > 0)
  shell.terminal.out(`${records.length} syncs: ${counts.map(({ status, count }) => `${count} ${status}`).join(', ')}`)
}
