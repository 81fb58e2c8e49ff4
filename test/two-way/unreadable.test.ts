/** Rows that a side can't give as its schema declares them: whatever else is right, the sides are not proven equal. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openPair, sqliteDatabase } from '../hazards/pair.ts'
import { openTwoWay } from './pair.ts'
import { field } from './world.ts'

async function paired() {
  const [left, right] = [await sqliteDatabase(), await sqliteDatabase()]
  for (const { sql } of [left, right])
    await sql('CREATE TABLE contacts (id INTEGER PRIMARY KEY, ok BOOLEAN); INSERT INTO contacts VALUES (1, 1), (2, 0)')
  const pair = openTwoWay(left, right, { fields: [field('id'), field('ok')], match: [{ field: 'id', by: null }] })
  assert.equal(await pair.writes(), 0)
  return pair
}

const unreadable = "x'00'"

for (const side of ['left', 'right'] as const) {
  const there = side === 'left' ? 'right' : 'left'

  test(`point 60: a row of the ${side} that can't be read and has no pair is listed, and nothing is equal`, async () => {
    await using pair = await paired()
    await pair[side].sql(`INSERT INTO contacts VALUES (10, ${unreadable})`)
    for (let run = 0; run < 2; run++) {
      const found = await pair.verify()
      assert.deepEqual([found.equal, found[side], found[there]], [false, 3, 2])
      assert.deepEqual(
        [found.missing, found.extra, found.different, found.unreadable, found.keys.unreadable],
        [0, 0, 0, 1, [{ id: 10 }]],
      )
      assert.equal((await pair.run()).rejected, 1)
    }
    await pair[side].sql('DELETE FROM contacts WHERE id = 10')
    assert.equal(await pair.writes(), 0)
    const found = await pair.verify()
    assert.deepEqual([found.equal, found.left, found.right, found.unreadable], [true, 2, 2, 0])
  })

  test(`point 60: a pair whose row on the ${side} can't be read is not equal`, async () => {
    await using pair = await paired()
    await pair[side].sql(`UPDATE contacts SET ok = ${unreadable} WHERE id = 1`)
    const found = await pair.verify()
    assert.deepEqual([found.equal, found.left, found.right, found.unreadable], [false, 2, 2, 1])
    assert.deepEqual(found.keys.unreadable, [{ id: 1 }])
    // Gone on the other side: still nobody knows what it holds.
    await pair[there].sql('DELETE FROM contacts WHERE id = 1')
    const after = await pair.verify()
    assert.deepEqual([after.equal, after.missing, after.extra, after.unreadable], [false, 0, 0, 1])
  })
}

test('point 60: one way, a row that either side can’t give is not equal, and the totals add up', async () => {
  const [left, right] = [await sqliteDatabase(), await sqliteDatabase()]
  for (const { sql } of [left, right]) await sql('CREATE TABLE t (id INTEGER PRIMARY KEY, ok BOOLEAN)')
  await left.sql('INSERT INTO t VALUES (1, 1), (2, 0), (3, 1)')
  await using pair = await openPair(left, right, { adopt: true })
  await pair.mustRun()
  await right.sql(`UPDATE t SET ok = ${unreadable} WHERE id = 1`)
  const target = await pair.verify()
  assert.deepEqual([target.equal, target.left, target.right, target.unreadable, target.missing], [false, 3, 3, 1, 0])
  assert.deepEqual(target.keys.unreadable, [{ id: 1 }])
  await left.sql(`UPDATE t SET ok = ${unreadable} WHERE id = 2`)
  const both = await pair.verify()
  assert.deepEqual([both.equal, both.left, both.right, both.unreadable], [false, 3, 3, 2])
  assert.deepEqual([both.missing, both.extra, both.different], [0, 0, 0])
})

const keys = { 'is NULL': 'NULL', 'is no text': "CAST(x'62ff' AS TEXT)" } as const

for (const side of ['left', 'right'] as const)
  for (const track of [undefined, 'triggers'] as const)
    for (const [what, key] of Object.entries(keys))
      test(`a row of the ${side}${track === undefined ? '' : ', followed by triggers,'} whose key ${what} is on record as long as it is there, and nothing is equal`, async () => {
        const [left, right] = [await sqliteDatabase(track), await sqliteDatabase(track)]
        for (const { sql } of [left, right])
          await sql(
            `CREATE TABLE contacts (id TEXT PRIMARY KEY, n INTEGER); INSERT INTO contacts VALUES ('a', 1), ('c', 0)`,
          )
        await using pair = openTwoWay(left, right, {
          fields: [field('id'), field('n')],
          match: [{ field: 'id', by: null }],
        })
        await pair[side].sql(`INSERT INTO contacts VALUES (${key}, 5)`)
        const told = async (rejected: number, unreadable: number) => {
          const run = await pair.run()
          assert.deepEqual(
            [run.status, run.rejected],
            [rejected > 0 ? 'failed' : 'succeeded', rejected],
            run.error?.message,
          )
          const found = await pair.verify()
          assert.deepEqual([found.equal, found.unreadable, found[side]], [unreadable === 0, unreadable, 2 + unreadable])
          await using memory = await pair.store.pairs.read('contacts')
          const { unpaired } = await memory.waiting()
          assert.equal(unpaired.length, rejected)
          if (unreadable > 1) assert.match(unpaired[0]?.message ?? '', /^2 rows: /)
        }
        await told(1, 1)
        await pair[side].sql(`UPDATE contacts SET n = 7 WHERE id = 'a'`)
        await told(1, 1)
        await pair[side].sql(`INSERT INTO contacts VALUES (${what === 'is NULL' ? key : "CAST(x'62fe' AS TEXT)"}, 6)`)
        await told(1, 2)
        await pair[side].sql('DELETE FROM contacts WHERE n = 6')
        await told(1, 1)
        await pair[side].sql(`UPDATE contacts SET id = 'b' WHERE n = 5`)
        const run = await pair.run()
        assert.deepEqual([run.status, run.inserted, run.rejected], ['succeeded', 1, 0], run.error?.message)
        assert.equal((await pair.verify()).equal, true)
      })

for (const side of ['left', 'right'] as const)
  for (const track of [undefined, 'triggers'] as const)
    test(`a deletion on the ${side}${track === undefined ? '' : ', of which no trigger tells,'} is found, however many rows there have no key (hazard 5)`, async () => {
      const [left, right] = [await sqliteDatabase(track), await sqliteDatabase(track)]
      for (const { sql } of [left, right])
        await sql(
          "CREATE TABLE contacts (id TEXT PRIMARY KEY, n INTEGER UNIQUE); INSERT INTO contacts VALUES ('a', 1), ('b', 2)",
        )
      await using pair = openTwoWay(left, right, {
        fields: [field('id'), field('n')],
        match: [{ field: 'id', by: null }],
      })
      const there = side === 'left' ? 'right' : 'left'
      assert.equal(await pair.writes(), 0)
      await pair[side].sql('INSERT INTO contacts VALUES (NULL, 5), (NULL, 6)')
      await pair.run()
      // Four rows and four keys that are known, of which one is gone. What REPLACE deletes fires no trigger.
      await pair[side].sql("INSERT OR REPLACE INTO contacts VALUES ('c', 2)")
      for (let run = 0; run < 2; run++) await pair.run()
      assert.deepEqual(await pair[there].sql('SELECT id, n FROM contacts ORDER BY n'), [
        ['a', '1'],
        ['c', '2'],
      ])
    })

test('a row whose key changes stays paired by its match beside rows without a key', async () => {
  const [left, right] = [await sqliteDatabase(), await sqliteDatabase()]
  for (const { sql } of [left, right]) await sql('CREATE TABLE contacts (id TEXT PRIMARY KEY, email TEXT)')
  await using pair = openTwoWay(left, right, {
    fields: [field('id'), field('email')],
    match: [{ field: 'email', by: null }],
  })
  await pair.left.sql("INSERT INTO contacts VALUES ('a', 'ann'), (NULL, 'x'), (NULL, 'y')")
  await pair.run()
  await pair.left.sql("UPDATE contacts SET id = 'b' WHERE id = 'a'")
  await pair.run()
  assert.deepEqual(await pair.right.sql('SELECT id, email FROM contacts'), [['b', 'ann']])
})
