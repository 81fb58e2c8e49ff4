/** Where secrets are: sealed in the store, or in an external key-value vault that speaks HashiCorp's KV version 2. */
import { SyncError } from '../../core/error.ts'
import { allRecords } from '../../store/all-records.ts'
import type { RecordStore } from '../../store/records.ts'
import { rewrap, seal, unseal } from './seal.ts'
import type { KeyRing } from './vault-keys.ts'

/** Names may hold letters, digits, `_`, `-`, `.` and `/`. */
export interface Vault {
  /** Null: there is none of that name. */
  get(name: string): Promise<string | null>
  set(name: string, secret: string): Promise<void>
  /** False: there was none. */
  delete(name: string): Promise<boolean>
  /** The names, never the secrets, in order. */
  list(): Promise<readonly string[]>
}

const KIND = 'secret'

/** Refuses a name that a vault can't hold. */
export function checkSecretName(name: string): void {
  if (/^[\w-]+([./][\w-]+)*$/.test(name) && name.length <= 200) return
  throw new SyncError('USAGE_INVALID', `"${name.slice(0, 50)}" is no name of a secret`, {
    hint: 'Use letters, digits, _ and -, with dots or slashes between.',
  })
}

/** Secrets sealed in the store. The keys are read when one is needed: a project without secrets has no key file. */
export class StoreVault implements Vault {
  readonly #records: RecordStore
  readonly #keys: () => KeyRing

  constructor(records: RecordStore, keys: () => KeyRing) {
    this.#records = records
    this.#keys = keys
  }

  async get(name: string): Promise<string | null> {
    const record = await this.#records.get(KIND, name)
    return record === null ? null : unseal(record.body, placeOf(name), this.#keys())
  }

  async set(name: string, secret: string): Promise<void> {
    checkSecretName(name)
    await this.#records.put({ kind: KIND, id: name, body: seal(secret, placeOf(name), this.#keys()), expiresAt: null })
  }

  async delete(name: string): Promise<boolean> {
    return await this.#records.delete(KIND, name)
  }

  async list(): Promise<readonly string[]> {
    const names: string[] = []
    for await (const { id } of allRecords(this.#records, KIND)) names.push(id)
    return names
  }

  /** Puts every secret under the first key, and returns how many were not. Safe to do again, and beside others. */
  async rewrap(): Promise<number> {
    const keys = this.#keys()
    let count = 0
    for await (const { id } of allRecords(this.#records, KIND)) count += (await this.#rewrapOne(id, keys)) ? 1 : 0
    return count
  }

  /** Somebody may set the secret meanwhile: then it is looked at again. */
  async #rewrapOne(id: string, keys: KeyRing): Promise<boolean> {
    for (;;) {
      const record = await this.#records.get(KIND, id)
      if (record === null) return false
      const body = rewrap(record.body, placeOf(id), keys)
      if (body === record.body) return false
      if ((await this.#records.put({ ...record, body }, record.version)) !== null) return true
    }
  }
}

function placeOf(name: string): string {
  return `secret ${name}`
}
