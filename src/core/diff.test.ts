import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { compareRows, type Differences, differsByMeaning, differsBySpelling } from './diff.ts'
import { compareKeys, type Row, type Type } from './value.ts'

const keyTypes: readonly Type[] = ['text', 'integer']
const rowTypes: readonly Type[] = ['integer', 'text', 'decimal']
/** The key stands at the end and is turned round, so that a confusion of places shows. */
const keyAt = [1, 0]

const row = fc.tuple(
  fc.integer({ min: 0, max: 3 }),
  fc.constantFrom('a', 'B', '\ue000', '😀'),
  fc.constantFrom('1', '1.0', '2'),
)
const side = fc
  .uniqueArray(row, { selector: ([n, text]) => `${text} ${n}`, maxLength: 20 })
  .map((rows): Row[] => rows.sort((a, b) => compareKeys(keyTypes, [a[1], a[0]], [b[1], b[0]])))
/** How many rows come at a time, for ever. */
const pace = fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 5 })

async function* inChunks(rows: readonly Row[], sizes: readonly number[]): AsyncIterable<readonly Row[]> {
  for (let start = 0, at = 0; start < rows.length; at++) {
    const size = at > 100 ? 1 : sizes[at % sizes.length]!
    yield rows.slice(start, start + size)
    start += size
  }
}

async function collect(stream: AsyncIterable<Differences>): Promise<Differences> {
  const all: Differences = { missing: [], extra: [], different: [], same: 0 }
  for await (const found of stream) {
    all.missing.push(...found.missing)
    all.extra.push(...found.extra)
    all.different.push(...found.different)
    all.same += found.same
  }
  return all
}

function spellKey(row: Row): string {
  return `${row[1]} ${row[0]}`
}

describe('comparing two streams of rows', () => {
  test('finds what looking every key up finds, however the rows are cut into chunks', async () => {
    const differs = differsByMeaning(rowTypes)
    await fc.assert(
      fc.asyncProperty(side, side, pace, pace, async (left, right, leftPace, rightPace) => {
        const found = await collect(
          compareRows(inChunks(left, leftPace), inChunks(right, rightPace), { keyAt, keyTypes, differs }),
        )
        const at = (rows: readonly Row[]) => new Map(rows.map((row) => [spellKey(row), row]))
        const [lefts, rights] = [at(left), at(right)]
        const both = left.filter((row) => rights.has(spellKey(row)))
        assert.deepEqual(
          found.missing,
          left.filter((row) => !rights.has(spellKey(row))),
        )
        assert.deepEqual(
          found.extra,
          right.filter((row) => !lefts.has(spellKey(row))),
        )
        const pairs = both.map((row) => ({ left: row, right: rights.get(spellKey(row))! }))
        assert.deepEqual(
          found.different,
          pairs.filter(({ left, right }) => differs(left, right)),
        )
        assert.equal(found.same, both.length - found.different.length)
      }),
    )
  })

  test('closes both streams when it is given up', async () => {
    const closed: string[] = []
    async function* endless(name: string): AsyncIterable<readonly Row[]> {
      try {
        for (let n = 0; ; n++) yield [[n, 'a', '1']]
      } finally {
        closed.push(name)
      }
    }
    for await (const _found of compareRows(endless('left'), endless('right'), {
      keyAt: [0],
      keyTypes: ['integer'],
      differs: () => false,
    }))
      break
    assert.deepEqual(closed.sort(), ['left', 'right'])
  })

  test('closes the other stream when one fails', async () => {
    let closed = false
    async function* good(): AsyncIterable<readonly Row[]> {
      try {
        for (let n = 0; ; n++) yield [[n, 'a', '1']]
      } finally {
        closed = true
      }
    }
    async function* bad(): AsyncIterable<readonly Row[]> {
      yield [[0, 'a', '1']]
      throw new Error('gone')
    }
    await assert.rejects(
      collect(compareRows(good(), bad(), { keyAt: [0], keyTypes: ['integer'], differs: () => false })),
      /gone/,
    )
    assert.ok(closed)
  })
})

describe('whether two rows differ', () => {
  const pairs: readonly (readonly [types: readonly Type[], a: Row, b: Row, byMeaning: boolean, bySpelling: boolean])[] =
    [
      [['integer'], [1], [1n], false, false],
      [['decimal'], ['1.0'], ['1.00'], false, true],
      [['json'], ['{"a":1}'], ['{"a": 1.0}'], false, false],
      [['float'], [0], [-0], true, true],
      [['integer'], [0], [0], false, false],
      [['text'], [''], [null], true, true],
      [['float'], [Number.NaN], [Number.NaN], false, false],
      [['text', 'integer'], ['a', null], ['a', 0], true, true],
    ]
  for (const [types, a, b, byMeaning, bySpelling] of pairs) {
    test(`${types.join()}: ${a.map(String).join()} and ${b.map(String).join()}`, () => {
      assert.equal(differsByMeaning(types)(a, b), byMeaning)
      assert.equal(differsBySpelling(types, [])(a, b), bySpelling)
    })
  }

  test('a key’s spelling is not a difference: rows are paired by its meaning', () => {
    assert.equal(differsBySpelling(['decimal', 'text'], [0])(['1.0', 'x'], ['1.00', 'x']), false)
  })
})
