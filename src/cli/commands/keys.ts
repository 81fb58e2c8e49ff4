/** `syncline keys`: who may call the API. */
import { type Command, Option } from 'commander'
import { SyncError } from '../../core/error.ts'
import { systemClock } from '../../engine/clock.ts'
import { type ApiKey, createKey, deleteKey, listKeys, type Scope, scopes } from '../../engine/secrets/api-keys.ts'
import { iso } from '../../protocol/objects.ts'
import { openStore } from '../../store/open.ts'
import { projectFolder } from '../project/open-project.ts'
import { exitCodes } from '../terminal/exit-code.ts'
import { instant, table } from '../terminal/format.ts'
import { type Shell, show } from '../terminal/shell.ts'
import type { Execute } from './command.ts'

export function addKeys(program: Command, execute: Execute): void {
  const keys = program.command('keys').description('who may call the API: create, list, remove')
  keys
    .command('create')
    .description('make a key; its text is printed once')
    .argument('<name>', 'what it is for')
    .addOption(new Option('--scope <scope>', 'what it may do').choices([...scopes]).default('read'))
    .option('--project <project>', 'bind it to one project')
    .action((name: string, options: { scope: Scope; project?: string }) =>
      execute((shell) => create(shell, name, options.scope, options.project ?? null)),
    )
  keys
    .command('list')
    .description('print the keys, without their secrets')
    .action(() => execute(list))
  keys
    .command('remove')
    .description('take a key away')
    .argument('<id>', 'as `keys list` prints it')
    .action((id: string) => execute((shell) => remove(shell, id)))
}

async function create(shell: Shell, name: string, scope: Scope, project: string | null): Promise<number> {
  if (project !== null && !/^[\w-]{1,100}$/.test(project))
    throw new SyncError('USAGE_INVALID', 'a project’s name is letters, digits, _ and -')
  await using store = await open(shell)
  const { key, text } = await createKey(store.records, { name, scope, project }, systemClock.now())
  show(shell, { event: 'key', ...keyObject(key), key: text }, () => shell.terminal.out(text))
  return exitCodes.fine
}

async function list(shell: Shell): Promise<number> {
  await using store = await open(shell)
  const keys = await listKeys(store.records)
  for (const key of keys) show(shell, { event: 'key', ...keyObject(key) }, () => {})
  if (shell.json) return exitCodes.fine
  if (keys.length === 0) shell.terminal.out('there are no keys: `syncline start` makes the first one')
  else
    for (const line of table(
      keys.map(({ id, name, scope, project, createdAt }) => [id, name, scope, project ?? '', instant(createdAt)]),
      ['id', 'name', 'scope', 'project', 'since'],
    ))
      shell.terminal.out(line)
  return exitCodes.fine
}

async function remove(shell: Shell, id: string): Promise<number> {
  await using store = await open(shell)
  if (!(await deleteKey(store.records, id)))
    throw new SyncError('KEY_UNKNOWN', `there is no key ${id}`, { hint: '`syncline keys list` prints them.' })
  show(shell, { event: 'key.removed', id }, () => shell.terminal.out(`key ${id} is gone`))
  return exitCodes.fine
}

function keyObject({ createdAt, ...key }: ApiKey): Record<string, unknown> {
  return { ...key, createdAt: iso(createdAt) }
}

async function open(shell: Shell) {
  return await openStore(projectFolder(shell), shell.environment)
}
