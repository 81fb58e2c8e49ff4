/** `syncline worker`: one of any number of processes that run the syncs of a project together. */
import type { Command } from 'commander'
import { SyncError } from '../../core/error.ts'
import { storeUrl } from '../../store/open.ts'
import { projectFolder } from '../project/open-project.ts'
import { addMetricsOptions, type MetricsOptions } from '../service/listening.ts'
import { logFormat } from '../service/service-log.ts'
import type { Shell } from '../terminal/shell.ts'
import type { Execute } from './command.ts'
import { LOG_FORMAT, positive, type StartOptions, work } from './start.ts'

export function addWorker(program: Command, execute: Execute): void {
  const command = program.command('worker').description('run the syncs by their schedules, together with other workers')
  addMetricsOptions(command)
    .option('--concurrency <number>', 'how many syncs this process runs at a time', positive, 4)
    .option('--log-format <format>', LOG_FORMAT, logFormat)
    .option('--no-watch-config', 'do not take up changes of the config file')
    .addHelpText(
      'after',
      `
Any number of workers, on any number of machines, share the project's state in Postgres: SYNCLINE_STORE=postgres://…
Each sync is run by one of them at a time. When one dies, others take over what it ran within 30 seconds; when one is
frozen and comes back, what it still wants to write is refused. All of them need the same config.
Metrics of what a worker runs are at its --metrics-port, for keys of the API.`,
    )
    .action((options: MetricsOptions & Pick<StartOptions, 'concurrency' | 'watchConfig' | 'logFormat'>) =>
      execute(async (shell) => {
        refuseOwnStore(shell, 'workers')
        return await work(shell, { ...options, works: true, server: false })
      }),
    )
}

/** USAGE_INVALID: the project's state is in its folder, where one process has it. */
export function refuseOwnStore(shell: Shell, who: string): void {
  projectFolder(shell)
  if (storeUrl(shell.environment) !== null) return
  throw new SyncError(
    'USAGE_INVALID',
    `${who} share their state in Postgres, and this project has its own in .syncline`,
    {
      hint: 'One process is enough there: `syncline start`. For several, set SYNCLINE_STORE=postgres://…',
    },
  )
}
