/** Functions that give `undefined`: nobody said NULL, so nothing is written. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { compileExpression } from '../../src/config/expressions.ts'
import { fromFunction } from '../../src/core/convert.ts'
import { SyncError } from '../../src/core/error.ts'
import { field, World } from './world.ts'

const nothing = () => undefined
const mistyped = (text: string) => {
  const compiled = compileExpression(text)
  assert.ok(typeof compiled === 'function')
  return compiled
}

describe('point 62: undefined is an error of that row, with the name of the function', () => {
  const functions: Readonly<Record<string, readonly [ReturnType<typeof field>, RegExp]>> = {
    onConflict: [field('name', { onConflict: nothing }), /onConflict of field name returned undefined/],
    'an expression in onConflict': [
      field('name', { onConflict: (_base, left, right) => mistyped('rigth')({ left, right }) }),
      /onConflict of field name returned undefined/,
    ],
    'a condition without else': [
      field('name', { onConflict: (_base, left, right) => mistyped("$contains(left, '!') ? left")({ left, right }) }),
      /onConflict of field name returned undefined/,
    ],
    toRight: [
      field('name', { toRight: (name) => (name === 'Left' ? undefined : name) }),
      /field name: toRight returned undefined/,
    ],
    toLeft: [
      field('name', { toLeft: (name) => (name === 'Right' ? undefined : name) }),
      /field name: toLeft returned undefined/,
    ],
  }
  for (const [name, [of, message]] of Object.entries(functions))
    test(name, async () => {
      const world = new World({ fields: [of, field('email'), field('phone')], onConflict: 'left' })
      const rows = [
        [1, 'Ann', 'ann@x.org', '1'],
        [2, 'Bob', 'bob@x.org', '2'],
      ]
      for (const side of ['left', 'right'] as const) world[side].put('contacts', ...rows)
      assert.equal((await world.sync()).status, 'succeeded')
      if (name !== 'toLeft') world.left.put('contacts', [1, 'Left', 'ann@x.org', '1'])
      if (name !== 'toRight') world.right.put('contacts', [1, 'Right', 'ann@x.org', '1'])
      world.left.put('contacts', [2, 'Bob', 'bob@x.org', '3'])
      const before = [world.left.rows('contacts')[0], world.right.rows('contacts')[0]]
      const record = await world.sync()
      assert.deepEqual([record.error?.code, record.rejected, World.writes(record)], ['ROWS_REJECTED', 1, 1])
      assert.deepEqual([world.left.rows('contacts')[0], world.right.rows('contacts')[0]], before)
      await using reader = await world.store.pairs.read('contacts')
      assert.match((await reader.waiting()).pairs[0]?.message ?? '', message)
    })

  test('null is said, and written', async () => {
    const world = new World({ fields: [field('name', { onConflict: () => null }), field('email'), field('phone')] })
    for (const side of ['left', 'right'] as const) world[side].put('contacts', [1, 'Ann', 'ann@x.org', '1'])
    await world.sync()
    for (const side of ['left', 'right'] as const) world[side].put('contacts', [1, side, 'ann@x.org', '1'])
    assert.equal((await world.sync()).status, 'succeeded')
    assert.deepEqual([world.left.rows('contacts')[0]?.[1], world.right.rows('contacts')[0]?.[1]], [null, null])
  })

  test('what is no value of the type is said in words', () => {
    const says = (given: unknown) => {
      try {
        return String(fromFunction('integer', given, 'compute of field n'))
      } catch (error) {
        return error instanceof SyncError ? error.message : 'no SyncError'
      }
    }
    assert.equal(says({}), 'compute of field n returned an object, which is no integer')
    assert.equal(says('x'), 'compute of field n returned a string, which is no integer')
    assert.equal(says(undefined), 'compute of field n returned undefined')
  })
})
