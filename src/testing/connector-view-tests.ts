/** Views and lookups, as tests: key order, ranges, counts, rows by key, and filters pushed down to the system. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { View } from '../connectors/connector.ts'
import { compareKeys, type Row, type Type, types, type Value } from '../core/value.ts'
import {
  assertRows,
  type ConnectorUnderTest,
  everyField,
  fieldNames,
  keyOf,
  type Shape,
  scanAll,
  spellRow,
} from './connector-harness.ts'
import { filterCases, filterFields, filterRows } from './filter-cases.ts'
import { ascending } from './key-cases.ts'

const pairs: Shape = {
  name: 'pairs',
  fields: [
    { name: 'note', type: 'text' },
    { name: 'b', type: 'integer' },
    { name: 'a', type: 'text' },
  ],
  key: ['a', 'b'],
}

type WithView = (shape: Shape, rows: readonly Row[], run: (view: View) => Promise<void>) => () => Promise<void>

export function viewTests(connector: ConnectorUnderTest): void {
  const withView: WithView = (shape, rows, run) => async () => {
    await using system = await connector.open()
    const collection = await system.connection.collection(await system.create(shape, shuffled(rows)))
    assert.ok(collection.view !== undefined)
    await using view = await collection.view(everyField(shape))
    await run(view)
  }
  const keyed = (type: Type): Shape => ({
    name: 'keyed',
    fields: [
      { name: 'k', type },
      { name: 'at', type: 'integer' },
    ],
    key: ['k'],
  })
  const able = connector.types ?? types

  for (const [type, values] of Object.entries(ascending) as [Type, readonly Value[]][]) {
    if (!able.includes(type)) continue
    const rows = values.map((value, at): Row => [value, at])

    test(
      `a scan has the order of keys: ${type}`,
      withView(keyed(type), rows, async (view) => {
        const scanned = await scanAll(view, ['k', 'at'])
        assert.deepEqual(
          scanned.map((row) => spellRow(keyed(type), row)),
          rows.map((row) => spellRow(keyed(type), row)),
        )
        for (let at = 1; at < values.length; at++) assert.ok(compareKeys([type], [values[at - 1]!], [values[at]!]) < 0)
      }),
    )

    test(
      `rows are found by key: ${type}`,
      withView(keyed(type), rows, async (view) => {
        const fetched = await view.fetch(
          values.map((value) => [value]),
          ['at', 'k'],
        )
        assert.deepEqual(
          fetched.rows.map((row) => row[0]).sort((a, b) => Number(a) - Number(b)),
          rows.map((_row, at) => at),
        )
      }),
    )
  }

  for (const type of ['integer', 'text', 'uuid'] as const) {
    const values = ascending[type] ?? []
    const rows = values.map((value, at): Row => [value, at])
    test(
      `ranges cut the keys: their counts add up, and each is what a scan of it gives: ${type}`,
      withView(keyed(type), rows, async (view) => {
        const bounds = [values[2]!, values[3]!, values.at(-1)!]
        const counts = await view.summarize(bounds)
        assert.equal(
          counts.reduce((a, b) => a + b, 0),
          await view.count(),
        )
        const scanned = await Promise.all(
          [...bounds, null].map(async (to, at) => scanAll(view, ['at'], [{ from: bounds[at - 1] ?? null, to }])),
        )
        assert.deepEqual(
          counts,
          scanned.map((part) => part.length),
        )
        assert.deepEqual(
          scanned.flat().map(([at]) => at),
          rows.map((_row, at) => at),
        )
        const apart = await scanAll(
          view,
          ['at'],
          [
            { from: null, to: values[1]! },
            { from: values[3]!, to: null },
          ],
        )
        assert.deepEqual(
          apart.map(([at]) => at),
          [0, ...rows.keys()].filter((at, index) => index === 0 || at >= 3),
        )
      }),
    )
  }

  test(
    'bounds that are evenly apart put every integer in its range, far below and far above them, too',
    withView(
      keyed('integer'),
      (ascending.integer ?? []).map((value, at): Row => [value, at]),
      async (view) => {
        for (const bounds of [
          [-10, 0, 10, 20],
          [0, 1, 2],
          [-(2n ** 62n), 0, 2n ** 62n],
          [-(2n ** 63n) + 1n, 2n ** 63n - 1n],
        ])
          assert.deepEqual(
            await view.summarize(bounds),
            [...bounds, null].map(
              (to, at) =>
                (ascending.integer ?? [])
                  .map((key) => BigInt(String(key)))
                  .filter((key) => (at === 0 || key >= bounds[at - 1]!) && (to === null || key < to)).length,
            ),
          )
      },
    ),
  )

  test(
    'many ranges are scanned at once, in order, the open ends too',
    withView(
      keyed('integer'),
      Array.from({ length: 3000 }, (_, at): Row => [at - 1500, at]),
      async (view) => {
        const ranges = Array.from({ length: 300 }, (_, at) => ({ from: at * 10 - 1500, to: at * 10 - 1497 }))
        const open = [{ from: null, to: -1490 }, ...ranges.slice(1, -1), { from: 1490, to: null }]
        const scanned = await scanAll(view, ['k'], open)
        const inside = (key: number) => key < -1490 || key >= 1490 || (key + 1500) % 10 < 3
        assert.deepEqual(
          scanned.map(([key]) => key),
          Array.from({ length: 3000 }, (_, at) => at - 1500).filter(inside),
        )
      },
    ),
  )

  test(
    'one range without bounds is everything',
    withView(
      pairs,
      [
        [null, 1, 'a'],
        [null, 2, 'a'],
      ],
      async (view) => {
        assert.deepEqual(await view.summarize([]), [2])
      },
    ),
  )

  test(
    'a composite key is ordered part by part, in key order and not in the order of fields',
    withView(
      pairs,
      [
        ['x', 2, 'a'],
        ['y', 10, 'a'],
        [null, -1, 'B'],
        ['z', 1, 'é'],
      ],
      async (view) => {
        assert.deepEqual(await scanAll(view, ['a', 'b', 'note']), [
          ['B', -1, null],
          ['a', 2, 'x'],
          ['a', 10, 'y'],
          ['é', 1, 'z'],
        ])
        assert.deepEqual(
          (
            await view.fetch(
              [
                ['a', 10],
                ['B', -1],
                ['B', 10],
              ],
              ['note', 'b'],
            )
          ).rows.toSorted(),
          [
            [null, -1],
            ['y', 10],
          ],
        )
      },
    ),
  )

  test(
    'the extent is the smallest and the largest key, or not known; of nothing there is none',
    withView(
      keyed('integer'),
      [
        [5, 0],
        [-3, 1],
        [9007199254740993n, 2],
      ],
      async (view) => {
        const extent = await view.extent()
        if (extent !== null) assert.deepEqual(extent, [-3, 9007199254740993n])
      },
    ),
  )

  test(
    'a view of an empty collection counts and scans nothing',
    withView(keyed('integer'), [], async (view) => {
      assert.equal(await view.count(), 0)
      assert.equal(await view.extent(), null)
      assert.deepEqual(await view.summarize([0, 10]), [0, 0, 0])
      assert.deepEqual(await scanAll(view, ['k']), [])
      assert.deepEqual((await view.fetch([[1]], ['k'])).rows, [])
    }),
  )

  test(
    'many keys are fetched at once, and those that are not there are left out',
    withView(
      keyed('integer'),
      Array.from({ length: 2100 }, (_, at): Row => [at * 2, at]),
      async (view) => {
        const { rows } = await view.fetch(
          Array.from({ length: 4200 }, (_, key) => [key]),
          ['k'],
        )
        assert.equal(rows.length, 2100)
      },
    ),
  )

  test('lookups find rows by key and by other fields, in schema order', async () => {
    await using system = await connector.open()
    const rows: readonly Row[] = [
      ['x', 1, 'a'],
      ['x', 2, 'a'],
      ['y', 1, 'b'],
    ]
    const { lookup } = await system.connection.collection(await system.create(pairs, rows))
    assertRows(
      pairs,
      (
        await lookup.fetch([
          ['a', 2],
          ['b', 1],
          ['c', 1],
        ])
      ).rows,
      [rows[1]!, rows[2]!],
    )
    assertRows(pairs, await lookup.find(['note'], [['x']]), [rows[0]!, rows[1]!])
    assertRows(
      pairs,
      await lookup.find(
        ['b', 'note'],
        [
          [1, 'x'],
          [1, 'z'],
        ],
      ),
      [rows[0]!],
    )
    assert.deepEqual((await lookup.fetch([['a', 2]], ['note'])).rows, [['x']])
    assert.deepEqual((await lookup.fetch([])).rows, [])
  })
}

export function filterTests(connector: ConnectorUnderTest): void {
  const able = connector.types ?? types
  const at = filterFields.flatMap(({ type }, index) => (able.includes(type) ? [index] : []))
  const shape: Shape = { name: 'filtered', fields: at.map((index) => filterFields[index]!), key: ['id'] }
  const rows = filterRows.map((row) => at.map((index) => row[index] ?? null))

  test('every filter lets the same rows in as everywhere else', async (t) => {
    await using system = await connector.open()
    const collection = await system.connection.collection(await system.create(shape, rows))
    for (const { title, where, ids, needs } of filterCases) {
      if (!needs.every((type) => able.includes(type))) continue
      await t.test(title, async () => {
        assert.ok(collection.view !== undefined)
        await using view = await collection.view({ fields: fieldNames(shape), where })
        const passed = (await scanAll(view, fieldNames(shape))).map((row) => keyOf(shape, row)[0])
        assert.deepEqual(passed, ids)
        assert.equal(await view.count(), ids.length)
      })
    }
  })
}

/** Another order, always the same. */
function shuffled(rows: readonly Row[]): Row[] {
  return rows.map((_row, at) => rows[(at * 7 + 3) % rows.length]!).every((row, at, all) => all.indexOf(row) === at)
    ? rows.map((_row, at) => rows[(at * 7 + 3) % rows.length]!)
    : [...rows].reverse()
}
