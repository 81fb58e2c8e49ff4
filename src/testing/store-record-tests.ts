/** The contract of the store of records, as tests. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { WithState } from './store-state.ts'

export function recordTests(withState: WithState): void {
  test(
    'a record is kept by kind and id, for whoever opens the store',
    withState(async (state) => {
      await using store = await state.open()
      await using other = await state.open()
      assert.equal(await store.records.put(record('a', 'one')), 1)
      assert.equal(await store.records.put({ ...record('a', 'other kind'), kind: 'key' }), 1)
      assert.equal(await store.records.put(record('a', 'two')), 2)
      assert.deepEqual(await other.records.get('connection', 'a'), { ...record('a', 'two'), version: 2 })
      assert.equal(await other.records.get('connection', 'b'), null)
    }),
  )

  test(
    'of several who change one version of a record, one succeeds',
    withState(async (state) => {
      await using store = await state.open()
      await using other = await state.open()
      const made = await Promise.all([
        store.records.put(record('a', 'mine'), 0),
        other.records.put(record('a', 'theirs'), 0),
      ])
      assert.deepEqual(made.toSorted(), [1, null])
      const changed = await Promise.all([
        store.records.put(record('a', 'x'), 1),
        other.records.put(record('a', 'y'), 1),
      ])
      assert.deepEqual(changed.toSorted(), [2, null])
      assert.equal(await store.records.put(record('b', 'x'), 1), null)
      assert.equal(await store.records.get('connection', 'b'), null)
    }),
  )

  test(
    'a list is in the order of ids, page by page',
    withState(async (state) => {
      await using store = await state.open()
      for (const id of ['d', 'b', 'a', 'c']) await store.records.put(record(id, id))
      assert.deepEqual(
        (await store.records.list('connection', { limit: 2 })).map(({ id }) => id),
        ['a', 'b'],
      )
      assert.deepEqual(
        (await store.records.list('connection', { limit: 9, after: 'b' })).map(({ id }) => id),
        ['c', 'd'],
      )
    }),
  )

  test(
    'of several who delete a record, one is told so; what has expired is swept away',
    withState(async (state) => {
      await using store = await state.open()
      await using other = await state.open()
      await store.records.put(record('a', 'x'))
      const deleted = await Promise.all([
        store.records.delete('connection', 'a'),
        other.records.delete('connection', 'a'),
      ])
      assert.deepEqual(deleted.toSorted(), [false, true])
      await store.records.put({ ...record('old', 'x'), expiresAt: 1000 })
      await store.records.put({ ...record('young', 'x'), expiresAt: 2000 })
      await store.records.put(record('for ever', 'x'))
      assert.equal(await store.records.sweep(1000), 1)
      assert.deepEqual(
        (await store.records.list('connection', { limit: 9 })).map(({ id }) => id),
        ['for ever', 'young'],
      )
    }),
  )
}

function record(id: string, body: string) {
  return { kind: 'connection', id, body, expiresAt: null }
}
