/** Reading, as tests: from null every row, from a cursor every change since, whatever happens meanwhile. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Collection, Cursor, Page } from '../connectors/connector.ts'
import type { Key, Row } from '../core/value.ts'
import {
  assertRows,
  type ConnectorHarness,
  type ConnectorUnderTest,
  everyField,
  keyOf,
  readPages,
  type Shape,
  scanAll,
  spell,
} from './connector-harness.ts'

const notes: Shape = {
  name: 'notes',
  fields: [
    { name: 'id', type: 'integer' },
    { name: 'text', type: 'text' },
    { name: 'version', type: 'integer' },
  ],
  key: ['id'],
}

/** Enough for several pages in every system. */
const MANY = 2500
const longText = 'x'.repeat(100)

/** The system's rows as they should be, changed together with them. */
class World {
  readonly truth = new Map<string, Row>()
  readonly #system: ConnectorHarness
  #version = 0

  constructor(system: ConnectorHarness) {
    this.#system = system
  }

  async create(ids: readonly number[]): Promise<string> {
    return this.#system.create(notes, this.#rows(ids, longText))
  }

  async put(ids: readonly number[], text: string | null): Promise<void> {
    await this.#system.put(notes, this.#rows(ids, text))
  }

  async delete(...ids: readonly number[]): Promise<void> {
    for (const id of ids) this.truth.delete(spell([id]))
    await this.#system.delete(
      notes,
      ids.map((id) => [id]),
    )
  }

  #rows(ids: readonly number[], text: string | null): Row[] {
    const version = ++this.#version
    const rows = ids.map((id): Row => [id, text, version])
    for (const row of rows) this.truth.set(spell(keyOf(notes, row)), row)
    return rows
  }
}

/** What one who applies pages holds. */
class Replica {
  readonly rows = new Map<string, Row>()
  cursor: Cursor | null = null

  apply(pages: readonly Page[]): void {
    for (const page of pages) {
      for (const row of page.puts) this.rows.set(spell(keyOf(notes, row)), row)
      for (const key of page.deletes) this.rows.delete(spell(key))
      this.cursor = page.cursor
    }
  }

  /** Equal to the truth; a feed without deletes may hold more. */
  assertHolds(truth: ReadonlyMap<string, Row>, feed: Collection['feed']): void {
    const held =
      feed === 'complete' ? [...this.rows.values()] : [...truth.keys()].flatMap((key) => [...maybe(this.rows.get(key))])
    assertRows(notes, held, [...truth.values()])
  }
}

function* maybe<T>(value: T | undefined): Iterable<T> {
  if (value !== undefined) yield value
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, at) => from + at)
}

