/** `syncline connections`: what there is, in the config and made by the API. */
import type { Command } from 'commander'
import { type ConnectionOutline, StoredConnections } from '../../engine/connections/connection-store.ts'
import type { Store } from '../../store/store.ts'
import { openProject } from '../project/open-project.ts'
import { openVault } from '../project/open-vault.ts'
import { exitCodes } from '../terminal/exit-code.ts'
import { table } from '../terminal/format.ts'
import { type Shell, show } from '../terminal/shell.ts'
import type { Execute } from './command.ts'

export function addConnections(program: Command, execute: Execute): void {
  program
    .command('connections')
    .description('list the connections, those of the config and those made by the API; no secrets')
    .addHelpText(
      'after',
      `
With --json, one object per connection: name, connector, origin (config or api), and of those made by the API integration,
project, activeSyncs and minutesBetweenSyncs (null: as the integration says).`,
    )
    .action(() => execute(list))
}

/** The connections that the API made, without their secrets. */
export async function madeConnections(shell: Shell, store: Store, folder: string): Promise<ConnectionOutline[]> {
  const log = (message: string) => shell.terminal.err(`${message}\n`)
  return await new StoredConnections(store.records, openVault(store, folder, shell.environment), log).outlines()
}

async function list(shell: Shell): Promise<number> {
  await using opened = await openProject(shell, { readOnly: true })
  const { connections, integrations, folder } = opened.config
  const own = [...connections].map(([name, { system }]) => ({ name, connector: system, origin: 'config' }))
  const made = (await madeConnections(shell, opened.project.store, folder)).map((outline) => ({
    name: outline.id,
    connector: integrations.find(({ id }) => id === outline.integrationId)?.connectorId ?? '',
    origin: 'api',
    integration: outline.integrationId,
    project: outline.project ?? null,
    activeSyncs: outline.activeSyncs ?? null,
    minutesBetweenSyncs: outline.minutesBetweenSyncs ?? null,
  }))
  for (const connection of [...own, ...made]) show(shell, { event: 'connection', ...connection }, () => {})
  if (shell.json) return exitCodes.fine
  const rows = [
    ...own.map(({ name, connector, origin }) => [name, connector, origin, '', '']),
    ...made.map(({ name, connector, origin, integration, project }) => [
      ...[name, connector, origin, integration, project ?? ''],
    ]),
  ]
  if (rows.length === 0) shell.terminal.out('there are no connections')
  else
    for (const line of table(rows, ['name', 'connector', 'origin', 'integration', 'project'])) shell.terminal.out(line)
  return exitCodes.fine
}
