/** The contract of what two-way syncs remember. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SyncError } from '../core/error.ts'
import type { Layout, NewPair, PairCommit, PairMemory } from '../store/pairs.ts'
import type { Store } from '../store/store.ts'
import type { StoreState } from './store-tests.ts'

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
  readonly memory: PairMemory
  readonly generation: number
  again(): Promise<PairMemory>
}

export function pairTests(withState: (run: (state: StoreState) => Promise<void>) => () => Promise<void>): void {
  const withMemory = (run: (given: Given) => Promise<void>) =>
    withState(async (state) => {
      await using store = await state.open()
      const generation = await store.leases.take('contacts', 'me', 1000, 60_000)
      const again = () => store.pairs.open('contacts', { readOnly: false })
      await using memory = await again()
      await run({ store, memory, generation, again })
    })

  test(
    'pairs are found by either key and by id, change and go',
    withMemory(async ({ memory, generation, store }) => {
      await memory.commit(generation, { ...nothing, insert: [pair('1', '51'), pair('2', '52', '"x"')] })
      const [first] = await memory.byKeys('left', ['1', '9'])
      const [second] = await memory.byKeys('right', ['52'])
      assert.ok(first !== undefined && second !== undefined)
      assert.deepEqual([first.right, first.rightBase, second.rightBase], ['51', null, '"x"'])
      assert.deepEqual(await memory.byIds([second.id]), [second])
      assert.deepEqual(await memory.after(first.id, 10), [second])
      assert.deepEqual(await store.pairs.counterparts('contacts', 'left', ['1', '3']), new Map([['1', '51']]))
      await memory.commit(generation, { ...nothing, update: [{ ...first, right: '61' }], remove: [second.id] })
      assert.deepEqual(
        (await memory.byKeys('right', ['61', '52'])).map(({ left }) => left),
        ['1'],
      )
      assert.equal(await memory.known('left'), 1)
    }),
  )

  test(
    'fences that were taken are known from then on, whatever becomes of the run',
    withMemory(async ({ memory, generation, again }) => {
      assert.deepEqual((await memory.state()).fences, { left: null, right: null })
      await memory.claimed(generation, { left: 3, right: null })
      await memory.finish(generation, { cursors: { left: 'c', right: null }, layouts: [layout], runs: 1 })
      await using later = await again()
      assert.deepEqual((await later.state()).fences, { left: 3, right: null })
      await assert.rejects(memory.claimed(generation - 1, { left: 4, right: 4 }), /took over/)
    }),
  )

  test(
    'a reset that keeps pairs forgets bases, cursors and fences, and nothing else',
    withMemory(async ({ memory, generation, store, again }) => {
      await memory.commit(generation, { ...nothing, insert: [pair('1', '51')] })
      await memory.claimed(generation, { left: 3, right: 4 })
      await memory.finish(generation, { cursors: { left: 'c', right: 'd' }, layouts: [layout], runs: 1 })
      await store.pairs.reset('contacts', { keepPairs: true })
      await using after = await again()
      const none = { left: null, right: null }
      assert.deepEqual(await after.state(), {
        cursors: none,
        fences: none,
        layouts: [{ ...layout, complete: false }],
        runs: 1,
      })
      const [kept] = await after.byKeys('left', ['1'])
      assert.deepEqual([kept?.right, kept?.layout], ['51', 0])
    }),
  )

  test(
    'bases of hashes come back as they were',
    withMemory(async ({ memory, generation }) => {
      const hashes = `#${String.fromCharCode(0, 255, 10, 65, 200, 1, 2, 3)}`
      await memory.commit(generation, { ...nothing, insert: [{ ...pair('1', '51'), leftBase: hashes }] })
      assert.equal((await memory.byKeys('left', ['1']))[0]?.leftBase, hashes)
    }),
  )

  test(
    'a worker that lost its lease commits nothing',
    withMemory(async ({ memory, generation, store }) => {
      await store.leases.take('contacts', 'me', 1000, 60_000)
      for (const work of [
        () => memory.commit(generation, { ...nothing, insert: [pair('1', '51')] }),
        () => memory.intend(generation, [{ id: 'i', side: 'left', body: '' }]),
        () => memory.finish(generation, { cursors: { left: 'x', right: 'y' }, layouts: [], runs: 1 }),
      ])
        await assert.rejects(work, (error) => error instanceof SyncError && error.code === 'LEASE_LOST')
      assert.equal(await memory.known('left'), 0)
      assert.deepEqual(await memory.intents(), [])
    }),
  )

  test(
    'intents stay until they are carried out; state, pending pairs and rows without a pair stay over runs',
    withMemory(async ({ memory, generation, again }) => {
      await memory.commit(generation, { ...nothing, insert: [pair('1', '51')] })
      const [one] = await memory.byKeys('left', ['1'])
      await memory.intend(generation, [{ id: 'i', side: 'right', body: 'b' }])
      await memory.commit(generation, {
        ...nothing,
        pending: [{ pair: one?.id ?? 0, state: 'rejected', code: 'c', message: 'm' }],
        unpaired: [
          { side: 'left', key: '7', match: 'm7', state: 'deferred', code: null, message: null },
          { side: 'right', key: '8', match: null, state: 'alone', code: null, message: null },
        ],
      })
      const state = { cursors: { left: 'l', right: null }, layouts: [layout], runs: 3 }
      await memory.finish(generation, state)
      await using later = await again()
      assert.deepEqual(await later.state(), { ...state, fences: { left: null, right: null } })
      assert.deepEqual(await later.intents(), [{ id: 'i', side: 'right', body: 'b' }])
      const waiting = await later.waiting()
      assert.deepEqual([waiting.pairs.length, waiting.unpaired.map(({ key }) => key)], [1, ['7']])
      assert.deepEqual(await later.partners('left', ['m7', 'none']), [{ match: 'm7', key: '7' }])
      assert.deepEqual([await later.known('left'), await later.known('right')], [2, 2])
      const settled = [{ side: 'left' as const, key: '7' }]
      await later.commit(generation, { ...nothing, carried: ['i'], unpend: [one?.id ?? 0], settled })
      assert.deepEqual(await later.intents(), [])
      assert.deepEqual(await later.waiting(), { pairs: [], unpaired: [] })
    }),
  )

  test(
    'what a run marks is worked through once, deletions last, and forgotten with the run',
    withMemory(async ({ memory, again }) => {
      await memory.work.add([{ pair: 5 }, { side: 'left', key: '1', match: 'm' }, { pair: 5 }])
      const items = await memory.work.next('writes', 10)
      assert.deepEqual(
        items.map(({ pair: id, side }) => [id, side]),
        [
          [5, null],
          [null, 'left'],
        ],
      )
      assert.deepEqual(await memory.partners('left', ['m']), [{ match: 'm', key: '1' }])
      await memory.work.postpone(items.slice(0, 1))
      await memory.work.done(items.slice(1))
      assert.deepEqual([await memory.work.count('writes'), await memory.work.count('deletes')], [0, 1])
      await memory[Symbol.asyncDispose]()
      await using later = await again()
      assert.equal(await later.work.count('deletes'), 0)
    }),
  )

  test(
    'a sweep marks the known keys that were not seen',
    withMemory(async ({ memory, generation }) => {
      await memory.commit(generation, { ...nothing, insert: [pair('1', '51'), pair('2', '52'), pair('3', '53')] })
      await memory.sweep.begin('left')
      await memory.sweep.saw(['1', '3', '9'])
      assert.equal(await memory.sweep.end(), 1)
      const [item] = await memory.work.next('writes', 10)
      assert.equal((await memory.byIds([item?.pair ?? 0]))[0]?.left, '2')
    }),
  )

  test(
    'rows that are alike and unique in their match become pairs; the others are work',
    withMemory(async ({ memory, generation }) => {
      const mark = (side: 'left' | 'right', key: string, match: string | null, cells: string) => ({
        side,
        key,
        match,
        cells,
      })
      await memory.work.add([
        mark('left', '1', 'a', 'same'),
        mark('left', '2', 'b', 'x'),
        mark('left', '3', 'c', 'same'),
        mark('left', '4', 'c', 'same'),
        mark('left', '5', null, 'same'),
        mark('right', '51', 'a', 'same'),
        mark('right', '52', 'b', 'y'),
        mark('right', '53', 'c', 'same'),
      ])
      assert.equal(await memory.known('left'), 5)
      assert.equal(await memory.work.pairAlike(null, 1), 1)
      assert.equal((await memory.byKeys('left', ['1'])).length, 0)
      await memory.work.done(await memory.work.next('writes', 100))
      await memory.work.add([
        mark('left', '1', 'a', 'same'),
        mark('right', '51', 'a', 'same'),
        mark('left', '6', 'd', 'z'),
      ])
      assert.equal(await memory.work.pairAlike(generation, 1), 1)
      assert.equal((await memory.byKeys('left', ['1']))[0]?.right, '51')
      const rest = await memory.work.next('writes', 100)
      assert.deepEqual(
        rest.map((item) => (item.side === null ? null : item.key)),
        ['6'],
      )
    }),
  )

  test(
    'conflicts open, change field by field, are decided and end',
    withMemory(async ({ memory, generation, store }) => {
      await memory.commit(generation, { ...nothing, insert: [pair('1', '51')] })
      const id = (await memory.byKeys('left', ['1']))[0]?.id ?? 0
      const field = { values: '[null,"l","r"]', rule: 'ask', outcome: 'open', status: 'open' as const }
      const change = { kind: 'fields' as const, pair: id, left: '1', right: '51', run: 'r1', atMs: 5 }
      const committed = await memory.commit(generation, {
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
      assert.deepEqual(await memory.commit(generation, { ...nothing, conflicts: over }), [
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
    withMemory(async ({ memory, generation, store }) => {
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
      await memory.commit(generation, { ...nothing, journal: [entry('r1', 10), entry('r2', 20)] })
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
