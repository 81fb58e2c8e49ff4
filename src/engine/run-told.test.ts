import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newRunId } from './run-told.ts'

test('run ids of one millisecond are all different, and those of the next come after them', () => {
  const made = (now: number) => {
    const clock = { now: () => now, sleep: async () => {} }
    const context = { clock, random: Math.random, signal: new AbortController().signal, log: () => {} }
    return Array.from({ length: 50_000 }, () => newRunId({ context }))
  }
  const [first, next] = [made(1_796_000_000_000), made(1_796_000_000_001)]
  assert.equal(new Set([...first, ...next]).size, 100_000)
  assert.ok((first.toSorted().at(-1) ?? '') < (next.toSorted()[0] ?? ''))
})
