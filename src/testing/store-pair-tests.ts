/** The contract of what two-way syncs remember. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SyncError } from '../core/error.ts'
import {
  anyFence,
  type Layout,
  type NewPair,
  type PairCommit,
  type PairReader,
  type PairRun,
  type PairWork,
} from '../store/pairs.ts'
import type { Store } from '../store/store.ts'
import type { StoreState } from './store-state.ts'

const layout: Layout = {
  id: 1,
  mode: 'values',
  fields: [{ name: 'a', since: 1 }],
  fingerprint: 'f',
  places: '[]',
  keys: { left: ['id'], right: ['id'] },
  complete: true,
}
const nothing: PairCommit = {
  insert: [],
  update: [],
  remove: [],
  taken: [],
  unpaired: [],
  settled: [],
  pending: [],
  unpend: [],
  conflicts: [],
  journal: [],
  carried: [],
}

function pair(left: string, right: string, rightBase: string | null = null): NewPair {
  return { left, right, leftBase: `"${left}"`, rightBase, layout: 1, recent: null }
}

interface Given {
  readonly store: Store
  readonly memory: PairReader
  readonly pairs: PairRun
  readonly generation: number
}

export function pairTests(withState: (run: (state: StoreState) => Promise<void>) => () => Promise<void>): void {
  const withMemory = (run: (given: Given) => Promise<void>) =>
    withState(async (state) => {
      await using store = await state.open()
      const generation = await store.leases.take('contacts', 'me', 1000, 60_000)
      await using pairs = await store.pairs.run('contacts')
      await using memory = await store.pairs.read('contacts')
      await run({ store, memory, pairs, generation })
    })

  test(
    'pairs are found by either key and by id, change and go',
    withMemory(async ({ store, memory, pairs, generation }) => {
      await pairs.commit(generation, { ...nothing, insert: [pair('1', '51'), pair('2', '52', '"x"')] })
      const [first] = await memory.byKeys('left', ['1', '9'])
      const [second] = await memory.byKeys('right', ['52'])
      assert.ok(first !== undefined && second !== undefined)
      assert.deepEqual([first.right, first.rightBase, second.rightBase], ['51', null, '"x"'])
      assert.deepEqual(await memory.byIds([second.id]), [second])
      assert.deepEqual(await memory.after(first.id, 10), [second])
      assert.deepEqual(await store.pairs.counterparts('contacts', 'left', ['1', '3']), new Map([['1', '51']]))
      await pairs.commit(generation, { ...nothing, update: [{ ...first, right: '61' }], remove: [second.id] })
      assert.deepEqual(
        (await memory.byKeys('right', ['61', '52'])).map(({ left }) => left),
        ['1'],
      )
      assert.equal(await pairs.work.known('left'), 1)
    }),
  )

  test(
    'fences that were taken are known from then on, whatever becomes of the run',
    withMemory(async ({ store, memory, pairs, generation }) => {
      assert.deepEqual((await memory.state()).fences, { left: null, right: null })
      await pairs.claimed(generation, { left: 3, right: null })
      await pairs.finish(generation, { cursors: { left: 'c', right: null }, layouts: [layout], runs: 1 })
      await using later = await store.pairs.read('contacts')
      assert.deepEqual((await later.state()).fences, { left: 3, right: null })
      await assert.rejects(pairs.claimed(generation - 1, { left: 4, right: 4 }), /took over/)
      await assert.rejects(pairs.claiming(generation - 1), /took over/)
      // Those that were begun and never told of are counted until one tells.
      for (let i = 0; i < 3; i++) await pairs.claiming(generation)
      assert.equal((await later.state()).claims, 3)
      await pairs.claimed(generation, { left: 5, right: 5 })
      assert.equal((await later.state()).claims, 0)
    }),
  )

  test(
    'which collections have pairs is known of all syncs',
    withMemory(async ({ store, pairs, generation }) => {
      const address = (connection: string) => ({ connection, collection: 'people' })
      assert.deepEqual(await store.pairs.places(), [])
      const places = JSON.stringify([address('l'), address('r')])
      const cursors = { left: null, right: null }
      await pairs.finish(generation, { cursors, layouts: [layout, { ...layout, id: 2, places }], runs: 1 })
      assert.deepEqual(await store.pairs.places(), [address('l'), address('r')])
    }),
  )

  test(
    'a reset that keeps pairs forgets bases, cursors and fences, and nothing else',
    withMemory(async ({ store, pairs, generation }) => {
      await pairs.commit(generation, { ...nothing, insert: [pair('1', '51')] })
      await pairs.claimed(generation, { left: 3, right: 4 })
      await pairs.finish(generation, { cursors: { left: 'c', right: 'd' }, layouts: [layout], runs: 1 })
      await store.pairs.reset('contacts', { keepPairs: true })
      await using after = await store.pairs.read('contacts')
      const none = { left: null, right: null }
      assert.deepEqual(await after.state(), {
        cursors: none,
        fences: { left: anyFence, right: anyFence },
        claims: 0,
        layouts: [{ ...layout, complete: false }],
        runs: 1,
      })
      const [kept] = await after.byKeys('left', ['1'])
      assert.deepEqual([kept?.right, kept?.layout], ['51', 0])
    }),
  )

  test(
    'bases of hashes come back as they were',
    withMemory(async ({ memory, pairs, generation }) => {
      const hashes = `#${String.fromCharCode(0, 255, 10, 65, 200, 1, 2, 3)}`
      await pairs.commit(generation, { ...nothing, insert: [{ ...pair('1', '51'), leftBase: hashes }] })
      assert.equal((await memory.byKeys('left', ['1']))[0]?.leftBase, hashes)
    }),
  )

  test(
    'a worker that lost its lease commits nothing',
    withMemory(async ({ store, memory, pairs, generation }) => {
      await store.leases.take('contacts', 'me', 1000, 60_000)
      for (const work of [
        () => pairs.commit(generation, { ...nothing, insert: [pair('1', '51')] }),
        () => pairs.intend(generation, [{ id: 'i', side: 'left', body: '' }]),
        () => pairs.finish(generation, { cursors: { left: 'x', right: 'y' }, layouts: [], runs: 1 }),
      ])
        await assert.rejects(work, (error) => error instanceof SyncError && error.code === 'LEASE_LOST')
      assert.equal(await pairs.work.known('left'), 0)
      assert.deepEqual(await memory.intents(), [])
    }),
  )

  test(
    'intents stay until they are carried out; state, pending pairs and rows without a pair stay over runs',
    withMemory(async ({ store, memory, pairs, generation }) => {
      await pairs.commit(generation, { ...nothing, insert: [pair('1', '51')] })
      const [one] = await memory.byKeys('left', ['1'])
      await pairs.intend(generation, [{ id: 'i', side: 'right', body: 'b' }])
      await pairs.commit(generation, {
        ...nothing,
        pending: [{ pair: one?.id ?? 0, state: 'rejected', code: 'c', message: 'm' }],
        unpaired: [
          { side: 'left', key: '7', match: 'm7', state: 'deferred', code: null, message: null },
          { side: 'right', key: '8', match: null, state: 'alone', code: null, message: null },
        ],
      })
      const state = { cursors: { left: 'l', right: null }, layouts: [layout], runs: 3 }
      await pairs.finish(generation, state)
      await using later = await store.pairs.read('contacts')
      assert.deepEqual(await later.state(), { ...state, fences: { left: null, right: null }, claims: 0 })
      assert.deepEqual(await later.intents(), [{ id: 'i', side: 'right', body: 'b' }])
      const waiting = await later.waiting()
      assert.deepEqual([waiting.pairs.length, waiting.unpaired.map(({ key }) => key)], [1, ['7']])
      assert.deepEqual(await pairs.work.partners('left', ['m7', 'none']), [{ match: 'm7', key: '7' }])
      assert.deepEqual([await pairs.work.known('left'), await pairs.work.known('right')], [2, 2])
      const settled = [{ side: 'left' as const, key: '7' }]
      await pairs.commit(generation, { ...nothing, carried: ['i'], unpend: [one?.id ?? 0], settled })
      assert.deepEqual(await later.intents(), [])
      assert.deepEqual(await later.waiting(), { pairs: [], unpaired: [] })
    }),
  )

  test(
    'what a run marks is worked through once, deletions last, and forgotten with the run',
    withMemory(async ({ store, pairs }) => {
      await pairs.work.add([{ pair: 5 }, { side: 'left', key: '1', match: 'm' }, { pair: 5 }])
      const items = await pairs.work.next('writes', 10)
      assert.deepEqual(
        items.map(({ pair: id, side }) => [id, side]),
        [
          [5, null],
          [null, 'left'],
        ],
      )
      assert.deepEqual(await pairs.work.partners('left', ['m']), [{ match: 'm', key: '1' }])
      await pairs.work.postpone(items.slice(0, 1))
      await pairs.work.done(items.slice(1))
      assert.deepEqual([await pairs.work.count('writes'), await pairs.work.count('deletes')], [0, 1])
      await pairs[Symbol.asyncDispose]()
      await using later = await store.pairs.run('contacts')
      assert.equal(await later.work.count('deletes'), 0)
    }),
  )

  test(
    'rows without a pair that become pairs are not kept as rows without one',
    withMemory(async ({ memory, pairs, generation }) => {
      const parted = (side: 'left' | 'right', key: string) =>
        ({ side, key, match: 'm', state: 'parted', code: null, message: null }) as const
      await pairs.commit(generation, {
        ...nothing,
        unpaired: [parted('left', '1'), parted('right', '1'), parted('left', '2')],
      })
      const mark = (side: 'left' | 'right', key: string) => ({ side, key, match: `m${key}`, cells: 'same' })
      await pairs.work.add([mark('left', '1'), mark('right', '1'), mark('left', '2')])
      assert.equal(await pairs.pairAlike(generation, 0), 1)
      assert.deepEqual(
        (await memory.unpaired('left', ['1', '2'])).map(({ key }) => key),
        ['2'],
      )
      assert.deepEqual(await memory.unpaired('right', ['1']), [])
    }),
  )

  const marksOf = async (work: PairWork) => {
    const items = await work.next('writes', 100)
    return items.map((item) => (item.side === null ? item.pair : `${item.side} ${item.key}`))
  }

  for (const other of ['contacts', 'orders']) {
    const whose = other === 'contacts' ? 'one sync' : 'two syncs'
    test(
      `hazard 29: two work lists of ${whose} at once hold their own work only`,
      withMemory(async ({ store, pairs, generation }) => {
        const theirs = await store.pairs.run(other)
        const mark = (side: 'left' | 'right', key: string, cells?: string) => ({
          side,
          key,
          match: `m${key}`,
          ...(cells === undefined ? {} : { cells }),
        })
        await pairs.work.add([{ pair: 7 }, mark('left', '1'), mark('left', '3', 'same'), mark('right', '3', 'same')])
        await theirs.work.add([{ pair: 7 }, { pair: 8 }, mark('left', '2'), mark('left', '4', 'x')])
        assert.deepEqual([await pairs.work.known('left'), await theirs.work.known('left')], [2, 2])
        assert.equal(await pairs.pairAlike(generation, 1), 1)
        assert.equal(await theirs.work.passAlike(), 0)
        await pairs.work.sweep.begin('left')
        await theirs.work.sweep.begin('left')
        await theirs.work.sweep.saw(['1', '2', '3'])
        assert.equal(await pairs.work.sweep.end(), 1)
        assert.equal(await theirs.work.sweep.end(), 0)
        assert.deepEqual(await pairs.work.partners('left', ['m1', 'm2']), [{ match: 'm1', key: '1' }])
        const mine = await pairs.work.next('writes', 1)
        await pairs.work.done(mine)
        // The number of a mark that is gone may be given to another.
        await theirs.work.add([{ pair: 9 }])
        await pairs.work.done(mine)
        await pairs.work.postpone(mine)
        assert.deepEqual(await marksOf(theirs.work), [7, 8, 9, 'left 2', 'left 4'])
        await theirs[Symbol.asyncDispose]()
        assert.equal((await marksOf(pairs.work)).at(-1), 'left 1')
      }),
    )
  }

  test(
    'hazard 29: a reader and a plan beside a run leave its marks alone',
    withMemory(async ({ store, pairs, generation }) => {
      await pairs.commit(generation, { ...nothing, insert: [pair('1', '51')] })
      await pairs.work.add([{ pair: 5 }, { side: 'left', key: '1', match: 'm' }])
      for (let i = 0; i < 2; i++) {
        await using reader = await store.pairs.read('contacts')
        await reader.waiting()
        assert.equal((await reader.byKeys('left', ['1']))[0]?.right, '51')
        await using plan = await store.pairs.plan('contacts')
        assert.deepEqual([await plan.count('writes'), await plan.known('left')], [0, 1])
        await plan.add([{ pair: 5 }])
        await plan.done(await plan.next('writes', 10))
      }
      assert.deepEqual(await marksOf(pairs.work), [5, 'left 1'])
    }),
  )

  test(
    'a run that did not do all that it marked does not move its cursors',
    withMemory(async ({ memory, pairs, generation }) => {
      const end = () => pairs.finish(generation, { cursors: { left: 'c', right: 'd' }, layouts: [layout], runs: 1 })
      await pairs.work.add([{ pair: 5 }, { side: 'left', key: '1', match: null }, { pair: 5 }])
      await assert.rejects(end, (error) => error instanceof SyncError && error.code === 'INTERNAL')
      await pairs.work.add([{ side: 'right', key: '2', match: 'x', cells: 'c' }])
      await pairs.work.done((await pairs.work.next('writes', 1)).slice(0, 1))
      // A row that was settled on the way is done, too.
      await pairs.commit(generation, { ...nothing, settled: [{ side: 'left', key: '1' }] })
      await assert.rejects(end, /1 of the rows that it marked/)
      assert.equal(await pairs.pairAlike(generation, 1), 0)
      await assert.rejects(end, /1 of the rows that it marked/)
      await pairs.work.postpone(await pairs.work.next('writes', 9))
      await assert.rejects(end, /1 of the rows that it marked/)
      await pairs.work.done(await pairs.work.next('deletes', 9))
      assert.deepEqual((await memory.state()).cursors, { left: null, right: null })
      await end()
      assert.deepEqual((await memory.state()).cursors, { left: 'c', right: 'd' })
    }),
  )

  test(
    'a sweep marks the known keys that were not seen',
    withMemory(async ({ memory, pairs, generation }) => {
      await pairs.commit(generation, { ...nothing, insert: [pair('1', '51'), pair('2', '52'), pair('3', '53')] })
      await pairs.work.sweep.begin('left')
      await pairs.work.sweep.saw(['1', '3', '9'])
      assert.equal(await pairs.work.sweep.end(), 1)
      const [item] = await pairs.work.next('writes', 10)
      assert.equal((await memory.byIds([item?.pair ?? 0]))[0]?.left, '2')
    }),
  )

  test(
    'rows that are alike and unique in their match become pairs; the others are work',
    withMemory(async ({ memory, pairs, generation }) => {
      const mark = (side: 'left' | 'right', key: string, match: string | null, cells: string) => ({
        side,
        key,
        match,
        cells,
      })
      await pairs.work.add([
        mark('left', '1', 'a', 'same'),
        mark('left', '2', 'b', 'x'),
        mark('left', '3', 'c', 'same'),
        mark('left', '4', 'c', 'same'),
        mark('left', '5', null, 'same'),
        mark('right', '51', 'a', 'same'),
        mark('right', '52', 'b', 'y'),
        mark('right', '53', 'c', 'same'),
      ])
      assert.equal(await pairs.work.known('left'), 5)
      assert.equal(await pairs.work.passAlike(), 1)
      assert.equal((await memory.byKeys('left', ['1'])).length, 0)
      await pairs.work.done(await pairs.work.next('writes', 100))
      await pairs.work.add([
        mark('left', '1', 'a', 'same'),
        mark('right', '51', 'a', 'same'),
        mark('left', '6', 'd', 'z'),
      ])
      assert.equal(await pairs.pairAlike(generation, 1), 1)
      assert.equal((await memory.byKeys('left', ['1']))[0]?.right, '51')
      const rest = await pairs.work.next('writes', 100)
      assert.deepEqual(
        rest.map((item) => (item.side === null ? null : item.key)),
        ['6'],
      )
    }),
  )

  test(
    'conflicts open, change field by field, are decided and end',
    withMemory(async ({ store, memory, pairs, generation }) => {
      await pairs.commit(generation, { ...nothing, insert: [pair('1', '51')] })
      const id = (await memory.byKeys('left', ['1']))[0]?.id ?? 0
      const field = { values: '[null,"l","r"]', rule: 'ask', outcome: 'open', status: 'open' as const }
      const change = { kind: 'fields' as const, pair: id, left: '1', right: '51', run: 'r1', atMs: 5 }
      const committed = await pairs.commit(generation, {
        ...nothing,
        conflicts: [{ ...change, id: null, fields: { a: field, b: field } }],
      })
      const { conflicts } = store.pairs
      const [opened] = await conflicts.ofPairs('contacts', [id])
      assert.deepEqual([opened?.status, Object.keys(opened?.fields ?? {})], ['open', ['a', 'b']])
      assert.deepEqual(committed, [{ id: opened?.id, status: 'open' }])
      assert.deepEqual(
        [await conflicts.strays('contacts', ['a', 'b']), await conflicts.strays('other', ['a'])],
        [[], []],
      )
      assert.deepEqual(await conflicts.strays('contacts', ['a']), [opened])
      const listed = (kind: 'fields' | 'match') => conflicts.list({ sync: 'contacts', kind, limit: 10 })
      assert.deepEqual([await listed('fields'), await listed('match')], [[opened], []])
      assert.deepEqual(await conflicts.list({ among: ['contacts', 'x'], status: ['open'], limit: 10 }), [opened])
      assert.deepEqual(await conflicts.list({ among: ['x'], limit: 10 }), [])
      const take = { side: 'left' as const }
      await conflicts.decide(
        opened?.id ?? 0,
        { ...opened?.fields, a: { ...field, status: 'decided', take } },
        'decided',
      )
      assert.deepEqual(
        (await memory.waiting()).pairs.map(({ pair: of }) => of),
        [id],
      )
      const resolved = { a: { ...field, status: 'resolved' as const }, b: { ...field, status: 'agreed' as const } }
      const over = [{ ...change, id: opened?.id ?? 0, fields: resolved }]
      assert.deepEqual(await pairs.commit(generation, { ...nothing, conflicts: over }), [
        { id: opened?.id, status: 'resolved' },
      ])
      assert.equal((await conflicts.get(opened?.id ?? 0))?.status, 'resolved')
      assert.deepEqual(await conflicts.ofPairs('contacts', [id]), [])
      assert.deepEqual(await conflicts.strays('contacts', ['a']), [])
      assert.deepEqual(await conflicts.counts('contacts'), { open: 0, decided: 0 })
      const [kept, ...others] = await conflicts.list({ sync: 'contacts', limit: 10 })
      assert.deepEqual([kept?.id, others], [opened?.id, []])
      assert.deepEqual(await conflicts.list({ before: kept?.id ?? 0, limit: 10 }), [])
      assert.equal((await conflicts.list({ before: (kept?.id ?? 0) + 1, limit: 10 })).length, 1)
    }),
  )

  test(
    'the journal tells of a row and of a run, newest first, and forgets what is old',
    withMemory(async ({ store, pairs, generation }) => {
      const entry = (run: string, atMs: number) => ({
        sync: 'contacts',
        run,
        atMs,
        side: 'right' as const,
        kind: 'update' as const,
        pair: 1,
        left: '1',
        right: '51',
        fields: ['a'],
        before: '["x"]',
        after: '["y"]',
        reason: 'left changed',
      })
      await pairs.commit(generation, { ...nothing, journal: [entry('r1', 10), entry('r2', 20)] })
      const { journal } = store.pairs
      assert.deepEqual(
        (await journal.ofRow('contacts', 'left', '1', 10)).map(({ run }) => run),
        ['r2', 'r1'],
      )
      assert.deepEqual((await journal.ofRun('r1'))[0]?.fields, ['a'])
      assert.equal(await journal.prune('contacts', 15), 1)
      assert.equal((await journal.ofRow('contacts', 'right', '51', 10)).length, 1)
    }),
  )
}
