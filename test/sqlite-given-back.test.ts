/** A SQLite file that a view could not be opened of: nobody holds it, and its application writes on. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { sqlite } from '../src/connectors/sqlite/index.ts'
import { testContext } from '../src/testing/index.ts'
import { temporaryFolder } from '../tools/database.ts'

const fails = [
  { what: 'several rows have its key', key: ['code'], change: '', code: 'KEY_DUPLICATE' },
  { what: 'a column is gone', key: ['id'], change: 'ALTER TABLE t DROP COLUMN v', code: 'SCHEMA_CHANGED' },
]

for (const { what, key, change, code } of fails)
  test(`a view that fails because ${what} leaves no transaction open`, async () => {
    await using folder = await temporaryFolder()
    const file = join(folder.path, 'data.db')
    using application = new DatabaseSync(file, { timeout: 100 })
    application.exec(
      "PRAGMA journal_mode = DELETE; CREATE TABLE t (id INTEGER PRIMARY KEY, code TEXT, v TEXT); INSERT INTO t VALUES (1, 'a', 'x'), (2, 'a', 'y')",
    )
    await using connection = await sqlite.open({ file, track: 'none', busyTimeoutMs: 100 }, testContext())
    const collection = await connection.collection('t', { key })
    application.exec(change)
    await assert.rejects(async () => await collection.view?.({ fields: ['id', 'code', 'v'], where: null }), { code })
    application.exec("INSERT INTO t (id, code) VALUES (3, 'c')")
  })
