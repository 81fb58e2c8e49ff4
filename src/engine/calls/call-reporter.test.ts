import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Calls, LimitStore } from '../../store/limits.ts'
import { ManualClock, settle } from '../../testing/manual-clock.ts'
import { Limiter } from './rate-limiter.ts'

const never = new AbortController().signal

test('calls are told of once a second as long as there are any, and once more when they have ended; short ones are not', async () => {
  const clock = new ManualClock(0)
  const told: (readonly Calls[])[] = []
  let fails = false
  const store: LimitStore = {
    take: async () => ({ kind: 'taken' }),
    free: async () => {},
    pause: async () => {},
    exchange: async (calls) => {
      if (fails) throw new Error('nobody answers')
      told.push(calls)
      return []
    },
  }
  const limiter = new Limiter(
    clock,
    () => 0,
    undefined,
    async () => store,
  )
  ;(await limiter.turn('crm', {}, never))[Symbol.dispose]()
  await clock.advance(5000)
  assert.deepEqual(told, [])

  const first = await limiter.turn('crm', { concurrent: 1 }, never)
  const stop = new AbortController()
  const given = limiter.turn('crm', { concurrent: 1 }, stop.signal).catch(() => 'given up')
  await clock.advance(1000)
  const both = [{ connection: 'crm', active: 1, waiting: 1 }]
  assert.deepEqual(told, [both])
  fails = true
  await clock.advance(1000)
  fails = false
  stop.abort()
  assert.equal(await given, 'given up')
  await clock.advance(1000)
  const one = [{ connection: 'crm', active: 1, waiting: 0 }]
  assert.deepEqual(told, [both, one])
  first[Symbol.dispose]()
  await settle()
  assert.deepEqual(told, [both, one, []])
  await clock.advance(5000)
  assert.equal(told.length, 3)
})
