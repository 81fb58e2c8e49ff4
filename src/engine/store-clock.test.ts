import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StoreClock } from './store-clock.ts'

test('point 47: the store’s clock counts, whatever the machine’s says; a machine that is off by much is told once', async () => {
  const told: string[] = []
  let storeMs = Date.now() + 3_600_000
  const clock = new StoreClock(
    async () => storeMs,
    (message) => told.push(message),
  )
  assert.ok(Math.abs(clock.now() - Date.now()) < 5000)
  await clock.look()
  assert.ok(Math.abs(clock.now() - storeMs) < 5000)
  storeMs += 1000
  await clock.look()
  assert.equal(told.length, 1)
  assert.match(told[0] ?? '', /^the clock of this machine is off by (3599|3600) s; the store's counts$/)
})

test('a store that does not answer leaves the time as it was known', async () => {
  const told: string[] = []
  let down = false
  const at = Date.now() - 3_600_000
  const read = async () => {
    if (down) throw new Error('no answer')
    return at
  }
  const clock = new StoreClock(read, (message) => told.push(message))
  await clock.look()
  down = true
  const stop = new AbortController()
  const following = clock.follow(stop.signal)
  await new Promise((resolve) => setImmediate(resolve))
  stop.abort()
  await following
  assert.ok(Math.abs(clock.now() - at) < 60_000)
  assert.match(told.at(-1) ?? '', /asking the store for the time failed: no answer/)
})
