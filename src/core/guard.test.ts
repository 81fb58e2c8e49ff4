import assert from 'node:assert/strict'
import { test } from 'node:test'
import { holds } from './guard.ts'

const guard = { maxDeletes: 10, maxDeleteShare: 0.2 }

const table: readonly (readonly [
  why: string,
  deletions: [deletes: number, target: number, source: number, released: number | null],
  held: boolean,
])[] = [
  ['nothing is deleted', [0, 100, 0, null], false],
  ['few rows, though a large share', [10, 12, 2, null], false],
  ['many rows, though a small share', [200, 1000, 800, null], false],
  ['many rows and a large share', [201, 1000, 799, null], true],
  ['one more than few, and more than the share', [11, 54, 43, null], true],
  ['the source is empty, however small the target', [1, 1, 0, null], true],
  ['the source is empty, and the target large', [1000, 1000, 0, null], true],
  ['a person released as many', [500, 1000, 500, 500], false],
  ['a person released more', [400, 1000, 600, 500], false],
  ['a person released fewer', [501, 1000, 499, 500], true],
  ['a person released all of it', [1000, 1000, 0, 1000], false],
  ['a release does not hold what would go through anyway', [5, 1000, 995, 1], false],
]
for (const [why, [deletes, targetRows, sourceRows, released], held] of table) {
  test(`${held ? 'held' : 'goes through'}: ${why} (hazard 6)`, () => {
    assert.equal(holds(guard, { deletes, targetRows, sourceRows, released }), held)
  })
}
