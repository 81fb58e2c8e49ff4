import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createDatabase } from '../../../tools/database.ts'
import { openPostgresStore } from '../../store/postgres/store.ts'
import { openMemoryStore } from '../../store/sqlite/store.ts'
import type { Store } from '../../store/store.ts'
import { StoreVault } from '../secrets/vault.ts'
import { readKeys } from '../secrets/vault-keys.ts'
import {
  type ConnectionStore,
  changeConnection,
  InMemoryConnectionStore,
  StoredConnections,
} from './connection-store.ts'

function connectionsOf({ records }: Store): ConnectionStore {
  const keys = readKeys('', { SYNCLINE_VAULT_KEY: 'a'.repeat(64) })
  return new StoredConnections(records, new StoreVault(records, () => keys), () => {})
}

async function changeTogether(one: ConnectionStore, other: ConnectionStore): Promise<void> {
  await one.create({ id: 'acme', integrationId: 'crm', config: { token: 't' } })
  for (let round = 1; round <= 20; round++) {
    const [config, activeSyncs] = [{ token: `t${round}` }, [`s${round}`]]
    await Promise.all([
      changeConnection(one, 'acme', (before) => ({ ...before, config })),
      changeConnection(other, 'acme', (before) => ({ ...before, activeSyncs })),
    ])
    assert.deepEqual(await one.read('acme'), { id: 'acme', integrationId: 'crm', config, activeSyncs })
  }
}

describe('of changes to different fields of a connection at the same time, none is lost', () => {
  test('in memory', async () => {
    const connections = new InMemoryConnectionStore()
    await changeTogether(connections, connections)
  })

  test('in SQLite', async () => {
    await using store = openMemoryStore()
    await changeTogether(connectionsOf(store), connectionsOf(store))
  })

  test('in Postgres, by two processes’ stores', async () => {
    await using database = await createDatabase()
    await using first = await openPostgresStore(database.url)
    await using second = await openPostgresStore(database.url)
    await changeTogether(connectionsOf(first), connectionsOf(second))
  })
})
