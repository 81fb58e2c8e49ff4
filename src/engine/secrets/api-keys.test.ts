import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openMemoryStore } from '../../store/sqlite/store.ts'
import { checkKey, createFirstKey, deleteKey, listKeys } from './api-keys.ts'

test('of several servers that start at once, one makes the first key; when all keys are gone, there is a first one again', async () => {
  await using store = openMemoryStore()
  const { records } = store
  const texts = await Promise.all([1, 2, 3].map(() => createFirstKey(records, 1000)))
  const [text = ''] = texts.filter((one) => one !== null)
  assert.deepEqual([texts.filter((one) => one !== null).length, (await listKeys(records)).length], [1, 1])
  const key = await checkKey(records, text)
  assert.equal(key?.scope, 'admin')
  assert.equal(await createFirstKey(records, 3_600_000), null)
  await deleteKey(records, key?.id ?? '')
  assert.notEqual(await createFirstKey(records, 3_600_000), null)
})
