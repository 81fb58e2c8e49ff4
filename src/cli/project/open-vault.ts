/** The vault of a project: outside where VAULT_URL says so, else sealed in its state. */
import { join } from 'node:path'
import { KvVault, kvOptions } from '../../engine/secrets/kv-vault.ts'
import { StoreVault, type Vault } from '../../engine/secrets/vault.ts'
import { keyReader } from '../../engine/secrets/vault-keys.ts'
import { openStore } from '../../store/open.ts'
import type { Store } from '../../store/store.ts'

export type Environment = Readonly<Record<string, string | undefined>>

export function keyFile(folder: string): string {
  return join(folder, '.syncline', 'vault.key')
}

export function openVault(store: Store, folder: string, environment: Environment): Vault {
  const options = kvOptions(environment)
  return options === null ? openStoreVault(store, folder, environment) : new KvVault(options)
}

export function openStoreVault(store: Store, folder: string, environment: Environment): StoreVault {
  return new StoreVault(store.records, keyReader(keyFile(folder), environment))
}

/** The secrets of these names that there are. */
export async function readSecrets(
  folder: string,
  names: readonly string[],
  environment: Environment,
): Promise<ReadonlyMap<string, string>> {
  await using store = await openStore(folder, environment, { readOnly: true })
  const vault = openVault(store, folder, environment)
  const found = new Map<string, string>()
  for (const name of names) {
    const secret = await vault.get(name)
    if (secret !== null) found.set(name, secret)
  }
  return found
}
