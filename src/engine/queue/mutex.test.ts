import assert from 'node:assert/strict'
import { test } from 'node:test'
import { settle } from '../../testing/manual-clock.ts'
import { Mutex } from './mutex.ts'

test('work under one name does not overlap, and goes on in the order in which it was asked for', async () => {
  const mutex = new Mutex()
  const order: string[] = []
  const first = await mutex.hold(['file'])
  const waiting = ['second', 'third'].map(async (name) => {
    using _held = await mutex.hold(['file'])
    order.push(name)
    await settle()
    order.push(`${name} ended`)
  })
  using _other = await mutex.hold(['other'])
  await settle()
  assert.deepEqual(order, [])
  first?.[Symbol.dispose]()
  await Promise.all(waiting)
  assert.deepEqual(order, ['second', 'second ended', 'third', 'third ended'])
})

test('two who need the same names in another order do not wait for each other for ever', async () => {
  const mutex = new Mutex()
  const ended: string[] = []
  const work = async (name: string, names: readonly string[]) => {
    using _held = await mutex.hold(names)
    await settle()
    ended.push(name)
  }
  await Promise.all([work('a', ['x', 'y']), work('b', ['y', 'x']), work('c', []), work('d', ['x'])])
  assert.deepEqual(ended.toSorted(), ['a', 'b', 'c', 'd'])
})

test('who waits no longer gets nothing, and who waits behind it still waits for those before', async () => {
  const mutex = new Mutex()
  const first = await mutex.hold(['file'])
  const stopped = new AbortController()
  const second = mutex.hold(['file'], stopped.signal)
  let third = false
  const last = mutex.hold(['file']).then((held) => {
    third = true
    return held
  })
  stopped.abort()
  assert.equal(await second, null)
  await settle()
  assert.equal(third, false)
  first?.[Symbol.dispose]()
  assert.notEqual(await last, null)
  assert.equal(await mutex.hold(['file'], AbortSignal.abort()), null)
})
