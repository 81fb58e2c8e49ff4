import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Gathering } from './gathering.ts'

test('what is asked for while work is under way is done together next, each with its own answer', async () => {
  const batches: number[][] = []
  const gathering = new Gathering<number, number>(async (items) => {
    batches.push([...items])
    await new Promise((resolve) => setImmediate(resolve))
    return items.map((item) => item * 10)
  })
  const first = [gathering.ask(1), gathering.ask(2)]
  await new Promise((resolve) => setImmediate(resolve))
  const rest = [3, 4, 5].map((item) => gathering.ask(item))
  assert.deepEqual(await Promise.all([...first, ...rest]), [10, 20, 30, 40, 50])
  assert.deepEqual(batches, [
    [1, 2],
    [3, 4, 5],
  ])
})

test('one that can’t be done fails alone', async () => {
  const done: number[] = []
  const gathering = new Gathering<number, number>(async (items) => {
    if (items.includes(2)) throw new Error('two')
    done.push(...items)
    return items
  })
  const all = await Promise.allSettled([1, 2, 3].map((item) => gathering.ask(item)))
  assert.deepEqual(
    all.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  )
  assert.deepEqual(done, [1, 3])
})
