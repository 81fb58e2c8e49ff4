import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type Exports, resolveFunctions } from './functions.ts'
import type { Mistake } from './mistakes.ts'

const exports: Exports = new Map<string, unknown>([
  ['double', (row: { readonly n: number }) => row.n * 2],
  ['later', (_base: unknown, left: number, right: number) => Math.max(left, right)],
  ['limit', 12],
])

describe('functions by name and by expression', () => {
  test('stand wherever a function may', () => {
    const { value, mistakes } = resolve({
      fields: { a: { compute: { export: 'double' } }, b: { toRight: { jsonata: '$ * 2' }, onConflict: 'left' } },
      match: ['a', { field: 'b', by: { jsonata: '$lowercase($)' } }],
      onConflict: { jsonata: 'left > right ? left : right' },
    })
    assert.deepEqual(mistakes, [])
    const { fields, match, onConflict } = value as unknown as Resolved
    assert.equal(fields.a.compute({ n: 4 }), 8)
    assert.equal(fields.b.toRight(4), 8)
    assert.equal(fields.b.onConflict, 'left')
    assert.equal(match[1].by('AbC'), 'abc')
    assert.equal(onConflict(null, 3, 5), 5)
  })

  test('a field that computes by another text is another version, so that its rows are computed anew', () => {
    const versionOf = (compute: unknown, version?: number) => {
      const rule = version === undefined ? { compute } : { compute, version }
      return (resolve({ fields: { a: rule } }).value as unknown as { fields: { a: { version: string } } }).fields.a
        .version
    }
    const versions = [
      versionOf({ jsonata: 'n' }),
      versionOf({ jsonata: 'n + 1' }),
      versionOf({ jsonata: 'n' }, 2),
      versionOf({ export: 'double' }),
    ]
    assert.equal(new Set(versions).size, 4)
    assert.equal(versionOf({ jsonata: 'n' }), versions[0])
  })

  test('mistakes have their path, and name what there is', () => {
    const { mistakes } = resolve({
      fields: {
        a: { compute: { export: 'doubel' } },
        b: { compute: { export: 'limit' } },
        c: { compute: { jsonata: 'n +' } },
      },
      onConflict: { export: 'none' },
    })
    assert.deepEqual(
      mistakes.map(({ path }) => path.join('.')),
      [
        'syncs.x.fields.a.compute.export',
        'syncs.x.fields.b.compute.export',
        'syncs.x.fields.c.compute.jsonata',
        'syncs.x.onConflict.export',
      ],
    )
    assert.match(mistakes[0]?.message ?? '', /did you mean "double"/)
    assert.match(mistakes[1]?.message ?? '', /is no function/)
    assert.match(mistakes[2]?.message ?? '', /at character 3/)
    assert.match(mistakes[3]?.message ?? '', /there are double, later/)
  })
})

interface Resolved {
  readonly fields: {
    readonly a: { compute(row: unknown): unknown }
    readonly b: { toRight(value: unknown): unknown; readonly onConflict: unknown }
  }
  readonly match: readonly [unknown, { by(value: unknown): unknown }]
  onConflict(base: unknown, left: unknown, right: unknown): unknown
}

function resolve(definition: unknown): { readonly value: unknown; readonly mistakes: readonly Mistake[] } {
  const mistakes: Mistake[] = []
  return { value: resolveFunctions(definition, ['syncs', 'x'], exports, mistakes), mistakes }
}
