import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gatheredBy, handlerSync } from './handler-syncs.ts'

test('no two syncs of connections gather into one place, whatever they are called', () => {
  const pairs = [
    ['a', 'b__c'],
    ['a__b', 'c'],
    ['a_', '_b'],
    ['a', '__b'],
    ['a', 'b/c'],
    ['a', '/b'],
  ] as const
  const targets = pairs.map(([connection, sync]) => handlerSync(connection, sync, { kind: 'manual' }).to)
  assert.equal(new Set(targets.map(({ connection }) => connection)).size, pairs.length)
  assert.equal(new Set(targets.map(({ connection }) => gatheredBy(connection))).size, pairs.length)
  for (const { connection, collection } of targets) assert.equal(gatheredBy(connection), collection)
})
