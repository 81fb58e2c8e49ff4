import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Turns } from './turns.ts'

const never = new AbortController().signal

test('two of a project have their turn, sixteen wait, more are refused; other projects have turns of their own', async () => {
  const turns = new Turns()
  const had: number[] = []
  const held: Disposable[] = []
  const asked = Array.from({ length: 18 }, (_none, at) =>
    turns.take('red', never).then((turn) => {
      had.push(at)
      held.push(turn)
    }),
  )
  await Promise.all(asked.slice(0, 2))
  await assert.rejects(turns.take('red', never), { code: 'RATE_LIMITED' })
  held.push(await turns.take('blue', never))
  assert.deepEqual(had, [0, 1])
  for (let at = 0; at < 19; at++) {
    held.shift()?.[Symbol.dispose]()
    await new Promise((resolve) => setImmediate(resolve))
  }
  await Promise.all(asked)
  assert.deepEqual(
    had,
    Array.from({ length: 18 }, (_none, at) => at),
  )
})

test('who hangs up while waiting gives the place to others', async () => {
  const turns = new Turns()
  const held = [await turns.take(null, never), await turns.take(null, never)]
  const hangUp = new AbortController()
  const waiting = turns.take(null, hangUp.signal)
  hangUp.abort(new Error('gone'))
  await assert.rejects(waiting, /gone/)
  for (const turn of held) turn[Symbol.dispose]()
  assert.equal(await Promise.all([1, 2].map(() => turns.take(null, never))).then((turns) => turns.length), 2)
})
