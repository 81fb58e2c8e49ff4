import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, test } from 'node:test'
import { testContext } from '../../testing/connector-harness.ts'
import { inTransaction, sessionOf } from './session.ts'

function open() {
  const database = new DatabaseSync(':memory:')
  database.exec('create table t (id integer primary key)')
  return { database, session: sessionOf(database, 'the file', testContext()) }
}

describe('a transaction of a SQLite handle', () => {
  test('leaves no trace when its work fails after a wait', async () => {
    const { database, session } = open()
    const work = inTransaction(database, 'the file', async () => {
      await session.execute('insert into t values (?)', [1])
      throw new Error('no')
    })
    await assert.rejects(work, /^Error: no$/)
    assert.ok(!database.isTransaction)
    assert.deepEqual(await session.query('select * from t'), [])
  })

  test("tells SQLite's errors as ours, also when a statement has ended it", async () => {
    const { database, session } = open()
    await session.execute('insert into t values (?)', [1])
    const work = inTransaction(database, 'the file', async () => {
      await session.execute('insert or rollback into t values (?)', [1])
    })
    await assert.rejects(work, { code: 'VALUE_REFUSED', message: /the file: UNIQUE constraint failed/ })
    assert.ok(!database.isTransaction)
    assert.deepEqual(await session.query('select * from t'), [[1]])
  })
})

test('no SQL of ours numbers its parameters, which Node 22.18 takes for named ones', () => {
  const folders = ['connectors/sqlite', 'connectors/sql', 'store/sqlite'].map((name) =>
    join(import.meta.dirname, '../..', name),
  )
  const files = folders.flatMap((folder) => globSync('*.ts', { cwd: folder }).map((name) => join(folder, name)))
  const found = files.filter((file) => !file.endsWith('.test.ts') && /[(\s=]\?\d\b/.test(readFileSync(file, 'utf8')))
  assert.ok(files.length > 20)
  assert.deepEqual(found, [])
})
