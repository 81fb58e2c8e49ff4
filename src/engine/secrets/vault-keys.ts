/** The vault's master keys: from SYNCLINE_VAULT_KEY, or from a file that only its owner can read, made at first use. */
import { createHash, randomBytes } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { SyncError } from '../../core/error.ts'
import { makeHome } from '../../store/private-files.ts'

const KEY_BYTES = 32
const VARIABLE = 'SYNCLINE_VAULT_KEY'

export interface MasterKey {
  /** Tells keys apart without giving them away. */
  readonly id: string
  readonly key: Buffer
}

/** The first one seals; all of them open. */
export type KeyRing = readonly [MasterKey, ...MasterKey[]]

/** VAULT_UNUSABLE says what is wrong with the key, and never what it is. */
export function readKeys(path: string, environment: Readonly<Record<string, string | undefined>>): KeyRing {
  const given = environment[VARIABLE]
  if (given !== undefined && given !== '') return parseKeys(given.split(','), VARIABLE)
  if (!existsSync(path)) makeFile(path)
  if (process.platform !== 'win32' && (statSync(path).mode & 0o077) !== 0) {
    throw new SyncError('VAULT_UNUSABLE', `others can read the vault's key file ${path}`, { hint: `chmod 600 ${path}` })
  }
  return parseKeys(readFileSync(path, 'utf8').split('\n'), path)
}

/** The keys as they are whenever they are asked for: the file is read again when it has changed, by a rotation beside this process. */
export function keyReader(path: string, environment: Readonly<Record<string, string | undefined>>): () => KeyRing {
  let known: { readonly keys: KeyRing; readonly version: string } | null = null
  return () => {
    const version = keysAreGiven(environment) ? 'given' : versionOf(path)
    if (known === null || known.version !== version) known = { keys: readKeys(path, environment), version }
    return known.keys
  }
}

/** Puts a new key first. The others stay, for what they sealed: `dropOldKeys` takes them away once nothing needs them. */
export function addKey(path: string, environment: Readonly<Record<string, string | undefined>>): KeyRing {
  refuseVariable(environment, 'Put a new key first in it, separated from the old one by a comma, and rotate again.')
  const keys = readKeys(path, environment)
  writeKeys(path, [makeKey(), ...keys])
  return readKeys(path, environment)
}

/** Leaves the current key, and the one before it: beside a rotation, others may just have sealed something with that. */
export function dropOldKeys(path: string, environment: Readonly<Record<string, string | undefined>>): void {
  writeKeys(path, readKeys(path, environment).slice(0, 2))
}

/** Whether the keys come from the environment, where only a person can change them. */
export function keysAreGiven(environment: Readonly<Record<string, string | undefined>>): boolean {
  return (environment[VARIABLE] ?? '') !== ''
}

/** Another text after every change of the file, its mode included. */
function versionOf(path: string): string {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false })
  return found === undefined ? 'none' : `${found.ino} ${found.mtimeNs} ${found.ctimeNs}`
}

function refuseVariable(environment: Readonly<Record<string, string | undefined>>, hint: string): void {
  if (keysAreGiven(environment)) throw new SyncError('VAULT_UNUSABLE', `the vault's key is in ${VARIABLE}`, { hint })
}

function parseKeys(texts: readonly string[], where: string): KeyRing {
  const [first, ...rest] = texts.map((text) => text.trim()).filter((text) => text !== '')
  if (first === undefined) throw unusable(where)
  return [parseKey(first, where), ...rest.map((text) => parseKey(text, where))]
}

function parseKey(text: string, where: string): MasterKey {
  const key = /^[0-9a-f]{64}$/i.test(text) ? Buffer.from(text, 'hex') : Buffer.from(text, 'base64')
  if (key.length !== KEY_BYTES) throw unusable(where)
  return { id: createHash('sha256').update(key).digest('hex').slice(0, 8), key }
}

function unusable(where: string): SyncError {
  return new SyncError('VAULT_UNUSABLE', `${where} holds no key of ${KEY_BYTES} bytes in base64 or hex`, {
    hint: 'Make one with: openssl rand -base64 32',
  })
}

function makeKey(): MasterKey {
  return parseKey(randomBytes(KEY_BYTES).toString('base64'), 'chance')
}

/** Of two processes that start at once, one makes the file, and both read it. */
function makeFile(path: string): void {
  // The embedded store does the same; with another store the key is all that is in the folder.
  makeHome(dirname(path))
  const own = `${path}.${process.pid}`
  writeKeys(own, [makeKey()])
  try {
    // Unlike a rename, a link never takes the place of what another process has made and used already.
    linkSync(own, path)
  } catch (error) {
    if (!existsSync(path)) throw error
  } finally {
    rmSync(own)
  }
}

function writeKeys(path: string, keys: readonly MasterKey[]): void {
  const next = `${path}.new`
  const file = openSync(next, 'w', 0o600)
  try {
    chmodSync(next, 0o600)
    writeSync(file, keys.map(({ key }) => `${key.toString('base64')}\n`).join(''))
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(next, path)
}
