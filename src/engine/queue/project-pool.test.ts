import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openMemoryStore } from '../../store/sqlite/store.ts'
import { testContext } from '../../testing/connector-harness.ts'
import { ManualClock } from '../../testing/manual-clock.ts'
import { type OwnedProject, Slots } from './project-pool.ts'

test('at the end a project in use is closed without waiting for that; one that is not is waited for', async () => {
  await using store = openMemoryStore()
  const context = testContext()
  const closing: string[] = []
  const closed: string[] = []
  let made = 0
  const make = (): OwnedProject => {
    const id = made++ === 0 ? 'free' : 'stuck'
    return {
      ...{ id, store, context, unreachable: new Set<string>(), emit: () => {} },
      connection: () => Promise.reject(new Error('there is none')),
      reconnect: async () => {},
      [Symbol.asyncDispose]: async () => {
        closing.push(id)
        if (id === 'stuck') await new Promise(() => {})
        closed.push(id)
      },
    }
  }
  const slots = new Slots(make, new ManualClock(0))
  const { signal } = new AbortController()
  const [first, second] = [slots.take(signal, true), slots.take(signal, true)]
  assert.equal(second.project.id, 'stuck')
  await first[Symbol.asyncDispose]()
  await slots[Symbol.asyncDispose]()
  assert.deepEqual(closing, ['free', 'stuck'])
  assert.deepEqual(closed, ['free'])
})
