/** Writes that change a row's key: the pair goes on with the key that the row has then. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { undoRun } from '../../src/engine/two-way/undo.ts'
import { sqliteDatabase } from '../hazards/pair.ts'
import { openTwoWay } from './pair.ts'

/** The key is a field of the sync, and the same person has two of them. */
async function opened() {
  const [left, right] = [await sqliteDatabase('triggers'), await sqliteDatabase('triggers')]
  const pair = openTwoWay(left, right, { match: [{ field: 'email', by: null }], onConflict: 'left' })
  await left.sql(`CREATE TABLE contacts (id INTEGER PRIMARY KEY, name TEXT, email TEXT, note TEXT);
    INSERT INTO contacts VALUES (1, 'Ada', 'ada@x.org', 'of the left alone')`)
  await right.sql(`CREATE TABLE contacts (id INTEGER PRIMARY KEY, name TEXT, email TEXT);
    INSERT INTO contacts VALUES (7, 'Ada L.', 'ada@x.org')`)
  assert.equal(await pair.writes(), 1)
  assert.deepEqual(await pair.read('right', 'SELECT id, name FROM contacts'), [['1', 'Ada']])
  return pair
}

describe('a write that changes a key', () => {
  test('leaves both sides equal', async () => {
    await using pair = await opened()
    assert.equal((await pair.verify()).equal, true)
    assert.equal(await pair.writes(), 0)
  })

  test('loses nothing when a person changes the match of that row next', async () => {
    await using pair = await opened()
    await pair.right.sql(`UPDATE contacts SET email = 'ada@y.org'`)
    assert.equal(await pair.writes(), 1)
    const rows = await pair.read('left', 'SELECT id, email, note FROM contacts')
    assert.deepEqual(rows, [['1', 'ada@y.org', 'of the left alone']])
    assert.equal((await pair.verify()).equal, true)
  })

  test('is undone, and the pair is the same', async () => {
    await using pair = await opened()
    const [run] = await pair.store.runs.list({ limit: 1 })
    const { leases, holder } = pair.store
    const lease = await leases.take(pair.sync.id, holder, Date.now(), 60_000)
    const undone = await undoRun(run?.id ?? '', pair.sync, pair.project, { lease, id: 'undo' })
    await leases.free(pair.sync.id, lease)
    assert.deepEqual(
      undone.map(({ status }) => status),
      ['undone'],
    )
    assert.deepEqual(await pair.read('right', 'SELECT id, name FROM contacts'), [['7', 'Ada L.']])
    await pair.right.sql(`UPDATE contacts SET email = 'ada@y.org'`)
    assert.equal(await pair.writes(), 1)
    assert.deepEqual(await pair.read('left', 'SELECT id, email FROM contacts'), [['1', 'ada@y.org']])
  })
})
