import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { streamOf } from './text-stream.ts'

function counted(pieces: readonly string[]) {
  const state = { ended: false }
  const all = async function* () {
    try {
      yield* pieces
    } finally {
      state.ended = true
    }
  }
  return { state, pieces: all() }
}

test('what is read is all there is', async () => {
  for (const pieces of [[], ['a'], ['a', 'b', 'c']]) {
    const { state, pieces: source } = counted(pieces)
    assert.deepEqual(await Array.fromAsync(await streamOf(source)), pieces)
    assert.equal(state.ended, true)
  }
})

test('a reader that takes nothing, from the beginning or later, is not waited for; what it read from is closed', async () => {
  for (const taken of [0, 2]) {
    const { state, pieces } = counted(Array.from({ length: 100 }, String))
    const stream = await streamOf(pieces, 50)
    for (let at = 0; at < taken; at++) await stream.iterator({ destroyOnReturn: false }).next()
    const [error] = await once(stream, 'error')
    assert.equal(error.code, 'TIMED_OUT')
    await turn()
    assert.deepEqual([state.ended, stream.destroyed], [true, true])
  }
})

test('one that is slow to give is waited for', async () => {
  const slow = Readable.from(
    (async function* () {
      yield 'a'
      await new Promise((resolve) => setTimeout(resolve, 200))
      yield 'b'
    })(),
  )
  assert.deepEqual(await Array.fromAsync(await streamOf(slow, 50)), ['a', 'b'])
})
