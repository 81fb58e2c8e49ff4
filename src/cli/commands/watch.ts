/** `syncline watch [sync…]`: keeps targets up to date until Ctrl-C. */
import type { Command } from 'commander'
import type { Expansion } from '../../config/expand.ts'
import { asSyncError, SyncError } from '../../core/error.ts'
import { type AnySync, placesOf } from '../../core/two-way.ts'
import { gatheredBy } from '../../engine/connections/handler-syncs.ts'
import { recordFailure } from '../../engine/observe/run-events.ts'
import { openProject } from '../project/open-project.ts'
import { exitCodes } from '../terminal/exit-code.ts'
import { listenForInterrupts } from '../terminal/interrupt.ts'
import { runReporter } from '../terminal/run-reporter.ts'
import type { Shell } from '../terminal/shell.ts'
import type { Execute } from './command.ts'
import { runOne } from './run.ts'
import { Watch } from './watch-loop.ts'

export function addWatch(program: Command, execute: Execute): void {
  program
    .command('watch')
    .description('keep the targets up to date until Ctrl-C')
    .argument('[sync...]', 'their names (default: all); a pattern’s name means all it expands to')
    .addHelpText(
      'after',
      `
Runs each sync when its source announces a change, and else at its interval (\`every\`, 2 s). Prints a line for each run
that changed something. A failure does not end it: that sync is tried again, less and less often. New tables that a
pattern matches are taken in. A held run waits for \`syncline release\`, which may be called beside it.`,
    )
    .action((syncs: string[]) => execute((shell) => watch(shell, syncs)))
}

async function watch(shell: Shell, names: readonly string[]): Promise<number> {
  using interrupts = listenForInterrupts(shell.terminal)
  const { signal } = interrupts
  const reporter = runReporter(shell, { onlyNews: true })
  await using opened = await openProject(shell, { ...reporter, readOnly: false, signal })
  const { project } = opened
  await using _lock = await project.store.lock()
  const failed = new Map<string, string>()
  const expand = async (): Promise<Expansion> => {
    const expansion = await opened.expand(names)
    for (const sync of expansion.syncs) refuseGathering(sync)
    for (const { name, error } of expansion.leftOut) {
      if (failed.get(name) !== error.message) reporter.log(`left out: ${name}: ${error.message}`)
      failed.set(name, error.message)
    }
    const { failures } = expansion
    for (const failure of failures) {
      if (failed.get(failure.name) !== failure.error.message) await recordFailure(failure, project)
      failed.set(failure.name, failure.error.message)
      // The next look opens it anew.
      for (const setup of opened.config.syncs)
        if (setup.name === failure.name && setup.kind === 'one-way') await project.reconnect(setup.from.connection)
    }
    for (const name of failed.keys())
      if (![...failures, ...expansion.leftOut].some((one) => one.name === name)) failed.delete(name)
    return expansion
  }
  const loop = new Watch(project, (sync) => runOne(sync, opened), expand)
  const first = await loop.start()
  if (!shell.json) shell.terminal.out(`Watching ${first} sync${first === 1 ? '' : 's'}. Ctrl-C ends it.`)
  try {
    await loop.run()
  } catch (error) {
    if (!signal.aborted) throw asSyncError(error)
  }
  return exitCodes.fine
}

/** What its connection says may have changed by the next run: the service looks each time. */
function refuseGathering(sync: AnySync): void {
  if (gatheredBy(placesOf(sync)[1].connection) === null) return
  throw new SyncError('USAGE_INVALID', `sync ${sync.id} is of a connection: it is not watched`, {
    hint: `\`syncline start\` runs it by its schedule; \`syncline run ${sync.id}\` runs it now.`,
  })
}
