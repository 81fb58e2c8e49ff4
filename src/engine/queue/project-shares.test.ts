import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Shares } from './project-shares.ts'

test('a project gets all hands but one, others go on, and what is given back may be taken again', () => {
  const shares = new Shares(3)
  const first = shares.take('red')
  assert.ok(first !== null && shares.take('red') !== null)
  assert.equal(shares.take('red'), null)
  assert.ok(shares.take('blue') !== null)
  for (let i = 0; i < 5; i++) assert.ok(shares.take(null) !== null)
  first[Symbol.dispose]()
  assert.ok(shares.take('red') !== null)
})

test('a single hand is everybody’s', () => {
  const shares = new Shares(1)
  assert.ok(shares.take('red') !== null)
  assert.equal(shares.take('red'), null)
})
