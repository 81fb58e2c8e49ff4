/** Rows of two sides that are large: no more of them is read at a time than a batch has room for. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Connection, Context } from '../../src/connectors/connector.ts'
import { plainField } from '../../src/core/pairing.ts'
import { runSync } from '../../src/engine/runs/run-sync.ts'
import { planTwoWay } from '../../src/engine/two-way/plan.ts'
import { openMemoryStore } from '../../src/store/sqlite/store.ts'
import { sqliteDatabase } from '../hazards/pair.ts'
import { contactsSync } from './world.ts'

test('two-way: rows are fetched as far as a batch has room for, by plan and by run', async () => {
  await using left = await sqliteDatabase()
  await using right = await sqliteDatabase()
  await using store = openMemoryStore()
  for (const side of [left, right]) await side.sql('CREATE TABLE t (id integer PRIMARY KEY, body text)')
  await left.sql(
    `INSERT INTO t WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
     SELECT i, hex(zeroblob(1000)) FROM n`,
  )
  const context: Context = {
    signal: new AbortController().signal,
    clock: { now: () => Date.now(), sleep: async () => {} },
    random: Math.random,
    log: () => {},
  }
  const fetched: number[] = []
  const watched = (connection: Connection): Connection => ({
    ...connection,
    collection: async (name, options) => {
      const collection = await connection.collection(name, options)
      const { lookup } = collection
      return {
        ...collection,
        lookup: {
          ...lookup,
          fetch: async (keys, fields) => {
            const chunk = await lookup.fetch(keys, fields)
            fetched.push(chunk.bytes)
            return chunk
          },
        },
      }
    },
  })
  const open = { left: watched(await left.connect(context)), right: watched(await right.connect(context)) }
  const project = {
    ...{ id: 'project', store, context, reconnect: async () => {}, unreachable: new Set<string>(), emit: () => {} },
    connection: async (name: string) => (name === 'left' ? open.left : open.right),
  }
  const sync = contactsSync({
    id: 't',
    left: { connection: 'left', collection: 't' },
    right: { connection: 'right', collection: 't' },
    match: [{ field: 'id', by: null }],
    fields: ['id', 'body'].map(plainField),
    batch: { rows: 1000, bytes: 10_000 },
  })
  const most = 4 * sync.batch.bytes
  assert.equal((await planTwoWay(sync, project)).right.inserts, 300)
  assert.ok(Math.max(...fetched) <= most, `${Math.max(...fetched)} bytes at once`)
  assert.equal((await runSync(sync, project)).inserted, 300)
  await left.sql(`UPDATE t SET body = 'b' || body`)
  assert.equal((await runSync(sync, project)).updated, 300)
  assert.ok(Math.max(...fetched) <= most, `${Math.max(...fetched)} bytes at once`)
  for (const connection of Object.values(open)) await connection[Symbol.asyncDispose]()
})
