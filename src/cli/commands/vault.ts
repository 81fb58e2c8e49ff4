/** `syncline vault`: the secrets that configs and connections use. They go in and are used; nothing prints one. */
import { text } from 'node:stream/consumers'
import type { Command } from 'commander'
import { SyncError } from '../../core/error.ts'
import { kvOptions } from '../../engine/secrets/kv-vault.ts'
import { addKey, dropOldKeys, keysAreGiven } from '../../engine/secrets/vault-keys.ts'
import { openStore } from '../../store/open.ts'
import { projectFolder } from '../project/open-project.ts'
import { keyFile, openStoreVault, openVault } from '../project/open-vault.ts'
import { exitCodes } from '../terminal/exit-code.ts'
import { counted } from '../terminal/format.ts'
import { type Shell, show } from '../terminal/shell.ts'
import type { Execute } from './command.ts'

export function addVault(program: Command, execute: Execute): void {
  const vault = program
    .command('vault')
    .description('keep secrets: set, list, remove, rotate')
    .addHelpText(
      'after',
      `
A config names a secret with secret('NAME') (in JSON { "secret": "NAME" }). Secrets are sealed with AES-256-GCM in the
project's state; the master key is SYNCLINE_VAULT_KEY, or .syncline/vault.key, which is made at first use: keep a copy of
it elsewhere. With VAULT_URL (and VAULT_TOKEN) they are in an external vault instead, by HashiCorp's KV version 2.`,
    )
  vault
    .command('set')
    .description('put a secret into the vault; it is read from stdin')
    .argument('<name>')
    .addHelpText('after', `\nFor example: printf %s "$PASSWORD" | syncline vault set SHOP_PASSWORD`)
    .action((name: string) => execute((shell) => set(shell, name)))
  vault
    .command('list')
    .description('print the names of the secrets')
    .action(() => execute(list))
  vault
    .command('remove')
    .description('take a secret out of the vault')
    .argument('<name>')
    .action((name: string) => execute((shell) => remove(shell, name)))
  vault
    .command('rotate')
    .description('make a new master key, and put every secret under it')
    .action(() => execute(rotate))
}

async function set(shell: Shell, name: string): Promise<number> {
  if (process.stdin.isTTY) shell.terminal.err('Type the secret, then Enter and Ctrl-D:\n')
  const secret = (await text(process.stdin)).replace(/\r?\n$/, '')
  if (secret === '') {
    throw new SyncError('USAGE_INVALID', 'there is no secret on stdin', {
      hint: `printf %s "$PASSWORD" | syncline vault set ${name}`,
    })
  }
  await using opened = await open(shell)
  await opened.vault.set(name, secret)
  show(shell, { event: 'vault.set', name }, () => shell.terminal.out(`${name} is in the vault`))
  return exitCodes.fine
}

async function list(shell: Shell): Promise<number> {
  await using opened = await open(shell)
  const names = await opened.vault.list()
  for (const name of names) show(shell, { event: 'vault.secret', name }, () => shell.terminal.out(name))
  if (names.length === 0 && !shell.json) shell.terminal.out('the vault is empty')
  return exitCodes.fine
}

async function remove(shell: Shell, name: string): Promise<number> {
  await using opened = await open(shell)
  if (!(await opened.vault.delete(name))) {
    throw new SyncError('USAGE_INVALID', `the vault has no secret ${name}`, {
      hint: '`syncline vault list` names them.',
    })
  }
  show(shell, { event: 'vault.removed', name }, () => shell.terminal.out(`${name} is gone`))
  return exitCodes.fine
}

async function rotate(shell: Shell): Promise<number> {
  const { environment } = shell
  const folder = projectFolder(shell)
  if (kvOptions(environment) !== null) {
    throw new SyncError('USAGE_INVALID', 'the secrets are in an external vault, which rotates its keys itself', {
      hint: 'Take VAULT_URL away to rotate the key of secrets in the store.',
    })
  }
  await using store = await openStore(folder, environment)
  const given = keysAreGiven(environment)
  if (!given) addKey(keyFile(folder), environment)
  const count = await openStoreVault(store, folder, environment).rewrap()
  // Only now does nothing need keys before the last one any more: a rotation that was cut off is just done again.
  if (!given) dropOldKeys(keyFile(folder), environment)
  show(shell, { event: 'vault.rotated', secrets: count }, () => {
    const old = given ? ' Take the old keys out of SYNCLINE_VAULT_KEY.' : ''
    shell.terminal.out(`${counted(count, 'secret')} put under the new key.${old}`)
  })
  return exitCodes.fine
}

async function open(shell: Shell) {
  const folder = projectFolder(shell)
  const store = await openStore(folder, shell.environment)
  return {
    vault: openVault(store, folder, shell.environment),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  }
}
