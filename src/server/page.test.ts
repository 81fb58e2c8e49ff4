import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cutPage, readPage } from './page.ts'

const numbers = Array.from({ length: 25 }, (_, at) => 25 - at)
const list = async (before: string | undefined, limit: number) =>
  numbers.filter((number) => before === undefined || number < Number(before)).slice(0, limit)

test('pages of a list that a store keeps are whole, and together they are everything', async () => {
  const seen: number[] = []
  for (let after: string | undefined; ; ) {
    const { items, next } = await readPage({ after, limit: 3 }, list, String)
    seen.push(...items)
    if (next === null) break
    assert.equal(items.length, 3)
    after = next
  }
  assert.deepEqual(seen, numbers)
})

test('a list of nothing is one empty page', async () => {
  assert.deepEqual(await readPage({ limit: 4 }, async () => [], String), { items: [], next: null })
})

test('a list at hand is cut into pages that together are everything; what is not of it is no place in it', () => {
  for (const limit of [1, 2, 5, 24, 25, 100]) {
    const seen: number[] = []
    for (let after: string | undefined; ; ) {
      const { items, next } = cutPage(numbers, { after, limit }, String)
      seen.push(...items)
      if (next === null) break
      assert.equal(items.length, limit)
      after = next
    }
    assert.deepEqual(seen, numbers)
  }
  assert.deepEqual(cutPage([], { limit: 3 }, String), { items: [], next: null })
  assert.throws(() => cutPage(numbers, { after: '99', limit: 3 }, String), { code: 'USAGE_INVALID' })
})