export function readTests(connector: ConnectorUnderTest): void {
  const withWorld =
    (
      ids: readonly number[],
      run: (given: { system: ConnectorHarness; world: World; collection: Collection }) => Promise<void>,
    ) =>
    async () => {
      await using system = await connector.open()
      const world = new World(system)
      const name = await world.create(ids)
      const collection = await system.connection.collection(name, { cursor: connector.cursor ?? null })
      await run({ system, world, collection })
    }
  const everything = everyField(notes)

  test(
    'from null every row comes once, and the last page shows the collection and counts it',
    withWorld(range(0, MANY), async ({ world, collection }) => {
      let count: number | null = null
      const pages = await readPages(collection, null, everything, async (page) => {
        count = (await page.view?.count()) ?? null
        return true
      })
      assertRows(
        notes,
        pages.flatMap((page) => page.puts),
        [...world.truth.values()],
      )
      assert.ok(pages.filter((page) => page.puts.length > 0).length > 1, 'many rows come in several pages')
      assert.deepEqual(
        pages.map((page) => page.view !== undefined),
        [...pages.slice(1).map(() => false), true],
      )
      assert.equal(count, MANY)
    }),
  )

  test(
    'an empty collection is one page with a view of nothing',
    withWorld([], async ({ collection }) => {
      const pages = await readPages(collection, null, everything, async (page) => {
        assert.equal(await page.view?.count(), 0)
        return true
      })
      assert.deepEqual(
        pages.map((page) => [page.puts, page.deletes, page.rejects]),
        [[[], [], []]],
      )
    }),
  )

  test(
    'rows have the fields that were asked for, in that order, and pass the filter',
    withWorld([1, 2, 3], async ({ collection }) => {
      const where = { id: { '>=': 2 } }
      const pages = await readPages(collection, null, { fields: ['version', 'id'], where }, async (page) => {
        if (page.view !== undefined) assert.equal(await page.view.count(), 2)
        return true
      })
      assert.deepEqual(pages.flatMap((page) => page.puts).sort(), [
        [1, 2],
        [1, 3],
      ])
    }),
  )

  test(
    'a read can be given up after any page, and another begun',
    withWorld(range(0, MANY), async ({ world, collection }) => {
      await readPages(collection, null, everything, () => false)
      await readPages(collection, null, everything, (_page, number) => number < 2)
      const pages = await readPages(collection, null, everything)
      assertRows(
        notes,
        pages.flatMap((page) => page.puts),
        [...world.truth.values()],
      )
      await world.put([1], 'still writable')
    }),
  )

  test(
    'what is read at the end is one instant: rows, count and scan agree while others write',
    withWorld(range(0, 50), async ({ world, collection }) => {
      const before = [...world.truth.values()]
      await readPages(collection, null, everything, async (page) => {
        if (page.view === undefined) return true
        await world.delete(1, 2, 3)
        await world.put([100], 'new')
        assert.equal(await page.view.count(), 50)
        assertRows(notes, await scanAll(page.view, everything.fields), before)
        return true
      })
    }),
  )

  if (connector.feed !== 'none') feedTests(connector, withWorld)
}

type WithWorld = (
  ids: readonly number[],
  run: (given: { system: ConnectorHarness; world: World; collection: Collection }) => Promise<void>,
) => () => Promise<void>

