/**
 * Envelope encryption: each secret has a key of its own, which a master key wraps; both with AES-256-GCM. Changing the master key
 * rewraps the small keys and leaves the secrets as they are.
 *
 *   v1.<id of the master key>.<nonce, tag, wrapped key>.<nonce, tag, secret>
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { SyncError } from '../../core/error.ts'
import type { KeyRing } from './vault-keys.ts'

const ALGORITHM = 'aes-256-gcm'
const NONCE_BYTES = 12
const TAG_BYTES = 16

/** `place`: where it is kept. Sealed for one place, it can't be opened as another's. */
export function seal(secret: string, place: string, [master]: KeyRing): string {
  const key = randomBytes(32)
  const wrapped = encrypt(key, master.key, `key of ${place}`)
  return ['v1', master.id, wrapped, encrypt(Buffer.from(secret, 'utf8'), key, place)].join('.')
}

/** VAULT_UNUSABLE: its master key is not among these, or somebody changed it. */
export function unseal(sealed: string, place: string, keys: KeyRing): string {
  const { key, body } = unwrap(sealed, place, keys)
  return decrypt(body, key, place).toString('utf8')
}

/** The same secret under the first key; the same text where it is so already. */
export function rewrap(sealed: string, place: string, keys: KeyRing): string {
  const { id, key, body } = unwrap(sealed, place, keys)
  const [master] = keys
  return id === master.id ? sealed : ['v1', master.id, encrypt(key, master.key, `key of ${place}`), body].join('.')
}

function unwrap(sealed: string, place: string, keys: KeyRing): { id: string; key: Buffer; body: string } {
  const [version, id = '', wrapped = '', body = ''] = sealed.split('.')
  const master = keys.find((candidate) => candidate.id === id)
  if (version !== 'v1' || master === undefined) {
    throw new SyncError('VAULT_UNUSABLE', `${place} was sealed with key ${id || '(none)'}, which is not there`, {
      hint: 'Bring the vault’s key back: SYNCLINE_VAULT_KEY, or the file .syncline/vault.key.',
    })
  }
  return { id, key: decrypt(wrapped, master.key, `key of ${place}`), body }
}

function encrypt(plain: Buffer, key: Buffer, place: string): string {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv(ALGORITHM, key, nonce)
  cipher.setAAD(Buffer.from(place, 'utf8'))
  const body = Buffer.concat([cipher.update(plain), cipher.final()])
  return Buffer.concat([nonce, cipher.getAuthTag(), body]).toString('base64url')
}

function decrypt(text: string, key: Buffer, place: string): Buffer {
  const bytes = Buffer.from(text, 'base64url')
  try {
    const decipher = createDecipheriv(ALGORITHM, key, bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
    decipher.setAAD(Buffer.from(place, 'utf8'))
    decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES))
    return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()])
  } catch (error) {
    throw new SyncError('VAULT_UNUSABLE', `${place} can't be opened: it is not what was sealed`, { cause: error })
  }
}
