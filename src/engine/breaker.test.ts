import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Breaker } from './breaker.ts'

describe('the breaker', () => {
  test('a connection that fails three times is left alone, longer each time, and no other with it', () => {
    const breaker = new Breaker()
    assert.deepEqual([breaker.failed('a', 1000), breaker.failed('a', 1000)], [null, null])
    assert.equal(breaker.readyAt(['a', 'b']), 0)
    assert.equal(breaker.failed('a', 1000), 6000)
    assert.equal(breaker.failed('a', 6000), 16_000)
    assert.equal(breaker.readyAt(['a', 'b']), 16_000)
    assert.equal(breaker.readyAt(['b']), 0)
    let until = 0
    for (let times = 0; times < 30; times++) until = breaker.failed('a', 20_000) ?? 0
    assert.equal(until, 320_000)
  })

  test('while one tries, the others go on waiting; when it gets through, all may', () => {
    const breaker = new Breaker()
    for (let times = 0; times < 3; times++) breaker.failed('a', 1000)
    breaker.enter(['a', 'b'], 6000)
    assert.equal(breaker.readyAt(['a']), 11_000)
    assert.equal(breaker.readyAt(['b']), 0)
    assert.equal(breaker.succeeded('a'), true)
    assert.equal(breaker.readyAt(['a']), 0)
  })

  test('one that gets through between two failures is not left alone', () => {
    const breaker = new Breaker()
    for (let round = 0; round < 5; round++) {
      assert.deepEqual([breaker.failed('a', 0), breaker.failed('a', 0)], [null, null])
      assert.equal(breaker.succeeded('a'), false)
    }
  })
})
