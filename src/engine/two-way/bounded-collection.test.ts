import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sqliteDatabase } from '../../../test/hazards/pair.ts'
import { everything } from '../../connectors/connector.ts'
import { bounded } from './bounded-collection.ts'

test('point 40: a row too large for a two-way sync is rejected by its key, however it is read', async () => {
  await using database = await sqliteDatabase()
  await database.sql(`CREATE TABLE t (data TEXT, id INTEGER PRIMARY KEY);
    INSERT INTO t VALUES ('a', 1), (hex(zeroblob(100000)), 2), ('c', 3)`)
  await using connection = await database.connect({
    signal: new AbortController().signal,
    clock: { now: () => 0, sleep: async () => {} },
    random: () => 0,
    log: () => {},
  })
  const collection = bounded(await connection.collection('t'), 100_000)
  const selection = { fields: ['data', 'id'], where: null }
  const found: unknown[] = []
  const { signal } = new AbortController()
  for await (const page of collection.read(null, { ...selection, signal })) {
    found.push(...page.puts, ...page.rejects)
    for await (const chunk of page.view?.scan(everything, ['id', 'data']) ?? [])
      found.push(...chunk.rows.map(([id]) => id), ...chunk.rejects)
  }
  const { rows, rejects } = await collection.lookup.fetch([[1], [2]])
  const refused = {
    key: [2],
    code: 'VALUE_REFUSED',
    message: 'the row is too large for a two-way sync (more than 64 MB)',
  }
  assert.deepEqual(found, [['a', 1], ['c', 3], refused, 1, 3, refused])
  assert.deepEqual([...rows, ...rejects], [['a', 1], refused])
})
