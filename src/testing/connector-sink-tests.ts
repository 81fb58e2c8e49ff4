/** A transactional target, as tests: rows and checkpoint in one transaction, fenced, and nothing written that is there. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Checkpoint } from '../connectors/connector.ts'
import { diffSchema } from '../core/schema.ts'
import type { Row } from '../core/value.ts'
import { assertRows, type ConnectorUnderTest, type Shape, schemaOf } from './connector-harness.ts'
import {
  claim,
  held,
  isError,
  items,
  openSink,
  put,
  SYNC,
  specOf,
  transact,
  type WithSink,
} from './connector-target.ts'
import { rejectionTests, valueTests } from './connector-value-tests.ts'

const rows: readonly Row[] = [
  ['a', 1, null],
  ['b', 2, 'two'],
  ['c', 9007199254740993n, ''],
]

export function sinkTests(connector: ConnectorUnderTest, target: NonNullable<ConnectorUnderTest['target']>): void {
  const withSink: WithSink = (run) => async () => {
    await using system = await connector.open()
    await using sink = await openSink(system.connection)
    await run({ sink, system })
  }
  transactionTests(withSink)
  ownershipTests(withSink)
  putTests(withSink)
  schemaTests(withSink)
  valueTests(withSink)
  if (target.refuses !== null) rejectionTests(withSink, target.refuses)
}

function transactionTests(withSink: WithSink): void {
  const spec = specOf(items)
  const checkpoint: Checkpoint = { cursor: 'far', fingerprint: 'f1' }

  test(
    'a target that is not there yet has no schema, owner or checkpoint; inspecting makes nothing',
    withSink(async ({ sink, system }) => {
      const nothing = { schema: null, orphans: [], owner: null, checkpoint: null }
      assert.deepEqual(await sink.inspect(spec), nothing)
      assert.deepEqual(await sink.inspect(spec), nothing)
      await system.create({ ...items, name: 'other' }, [])
      assert.deepEqual((await system.connection.discover()).length, 1)
    }),
  )

  test(
    'a claimed target is made, empty and ours',
    withSink(async ({ sink, system }) => {
      const target = await claim(sink, spec)
      assert.deepEqual([target.empty, target.checkpoint], [true, null])
      const state = await sink.inspect(spec)
      assert.deepEqual(state.owner, { project: 'project', sync: SYNC })
      assert.deepEqual(diffSchema(state.schema, spec.schema, state.orphans), [])
      assert.deepEqual(await held(sink, spec), [])
      assert.equal((await system.connection.discover()).length, 1)
    }),
  )

  test(
    'rows and checkpoint are there after the commit, for everybody',
    withSink(async ({ sink, system }) => {
      await claim(sink, spec)
      await transact(sink, async (transaction) => void (await put(transaction, rows, true)), checkpoint)
      await using other = await openSink(await system.connect())
      assert.deepEqual((await other.inspect(spec)).checkpoint, checkpoint)
      const again = await claim(other, spec)
      assert.deepEqual([again.empty, again.checkpoint], [false, checkpoint])
      assertRows(items, await held(other, spec), rows)
    }),
  )

  test(
    'a transaction that is rolled back leaves nothing: no rows, no deletions, no checkpoint',
    withSink(async ({ sink }) => {
      await claim(sink, spec)
      await transact(sink, async (transaction) => void (await put(transaction, rows, true)), checkpoint)
      const transaction = await sink.begin()
      await put(transaction, [
        ['d', 4, null],
        ['a', 100, null],
      ])
      await transaction.delete(SYNC, [['b']])
      await transaction.reject(SYNC, [{ key: ['x'], code: 'VALUE_REFUSED', message: '' }], [])
      await transaction.checkpoint(SYNC, { cursor: 'farther', fingerprint: 'f2' })
      await transaction.rollback()
      assertRows(items, await held(sink, spec), rows)
      assert.deepEqual((await sink.inspect(spec)).checkpoint, checkpoint)
      assert.deepEqual(await sink.rejections(spec), [])
    }),
  )

  test(
    'a transaction that was never finished leaves nothing',
    withSink(async ({ sink, system }) => {
      await claim(sink, spec)
      {
        await using dying = await openSink(await system.connect())
        await claim(dying, spec)
        const transaction = await dying.begin()
        await put(transaction, rows)
        await transaction.checkpoint(SYNC, checkpoint)
      }
      assert.deepEqual(await held(sink, spec), [])
      assert.equal((await sink.inspect(spec)).checkpoint, null)
    }),
  )

  test(
    'a null checkpoint keeps the one that stands',
    withSink(async ({ sink }) => {
      await claim(sink, spec)
      await transact(sink, async () => {}, checkpoint)
      await transact(sink, async (transaction) => void (await put(transaction, rows)))
      assert.deepEqual((await sink.inspect(spec)).checkpoint, checkpoint)
    }),
  )

  test(
    'a checkpoint without a cursor is one',
    withSink(async ({ sink }) => {
      await claim(sink, spec)
      await transact(sink, async () => {}, { cursor: null, fingerprint: 'f1' })
      assert.deepEqual((await sink.inspect(spec)).checkpoint, { cursor: null, fingerprint: 'f1' })
    }),
  )

  test(
    'whoever claims a target takes the fence: the one before writes nothing more',
    withSink(async ({ sink, system }) => {
      await claim(sink, spec)
      await transact(sink, async (transaction) => void (await put(transaction, rows)), checkpoint)
      await using successor = await openSink(await system.connect())
      await claim(successor, spec)
      const zombie = transact(sink, async (transaction) => void (await put(transaction, [['z', 0, null]])), {
        cursor: 'nowhere',
        fingerprint: 'f1',
      })
      await assert.rejects(zombie, isError('LEASE_LOST'))
      await transact(successor, async (transaction) => void (await put(transaction, [['d', 4, null]])))
      assertRows(items, await held(successor, spec), [...rows, ['d', 4, null]])
      assert.deepEqual((await successor.inspect(spec)).checkpoint, checkpoint)
    }),
  )

  test(
    'a run that claims once more goes on only if nobody claimed since',
    withSink(async ({ sink, system }) => {
      const first = await claim(sink, spec)
      await using again = await openSink(await system.connect())
      const second = await claim(again, spec, first.generation)
      await using successor = await openSink(await system.connect())
      const third = await claim(successor, spec)
      await using late = await openSink(await system.connect())
      await assert.rejects(claim(late, spec, second.generation), isError('LEASE_LOST'))
      await transact(successor, async (transaction) => void (await put(transaction, rows)), checkpoint)
      assertRows(items, await held(successor, spec), rows)
      assert.ok((await claim(late, spec, third.generation)).generation > third.generation)
    }),
  )

  test(
    'a run that claims once more leaves a successor alone that is in the middle of a transaction',
    withSink(async ({ sink, system }) => {
      const first = await claim(sink, spec)
      await using successor = await openSink(await system.connect())
      await claim(successor, spec)
      const transaction = await successor.begin()
      await put(transaction, rows)
      await using late = await openSink(await system.connect())
      await assert.rejects(claim(late, spec, first.generation))
      await transaction.checkpoint(SYNC, checkpoint)
      await transaction.commit()
      assertRows(items, await held(successor, spec), rows)
      await assert.rejects(claim(late, spec, first.generation), isError('LEASE_LOST'))
    }),
  )

  test(
    'a reset forgets the checkpoint and keeps the rows; with drop the table goes as well',
    withSink(async ({ sink }) => {
      await claim(sink, spec)
      await transact(sink, async (transaction) => void (await put(transaction, rows)), checkpoint)
      await sink.reset(spec, false)
      assert.equal((await sink.inspect(spec)).checkpoint, null)
      assertRows(items, await held(sink, spec), rows)
      await sink.reset(spec, true)
      assert.deepEqual(await sink.inspect(spec), { schema: null, orphans: [], owner: null, checkpoint: null })
      const anew = await claim(sink, spec)
      assert.deepEqual([anew.empty, anew.checkpoint], [true, null])
    }),
  )
}

/** What is asked of a table by a sync that does not own it: another project's of the same name, and another of the same project. */
function ownershipTests(withSink: WithSink): void {
  const others = { 'another project': { project: 'other' }, 'another sync': { sync: 'other' } }
  for (const [who, over] of Object.entries(others))
    for (const adopt of [false, true]) {
      const spec = specOf(items, { adopt })
      const kind = adopt ? 'an adopted table' : 'a table that a sync made'

      test(
        `${kind} is neither dropped nor given up by a reset of ${who}`,
        withSink(async ({ sink, system }) => {
          if (adopt) await system.create(items, rows.slice(0, 1))
          await claim(sink, spec)
          await transact(sink, async (transaction) => void (await put(transaction, rows)))
          const before = await sink.inspect(spec)
          const written = await held(sink, spec)
          await sink.reset({ ...spec, ...over }, true)
          assert.deepEqual(await sink.inspect(spec), before)
          assertRows(items, await held(sink, spec), written)
        }),
      )

      test(
        `${kind} is not claimed by ${who} that saw it before it had an owner`,
        withSink(async ({ sink, system }) => {
          if (adopt) await system.create(items, rows.slice(0, 1))
          const other = { ...spec, ...over }
          await using late = await openSink(await system.connect())
          const seen = await late.inspect(other)
          await claim(sink, spec)
          const changes = adopt ? diffSchema(seen.schema, spec.schema, seen.orphans) : []
          await assert.rejects(late.claim(other, changes, null), (error: unknown) =>
            /^TARGET_(NOT_OURS|SHARED)$/.test(String(Reflect.get(Object(error), 'code'))),
          )
          assert.equal((await sink.inspect(spec)).owner?.project, 'project')
        }),
      )
    }
}

