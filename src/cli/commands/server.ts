/** `syncline server`: the API of a project whose syncs others run. */
import type { Command } from 'commander'
import { addListenOptions } from '../service/listening.ts'
import { logFormat } from '../service/service-log.ts'
import type { Execute } from './command.ts'
import { LOG_FORMAT, type StartOptions, work } from './start.ts'
import { refuseOwnStore } from './worker.ts'

export function addServer(program: Command, execute: Execute): void {
  const command = program.command('server').description('serve the API only, beside workers that run the syncs')
  addListenOptions(command)
    .option('--log-format <format>', LOG_FORMAT, logFormat)
    .option('--no-watch-config', 'do not take up changes of the config file')
    .addHelpText(
      'after',
      `
Any number of servers and workers, on any number of machines, share the project's state in Postgres: SYNCLINE_STORE=postgres://…
What a server puts into the queue, a \`syncline worker\` runs. Keys, connections and syncs that one server makes, all know
within a second. Its event stream tells what happens in all processes; its metrics are about itself.`,
    )
    .action((options: Omit<StartOptions, 'concurrency' | 'server' | 'works'>) =>
      execute(async (shell) => {
        refuseOwnStore(shell, 'servers beside workers')
        return await work(shell, { ...options, concurrency: 1, server: true, works: false })
      }),
    )
}
