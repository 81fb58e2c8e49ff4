/** Rows and values in a target, as tests: refused ones come back, all others are kept as they were. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Row, type Type, types, type Value } from '../core/value.ts'
import { assertRows, type Shape, spell } from './connector-harness.ts'
import { claim, held, put, SYNC, specOf, transact, type WithSink } from './connector-target.ts'

export function rejectionTests(withSink: WithSink, refuses: { readonly type: Type; readonly value: Value }): void {
  const shape: Shape = {
    name: 'picky',
    fields: [
      { name: 'id', type: 'integer' },
      { name: 'value', type: refuses.type },
    ],
    key: ['id'],
  }
  const good = Array.from({ length: 500 }, (_, id): Row => [id, null])
  const mixed = good.map((row): Row => (row[0] === 250 || row[0] === 499 ? [row[0], refuses.value] : row))

  for (const fresh of [true, false]) {
    test(
      `a row it can’t hold comes back, and all others are written (${fresh ? 'new rows' : 'rows that may be there'})`,
      withSink(async ({ sink }) => {
        await claim(sink, specOf(shape))
        await transact(sink, async (transaction) => {
          const result = await put(transaction, mixed, fresh)
          assert.deepEqual([result.inserted, result.updated, result.unchanged], [498, 0, 0])
          assert.deepEqual(result.rejected.map(({ key }) => key).toSorted(), [[250], [499]])
          for (const { code, message } of result.rejected) assert.ok(code.startsWith('VALUE_REFUSED') && message !== '')
        })
        assertRows(
          shape,
          await held(sink, specOf(shape)),
          good.filter(([id]) => id !== 250 && id !== 499),
        )
      }),
    )
  }

  test(
    'what was rejected is remembered beside the rows until it is settled',
    withSink(async ({ sink }) => {
      await claim(sink, specOf(shape))
      const rejection = (id: number) => ({ key: [id], code: 'VALUE_REFUSED', message: `no ${id}` })
      await transact(sink, (transaction) => transaction.reject(SYNC, [rejection(1), rejection(2)], []))
      await transact(sink, (transaction) =>
        transaction.reject(SYNC, [{ ...rejection(2), message: 'still no' }, rejection(3)], [[1]]),
      )
      const remembered = (await sink.rejections(specOf(shape))).toSorted((a, b) => Number(a.key[0]) - Number(b.key[0]))
      assert.deepEqual(remembered, [{ ...rejection(2), message: 'still no' }, rejection(3)])
    }),
  )

  test(
    'many rejections are remembered at once, with keys of any text; of several with one key the last counts',
    withSink(async ({ sink }) => {
      await claim(sink, specOf(shape))
      const keys = [
        '',
        '\'"\\',
        '\\u0000',
        'a\0b',
        '$1 ?1 %s',
        'ü 🙂',
        '[1]',
        ...Array.from({ length: 500 }, (_, at) => `k${at}`),
      ]
      const rejections = keys.map((key) => ({
        key: [key],
        code: 'VALUE_REFUSED',
        message: `it's "no" \\u0000 ü 🙂 $1 ?1`,
      }))
      const first = { key: ['k1'], code: 'VALUE_TAKEN', message: 'not the last' }
      await transact(sink, (transaction) => transaction.reject(SYNC, [first, ...rejections], []))
      const remembered = async () => {
        const found = await sink.rejections(specOf(shape))
        return found.toSorted((a, b) => keys.indexOf(String(a.key[0])) - keys.indexOf(String(b.key[0])))
      }
      assert.deepEqual(await remembered(), rejections)
      const settled = keys.slice(1).map((key) => [key])
      await transact(sink, (transaction) => transaction.reject(SYNC, [], settled))
      assert.deepEqual(await remembered(), rejections.slice(0, 1))
    }),
  )
}

/** Of every type: what a target must give back as it got it, or declare as lost. */
const extremes: Readonly<Record<Type, readonly Value[]>> = {
  boolean: [true, false],
  integer: [0, -1, 9007199254740993n, 2n ** 63n - 1n, -(2n ** 63n)],
  float: [0, -0, 0.1, 5e-324, 1.7976931348623157e308, Infinity, -Infinity, NaN],
  decimal: ['0', '1.50', '-0.000000000000000001', '123456789012345678901234567890.123456789'],
  text: ['', ' ', 'tab\tline\nreturn\rback\\slash', '\\N', '\\.', 'é😀\u{10ffff}\ufffd', '\'"`$1?', 'null'],
  bytes: [Uint8Array.of(), Uint8Array.of(0, 1, 92, 255)],
  uuid: ['0a1b2c3d-0000-4000-8000-0000000000ff'],
  date: ['2024-02-29', '0001-01-01', '0044-03-15 BC', '10000-01-01', 'infinity', '-infinity'],
  time: ['00:00:00.000000', '23:59:59.999999', '24:00:00.000000'],
  timestamp: ['2024-02-29T12:00:00.000001', '0044-03-15T00:00:00.000000 BC', '10000-01-01T00:00:00.000000', 'infinity'],
  instant: [
    '2024-02-29T12:00:00.000001Z',
    '0044-03-15T00:00:00.000000Z BC',
    '10000-01-01T00:00:00.000000Z',
    '-infinity',
  ],
  json: ['null', '""', '{"a":[1,{"b":null}]}', '12345678901234567890.5', '"\\u20ac"'],
}

export function valueTests(withSink: WithSink): void {
  for (const type of types) {
    const shape: Shape = {
      name: 'kept',
      fields: [
        { name: 'id', type: 'integer' },
        { name: 'value', type },
      ],
      key: ['id'],
    }
    const given = [null, ...extremes[type]].map((value, id): Row => [id, value])

    test(
      `values are kept, or their loss is declared; written once, they are not written again: ${type}`,
      withSink(async ({ sink }) => {
        const loss = sink.declaredLoss?.({ type }) ?? ((value: Value) => value)
        const expected = given.map(([id, value]): Row => [id!, loss(value!)])
        await claim(sink, specOf(shape))
        await transact(sink, async (transaction) => void (await put(transaction, expected, true)))
        await transact(sink, async (transaction) =>
          assert.equal((await put(transaction, expected)).unchanged, given.length),
        )
        const back = await held(sink, specOf(shape))
        if (type === 'json') assertRows(shape, back, expected)
        else assert.deepEqual(back.map(spell), expected.map(spell))
      }),
    )
  }
}