function putTests(withSink: WithSink): void {
  const spec = specOf(items)

  for (const adopt of [false, true])
    test(
      `what ${adopt ? 'an adopted table' : 'a table'} makes of rows is told beforehand in their order, before the table is the sync's and after, and nothing of it is kept`,
      withSink(async ({ sink, system }) => {
        const own = specOf(items, { adopt })
        if (sink.rehearse === undefined) return
        if (adopt) await system.create(items, rows.slice(0, 1))
        const given = rows.toReversed()
        const told = async () => {
          const stored = (await sink.rehearse?.(own, given)) ?? []
          assert.equal(stored.length, given.length)
          for (const [at, row] of stored.entries()) assertRows(items, [row ?? []], given.slice(at, at + 1))
        }
        await told()
        await claim(sink, own)
        await told()
        assertRows(items, await held(sink, own), [])
        await transact(sink, async (transaction) => void (await put(transaction, rows)))
        await told()
        assert.deepEqual(await sink.rehearse(own, []), [])
      }),
    )

  test(
    'a put tells what it inserted, updated and left as it was; putting the same again writes nothing',
    withSink(async ({ sink }) => {
      await claim(sink, spec)
      await transact(sink, async (transaction) => {
        assert.deepEqual(await put(transaction, rows, true), { inserted: 3, updated: 0, unchanged: 0, rejected: [] })
      })
      await transact(sink, async (transaction) => {
        assert.deepEqual(await put(transaction, rows), { inserted: 0, updated: 0, unchanged: 3, rejected: [] })
        const some: Row[] = [
          ['a', 1, null],
          ['b', 2, null],
          ['d', 4, 'four'],
          ['c', 9007199254740993n, 'changed'],
        ]
        assert.deepEqual(await put(transaction, some), { inserted: 1, updated: 2, unchanged: 1, rejected: [] })
        assert.deepEqual(await put(transaction, []), { inserted: 0, updated: 0, unchanged: 0, rejected: [] })
      })
      assertRows(items, await held(sink, spec), [
        ['a', 1, null],
        ['b', 2, null],
        ['c', 9007199254740993n, 'changed'],
        ['d', 4, 'four'],
      ])
    }),
  )

  test(
    'thousands of rows go in with one put, and are counted',
    withSink(async ({ sink }) => {
      await claim(sink, spec)
      const many = Array.from({ length: 3000 }, (_, at): Row => [`sku ${at}`, at, at % 3 === 0 ? null : 'note'])
      await transact(sink, async (transaction) => {
        assert.equal((await put(transaction, many.slice(0, 2000), true)).inserted, 2000)
        assert.deepEqual(await put(transaction, many), { inserted: 1000, updated: 0, unchanged: 2000, rejected: [] })
      })
      assertRows(items, await held(sink, spec), many)
    }),
  )

  test(
    'a delete counts the rows there were',
    withSink(async ({ sink }) => {
      await claim(sink, spec)
      await transact(sink, async (transaction) => {
        await put(transaction, rows)
        assert.equal((await transaction.delete(SYNC, [['a'], ['c'], ['none']])).deleted, 2)
        assert.equal((await transaction.delete(SYNC, [])).deleted, 0)
      })
      assertRows(items, await held(sink, spec), [rows[1]!])
    }),
  )

  for (const adopt of [false, true])
    test(
      `with \`keep\` a row that goes stays in ${adopt ? 'an adopted table' : 'the table'}, is not seen any more, and is the sync's again with the next put`,
      withSink(async ({ sink, system }) => {
        const keeping = specOf(items, { deletes: 'keep', adopt })
        if (adopt) await system.create(items, [])
        await claim(sink, keeping)
        await transact(sink, async (transaction) => void (await put(transaction, rows)))
        await transact(sink, async (transaction) => {
          assert.equal((await transaction.delete(SYNC, [['a'], ['none']])).deleted, 1)
        })
        assertRows(items, await held(sink, keeping), [rows[1]!, rows[2]!])
        {
          const table = await (await system.connect()).collection('items', { key: ['sku'] })
          await using all = await table.view?.({ fields: ['sku'], where: null })
          assert.equal(await all?.count(), 3)
        }
        await transact(sink, async (transaction) => {
          const { inserted, updated } = await put(transaction, [['a', 7, 'back'], rows[1]!])
          if (!adopt) assert.deepEqual([inserted, updated], [1, 0])
        })
        assertRows(items, await held(sink, keeping), [['a', 7, 'back'], rows[1]!, rows[2]!])
      }),
    )

  test(
    'a row marked as deleted is not seen any more, and comes back with the next put, as an insert',
    withSink(async ({ sink }) => {
      const marking = specOf(items, { deletes: 'mark' })
      await claim(sink, marking)
      await transact(sink, async (transaction) => {
        await put(transaction, rows)
        assert.equal((await transaction.delete(SYNC, [['a']])).deleted, 1)
        assert.equal((await transaction.delete(SYNC, [['a']])).deleted, 0)
      })
      assertRows(items, await held(sink, marking), rows.slice(1))
      const back: Row[] = [['a', 1, null], ['b', 9, null], rows[2]!, ['d', 4, null]]
      await transact(sink, async (transaction) => {
        assert.deepEqual(await put(transaction, back), { inserted: 2, updated: 1, unchanged: 1, rejected: [] })
      })
      assertRows(items, await held(sink, marking), back)
    }),
  )

  test(
    'rows of an adopted table that the sync did not write are not seen and not deleted',
    withSink(async ({ sink, system }) => {
      const spec = specOf(items, {
        adopt: true,
        collection: await system.create(items, [
          ['foreign', 7, 'not ours'],
          ['shared', 8, 'to be ours'],
        ]),
      })
      assert.equal((await sink.inspect(spec)).owner, null)
      await claim(sink, spec)
      assert.deepEqual(await held(sink, spec), [])
      await transact(sink, async (transaction) => {
        await put(transaction, [
          ['shared', 9, 'ours'],
          ['new', 1, null],
        ])
        assert.equal((await transaction.delete(SYNC, [['foreign']])).deleted, 0)
      })
      assertRows(items, await held(sink, spec), [
        ['shared', 9, 'ours'],
        ['new', 1, null],
      ])
      assert.equal(
        (await (await system.connection.collection(spec.collection)).lookup.fetch([['foreign']])).rows.length,
        1,
      )
    }),
  )

  test(
    'rows of an adopted table that were only found equal are not among those that the sync wrote',
    withSink(async ({ sink, system }) => {
      const spec = specOf(items, { adopt: true, collection: await system.create(items, [['equal', 7, 'theirs']]) })
      await claim(sink, spec)
      await transact(sink, async (transaction) => {
        await put(transaction, [
          ['equal', 7, 'theirs'],
          ['new', 1, null],
        ])
      })
      await using written = await sink.view(spec, 'written')
      assert.equal(await written.count(), 1)
      assert.deepEqual((await written.fetch([['equal'], ['new']], ['sku'])).rows, [['new']])
    }),
  )
}

function schemaTests(withSink: WithSink): void {
  test(
    'a new field is added and NULL in the rows there are; a dropped one stays and is remembered',
    withSink(async ({ sink }) => {
      await claim(sink, specOf(items))
      await transact(sink, async (transaction) => void (await put(transaction, rows)))
      const [sku, amount] = items.fields
      const next: Shape = { ...items, fields: [sku!, amount!, { name: 'added', type: 'boolean' }] }
      const kinds = diffSchema((await sink.inspect(specOf(next))).schema, schemaOf(next)).map((change) => change.kind)
      assert.deepEqual(kinds, ['add', 'orphan'])
      await claim(sink, specOf(next))
      assertRows(
        next,
        await held(sink, specOf(next)),
        rows.map(([key, value]): Row => [key!, value!, null]),
      )
      const state = await sink.inspect(specOf(next))
      assert.deepEqual(state.orphans, ['note'])
      assert.deepEqual(diffSchema(state.schema, schemaOf(next), state.orphans), [])
      await transact(sink, async (transaction) => void (await put(transaction, [['n', 1, true]])))
    }),
  )
}
