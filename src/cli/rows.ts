/** `syncline rows <connection> <sync>`: what a sync of a connection has gathered. */
import { join } from 'node:path'
import { type Command, Option } from 'commander'
import { collectionFile, type ExportFormat, exportRows } from '../engine/collection-rows.ts'
import { collectionOf } from '../engine/handler-syncs.ts'
import { exitCodes } from './exit-code.ts'
import type { Execute } from './main.ts'
import { projectFolder } from './open-project.ts'
import type { Shell } from './shell.ts'

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
--json it is JSON Lines. Rows are in .syncline/collections of the machine whose process gathered them.`,
    )
    .action((connection: string, sync: string, options: { format: ExportFormat }) =>
      execute((shell) => rows(shell, connection, sync, options.format)),
    )
}

async function rows(shell: Shell, connection: string, sync: string, format: ExportFormat): Promise<number> {
  const collection = collectionOf(connection, sync)
  const file = collectionFile(join(projectFolder(shell), '.syncline', 'collections'), collection)
  // `out` ends the line itself.
  for await (const piece of exportRows(file, collection, shell.json ? 'jsonl' : format))
    shell.terminal.out(piece.slice(0, -1))
  return exitCodes.fine
}
