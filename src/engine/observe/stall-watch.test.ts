import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StallWatch } from './stall-watch.ts'

test('point 50: a stall of more than a second is told, with what ran before and after it', () => {
  const told: string[] = []
  let running: readonly string[] = []
  const watch = new StallWatch({ log: (message) => told.push(message), running: () => running })
  watch.look(0)
  watch.look(250)
  watch.look(1400)
  assert.deepEqual(told, [])
  running = ['sync orders', 'POST /api/syncs/x/verify']
  watch.look(1650)
  running = ['sync orders', 'GET /api/runs']
  watch.look(4000)
  assert.deepEqual(told, [
    'the process stood still for 2.1 s; at that time it ran: sync orders, POST /api/syncs/x/verify, GET /api/runs',
  ])
  running = Array.from({ length: 9 }, (_none, at) => `sync ${at}`)
  watch.look(4250)
  watch.look(9000)
  assert.match(told[1] ?? '', /4\.5 s; at that time it ran: sync 0, sync 1, sync 2, sync 3, sync 4 and 4 more/)
})
