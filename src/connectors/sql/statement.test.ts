import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { raw, rendered, sql } from './statement.ts'

const numbered = (at: number) => `$${at}`

describe('a statement', () => {
  test('has its values in the order in which they stand, also those of its parts', () => {
    const part = sql`b IN (${2}, ${null})`
    const { text, values } = rendered(
      sql`SELECT ${raw('"a"')} FROM t WHERE a = ${'x'} AND ${part} AND c = ${3}`,
      numbered,
    )
    assert.equal(text, 'SELECT "a" FROM t WHERE a = $1 AND b IN ($2, $3) AND c = $4')
    assert.deepEqual(values, ['x', 2, null, 3])
  })

  test('never takes a value for SQL', () => {
    const { text, values } = rendered(sql`SELECT ${'1; DROP TABLE t'}, ${'$1'}`, numbered)
    assert.equal(text, 'SELECT $1, $2')
    assert.deepEqual(values, ['1; DROP TABLE t', '$1'])
  })
})
