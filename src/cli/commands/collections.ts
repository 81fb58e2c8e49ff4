/** `syncline collections <connection>`: what is there. */
import type { Command } from 'commander'
import type { Collection, Connection, Context } from '../../connectors/connector.ts'
import type { Schema } from '../../core/schema.ts'
import { redactError } from '../../engine/secrets/redact.ts'
import { openProject } from '../project/open-project.ts'
import { exitCodes } from '../terminal/exit-code.ts'
import { counted, table } from '../terminal/format.ts'
import { type Shell, show } from '../terminal/shell.ts'
import type { Execute } from './command.ts'

export function addCollections(program: Command, execute: Execute): void {
  program
    .command('collections')
    .description('what is in a connection: rows, key, and fields with their native and Syncline types')
    .argument('<connection>', 'its name in the config')
    .addHelpText('after', '\nWith --json, one object per collection: connection, collection, rows, key, fields.')
    .action((connection: string) => execute((shell) => collections(shell, connection)))
}

async function collections(shell: Shell, name: string): Promise<number> {
  await using opened = await openProject(shell, { readOnly: true })
  const connection = await opened.project.connection(name)
  const schemas = await connection.discover()
  for (const schema of schemas) {
    const rows = await countRows(connection, schema, opened.project.context)
    const fields = schema.fields.map(({ name, native, type, nullable }) => ({ name, native, type, nullable }))
    const key = schema.key
    const uncounted = rows.error === null ? {} : { error: rows.error }
    show(
      shell,
      { event: 'collection', connection: name, collection: schema.name, rows: rows.count, ...uncounted, key, fields },
      () => print(shell, schema, rows),
    )
  }
  if (schemas.length === 0 && !shell.json) shell.terminal.out(`${name} holds no collections`)
  return exitCodes.fine
}

interface Rows {
  /** Null: could not be counted. */
  readonly count: number | null
  /** Why not. */
  readonly error: string | null
}

async function countRows(connection: Connection, schema: Schema, { signal, redact }: Context): Promise<Rows> {
  try {
    const collection = await connection.collection(
      schema.name,
      schema.key.length > 0 ? {} : { key: schema.fields.slice(0, 1).map((field) => field.name) },
    )
    return { count: await countIn(collection, signal), error: null }
  } catch (error) {
    return { count: null, error: redactError(error, redact).message }
  }
}

async function countIn(collection: Collection, signal: AbortSignal): Promise<number> {
  const selection = { fields: collection.schema.key, where: null }
  if (collection.view !== undefined) {
    await using view = await collection.view(selection)
    return await view.count()
  }
  let count = 0
  for await (const page of collection.read(null, { ...selection, signal }))
    count += page.puts.length + page.rejects.length
  return count
}

function print(shell: Shell, schema: Schema, rows: Rows): void {
  const { terminal } = shell
  const size = rows.count === null ? `rows unknown: ${rows.error}` : counted(rows.count, 'row')
  const key = schema.key.length === 0 ? 'no key' : `key ${schema.key.join(', ')}`
  terminal.out(`${terminal.paint('bold', schema.name)}  ${size}, ${key}`)
  const lines = table(
    schema.fields.map((field) => [
      `  ${field.name}`,
      field.native,
      `→ ${field.type}`,
      field.nullable ? '' : 'not null',
    ]),
  )
  for (const line of lines) terminal.out(line)
  terminal.out('')
}
