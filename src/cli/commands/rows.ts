/** `syncline rows <connection> <sync>`: what a sync of a connection has gathered. */
import { join } from 'node:path'
import { type Command, Option } from 'commander'
import { type ExportFormat, exportRows } from '../../engine/connections/collected-rows.ts'
import { rowsPlace } from '../../engine/connections/collected-rows-place.ts'
import { collectionOf } from '../../engine/connections/handler-syncs.ts'
import { openStore } from '../../store/open.ts'
import { projectFolder } from '../project/open-project.ts'
import { exitCodes } from '../terminal/exit-code.ts'
import type { Shell } from '../terminal/shell.ts'
import type { Execute } from './command.ts'

export function addRows(program: Command, execute: Execute): void {
  program
    .command('rows')
    .description('print the rows that a sync of a connection has gathered')
    .argument('<connection>', 'as `connections` prints it')
    .argument('<sync>', 'of its integration')
    .addOption(new Option('--format <format>', 'JSON Lines or CSV').choices(['jsonl', 'csv']).default('jsonl'))
    .addHelpText(
      'after',
      `
  syncline rows acme contacts > contacts.jsonl
  syncline rows acme contacts --format csv

One row per line, in the order of their keys: json as what it says, instants and decimals as text, bytes in base64. With
--json it is JSON Lines.`,
    )
    .action((connection: string, sync: string, options: { format: ExportFormat }) =>
      execute((shell) => rows(shell, connection, sync, options.format)),
    )
}

async function rows(shell: Shell, connection: string, sync: string, format: ExportFormat): Promise<number> {
  const home = projectFolder(shell)
  await using store = await openStore(home, shell.environment, { readOnly: true })
  const place = rowsPlace(store, join(home, '.syncline', 'collections'))
  // `out` ends the line itself.
  for await (const piece of exportRows(place, collectionOf(connection, sync), shell.json ? 'jsonl' : format))
    shell.terminal.out(piece.slice(0, -1))
  return exitCodes.fine
}
