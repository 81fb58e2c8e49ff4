import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ManualClock, settle } from '../../testing/manual-clock.ts'
import { TimeLimit } from './time-limit.ts'

const never = new Promise<string>(() => {})

describe('a time limit', () => {
  test('aborts its signal when the time is up, and waits as long again for who does not heed it', async () => {
    const clock = new ManualClock(0)
    using limit = new TimeLimit('a', 1000, new AbortController().signal, clock)
    let result = ''
    limit
      .keep(never, () => 'without it')
      .then((told) => {
        result = told
      })
    await clock.advance(999)
    assert.deepEqual([limit.signal.aborted, limit.passed], [false, false])
    await clock.advance(1)
    assert.deepEqual([limit.signal.aborted, limit.passed, limit.abandoned, result], [true, true, false, ''])
    assert.equal(limit.signal.reason.code, 'TIMED_OUT')
    await clock.advance(1000)
    await settle()
    assert.deepEqual([limit.abandoned, result], [true, 'without it'])
  })

  test('work that ends in time, or soon after its signal, is what counts', async () => {
    const clock = new ManualClock(0)
    using limit = new TimeLimit('a', 1000, new AbortController().signal, clock)
    const work = new Promise<string>((resolve) => limit.signal.addEventListener('abort', () => resolve('its own')))
    const kept = limit.keep(work, () => 'without it')
    await clock.advance(1000)
    assert.deepEqual([await kept, limit.abandoned], ['its own', false])
    await clock.advance(100_000)
    assert.equal(limit.abandoned, false)
  })

  test('without a time it takes as long as it takes, until its signal is aborted', async () => {
    const clock = new ManualClock(0)
    const stop = new AbortController()
    using limit = new TimeLimit('a', null, stop.signal, clock)
    const kept = limit.keep(never, () => 'without it')
    await clock.advance(1e9)
    assert.equal(limit.signal.aborted, false)
    stop.abort()
    await clock.advance(30_000)
    assert.deepEqual([await kept, limit.passed, limit.abandoned], ['without it', false, true])
  })
})