function feedTests({ feed }: ConnectorUnderTest, withWorld: WithWorld): void {
  const everything = everyField(notes)

  test(
    'from a cursor every change made since comes: inserts, updates, deletes, changed keys',
    withWorld(range(0, 20), async ({ world, collection }) => {
      const replica = new Replica()
      replica.apply(await readPages(collection, null, everything))
      await world.put([3, 4], 'updated')
      await world.put([20, 21], null)
      await world.delete(5, 6)
      await world.delete(7)
      await world.put([70], longText)
      await world.put([6], 'back again')
      const pages = await readPages(collection, replica.cursor, everything)
      replica.apply(pages)
      replica.assertHolds(world.truth, feed)
      if (feed === 'complete')
        assert.deepEqual(
          spellKeys(pages),
          ['[5]', '[7]'].map((key) => spell(JSON.parse(key))),
        )
    }),
  )

  if (feed === 'complete')
    test(
      'a row that was deleted and made anew is told from one that was updated',
      withWorld(range(0, 5), async ({ world, collection }) => {
        const cursor = (await readPages(collection, null, everything)).at(-1)?.cursor ?? null
        await world.put([1], 'updated')
        await world.delete(2, 3)
        await world.put([2], 'another')
        const pages = await readPages(collection, cursor, everything)
        assert.deepEqual(
          pages.flatMap((page) => page.replaced ?? []),
          [[2]],
        )
        const again = await readPages(collection, pages.at(-1)?.cursor ?? null, everything)
        assert.deepEqual(
          again.flatMap((page) => page.replaced ?? []),
          [],
        )
      }),
    )

  test(
    'reading on again and again misses nothing, and counts say what was deleted',
    withWorld(range(0, 10), async ({ world, collection }) => {
      const replica = new Replica()
      replica.apply(await readPages(collection, null, everything))
      for (let round = 0; round < 8; round++) {
        await world.put([round, 100 + round], `round ${round}`)
        await world.delete(9 - round)
        let count: number | null = null
        const pages = await readPages(collection, replica.cursor, everything, async (page) => {
          count = (await page.view?.count()) ?? count
          return true
        })
        replica.apply(pages)
        replica.assertHolds(world.truth, feed)
        assert.equal(count, world.truth.size)
      }
    }),
  )

  test(
    'a page names a key once',
    withWorld([1, 2], async ({ world, collection }) => {
      const replica = new Replica()
      replica.apply(await readPages(collection, null, everything))
      for (let time = 0; time < 5; time++) await world.put([1], `time ${time}`)
      await world.delete(2)
      await world.put([2], 'again')
      for (const page of await readPages(collection, replica.cursor, everything)) {
        const keys = [...page.puts.map((row) => spell(keyOf(notes, row))), ...page.deletes.map(spell)]
        assert.equal(new Set(keys).size, keys.length)
      }
    }),
  )

  test(
    'changes made during the first read come with the next',
    withWorld(range(0, MANY), async ({ world, collection }) => {
      const replica = new Replica()
      const pages = await readPages(collection, null, everything, async (_page, number) => {
        if (number === 1) {
          await world.put([0, MANY - 1], 'updated meanwhile')
          await world.put([MANY, -1], 'inserted meanwhile')
          await world.delete(1, MANY - 2)
        }
        return true
      })
      replica.apply(pages)
      replica.apply(await readPages(collection, replica.cursor, everything))
      replica.assertHolds(world.truth, feed)
    }),
  )

  test(
    'reading on from any page loses nothing, also when rows changed before it was read on',
    withWorld(range(0, MANY), async ({ world, collection }) => {
      const total = (await readPages(collection, null, everything)).length
      for (let stop = 1; stop <= total; stop++) {
        const replica = new Replica()
        replica.apply(await readPages(collection, null, everything, (_page, number) => number < stop))
        await world.put([stop, MANY - stop, MANY + stop], `after page ${stop}`)
        await world.delete(MANY - 10 * stop)
        replica.apply(await readPages(collection, replica.cursor, everything))
        replica.assertHolds(world.truth, feed)
      }
    }),
  )

  test(
    'following can stop after any page as well',
    withWorld(range(0, MANY), async ({ world, collection }) => {
      const start = new Replica()
      start.apply(await readPages(collection, null, everything))
      await world.put(range(0, MANY - 100), 'changed')
      const total = (await readPages(collection, start.cursor, everything)).length
      for (let stop = 1; stop <= total; stop++) {
        const replica = new Replica()
        replica.apply([...start.rows.values()].map((row) => pageOf(row, start.cursor)))
        replica.apply(await readPages(collection, start.cursor, everything, (_page, number) => number < stop))
        await world.put([stop], `after page ${stop}`)
        replica.apply(await readPages(collection, replica.cursor, everything))
        replica.assertHolds(world.truth, feed)
      }
    }),
  )

  test(
    'a view’s cursor is a place to read on from',
    withWorld(range(0, 10), async ({ world, collection }) => {
      // The first read may have to set up the feed.
      await readPages(collection, null, everything)
      if (collection.view === undefined) return
      const replica = new Replica()
      {
        await using view = await collection.view(everything)
        const rows = await scanAll(view, everything.fields)
        assert.notEqual(view.cursor, null)
        replica.apply(rows.map((row) => pageOf(row, view.cursor)))
        await world.put([3, 30], 'changed while the view was open')
      }
      await world.put([4], 'changed after it')
      replica.apply(await readPages(collection, replica.cursor, everything))
      replica.assertHolds(world.truth, feed)
    }),
  )
}

function spellKeys(pages: readonly Page[]): string[] {
  return pages.flatMap((page) => page.deletes.map((key: Key) => spell(key))).sort()
}

function pageOf(row: Row, cursor: Cursor | null): Page {
  return { puts: [row], deletes: [], rejects: [], cursor: cursor ?? '', bytes: 0, distinct: false }
}
