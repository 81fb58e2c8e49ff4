import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as timer } from 'node:timers/promises'
import { systemClock } from './clock.ts'

test('a sleep longer than a timer can be lasts until it is interrupted', async () => {
  for (const ms of [2 ** 31, 3_000_000_000, Number.POSITIVE_INFINITY]) {
    const stop = new AbortController()
    let awake = false
    const sleeping = systemClock.sleep(ms, stop.signal).finally(() => {
      awake = true
    })
    await timer(30)
    assert.equal(awake, false)
    stop.abort(new Error('enough'))
    await assert.rejects(sleeping, /enough/)
  }
})
