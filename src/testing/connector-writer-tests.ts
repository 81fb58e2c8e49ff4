/** The contract of conditional writes, which two-way syncs are made of. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Collection, Write, Writer } from '../connectors/connector.ts'
import { SyncError } from '../core/error.ts'
import type { Row } from '../core/value.ts'
import {
  assertRows,
  type ConnectorHarness,
  type ConnectorUnderTest,
  fieldNames,
  type Shape,
} from './connector-harness.ts'

const people: Shape = {
  name: 'people',
  fields: [
    { name: 'id', type: 'integer' },
    { name: 'name', type: 'text' },
    { name: 'email', type: 'text' },
    { name: 'active', type: 'boolean' },
  ],
  key: ['id'],
}
const ann: Row = [1, 'Ann', 'ann@example.com', true]
const bob: Row = [2, 'Bob', 'bob@example.com', false]

interface World {
  readonly system: ConnectorHarness
  readonly collection: Collection
  readonly writer: Writer
  write(...writes: readonly Write[]): ReturnType<Writer['write']>
  rows(): Promise<readonly Row[]>
}

export function writerTests(connector: ConnectorUnderTest): void {
  const withWriter = (run: (world: World) => Promise<void>) => async () => {
    await using system = await connector.open()
    const name = await system.create(people, [ann, bob])
    await using connection = await system.connect()
    const collection = await connection.collection(name)
    await using writer = await openWriter(collection)
    let batch = 0
    await run({
      system,
      collection,
      writer,
      write: (...writes) => writer.write(`batch-${batch++}`, writes, []),
      rows: async () => (await collection.lookup.fetch([[1], [2], [3], [4]], fieldNames(people))).rows,
    })
  }

  test(
    'inserts, updates and deletes, and says what the system holds then',
    withWriter(async ({ write, rows }) => {
      const results = await write(
        { kind: 'insert', row: { id: 3, name: 'Cid', active: true } },
        { kind: 'update', key: [1], fields: { name: 'Anna' }, expected: { name: 'Ann', active: true } },
        { kind: 'delete', key: [2], expected: { name: 'Bob', email: 'bob@example.com' } },
      )
      assert.deepEqual(results, [
        { status: 'written', row: [3, 'Cid', null, true] },
        { status: 'written', row: [1, 'Anna', 'ann@example.com', true] },
        { status: 'written', row: null },
      ])
      assertRows(people, await rows(), [
        [1, 'Anna', 'ann@example.com', true],
        [3, 'Cid', null, true],
      ])
    }),
  )

  test(
    'where it can tell beforehand what it would refuse, it answers for each write, and keeps nothing',
    withWriter(async ({ collection, write, rows }) => {
      if (collection.rehearse === undefined) return
      const writes: readonly Write[] = [
        { kind: 'insert', row: { id: 3, name: 'Cid' } },
        { kind: 'update', key: [1], fields: { name: 'Anna' }, expected: { name: 'Ann' } },
        { kind: 'delete', key: [2], expected: {} },
        { kind: 'update', key: [9], fields: { email: null }, expected: {} },
      ]
      assert.deepEqual(
        await collection.rehearse(writes),
        writes.map(() => false),
      )
      assert.deepEqual(await collection.rehearse([]), [])
      assertRows(people, await rows(), [ann, bob])
      assert.equal((await write({ kind: 'delete', key: [2], expected: {} }))[0]?.status, 'written')
    }),
  )

  test(
    'is stale where a row is not as expected or not there, and an update never inserts',
    withWriter(async ({ write, rows }) => {
      const results = await write(
        { kind: 'update', key: [1], fields: { email: null }, expected: { name: 'Someone' } },
        { kind: 'update', key: [3], fields: { name: 'Cid' }, expected: {} },
        { kind: 'delete', key: [2], expected: { email: null } },
        { kind: 'delete', key: [4], expected: {} },
      )
      assert.deepEqual(
        results.map(({ status }) => status),
        ['stale', 'stale', 'stale', 'stale'],
      )
      assertRows(people, await rows(), [ann, bob])
    }),
  )

  test(
    'NULL is expected as NULL',
    withWriter(async ({ system, write }) => {
      await system.put(people, [[3, null, null, null]])
      const [missed, hit] = await write(
        { kind: 'update', key: [1], fields: { name: 'x' }, expected: { email: null } },
        { kind: 'update', key: [3], fields: { name: 'x' }, expected: { name: null, active: null } },
      )
      assert.equal(missed?.status, 'stale')
      assert.equal(hit?.status, 'written')
    }),
  )

  test(
    'a refused row does not take the others with it',
    withWriter(async ({ system, write, rows }) => {
      await system.makeUnique(people, 'email')
      const results = await write(
        { kind: 'insert', row: { id: 1, name: 'Twice' } },
        { kind: 'insert', row: { id: 3, name: 'Cid', email: 'bob@example.com' } },
        { kind: 'update', key: [2], fields: { name: 'Robert' }, expected: { name: 'Bob' } },
        { kind: 'insert', row: { id: 4, name: 'Dee' } },
      )
      assert.deepEqual(
        results.map(({ status }) => status),
        ['rejected', 'rejected', 'written', 'written'],
      )
      const codes = results.map((result) => (result.status === 'rejected' ? result.code : null))
      assert.deepEqual(codes.slice(0, 2), ['VALUE_TAKEN', 'VALUE_TAKEN'])
      assertRows(people, await rows(), [ann, [2, 'Robert', 'bob@example.com', false], [4, 'Dee', null, null]])
    }),
  )

  test(
    'an update may change the key: the row has the new one alone, and takes no other row’s',
    withWriter(async ({ write, rows }) => {
      const results = await write(
        { kind: 'update', key: [1], fields: { id: 3, name: 'Anna' }, expected: { id: 1, name: 'Ann' } },
        { kind: 'update', key: [2], fields: { id: 3 }, expected: { id: 2 } },
      )
      const row = [3, 'Anna', 'ann@example.com', true]
      assert.deepEqual(results[0], { status: 'written', row })
      assert.equal(results[1]?.status, 'rejected')
      assertRows(people, await rows(), [bob, row])
    }),
  )

  test(
    'two rows swap a unique value in one batch',
    withWriter(async ({ system, write, rows }) => {
      await system.makeUnique(people, 'email')
      const swap = (key: number, from: Row, to: Row): Write => ({
        kind: 'update',
        key: [key],
        fields: { email: to[2] ?? null },
        expected: { email: from[2] ?? null },
      })
      const results = await write(swap(1, ann, bob), swap(2, bob, ann))
      assert.deepEqual(
        results.map(({ status }) => status),
        ['written', 'written'],
      )
      assertRows(people, await rows(), [
        [1, 'Ann', 'bob@example.com', true],
        [2, 'Bob', 'ann@example.com', false],
      ])
    }),
  )

  test(
    'a unique value that another write of the batch frees can be taken',
    withWriter(async ({ system, write }) => {
      await system.makeUnique(people, 'email')
      const results = await write(
        { kind: 'insert', row: { id: 3, email: 'ann@example.com' } },
        { kind: 'update', key: [2], fields: { email: 'new@example.com' }, expected: {} },
        { kind: 'insert', row: { id: 4, email: 'bob@example.com' } },
        { kind: 'delete', key: [1], expected: {} },
      )
      assert.deepEqual(
        results.map(({ status }) => status),
        ['written', 'written', 'written', 'written'],
      )
    }),
  )

  test(
    'what became of a batch can be recalled by another process, until it is forgotten',
    withWriter(async ({ writer, collection }) => {
      const results = await writer.write(
        'a',
        [
          { kind: 'update', key: [1], fields: { name: 'Anna' }, expected: {} },
          { kind: 'update', key: [9], fields: { name: 'x' }, expected: {} },
        ],
        [],
      )
      await using next = await openWriter(collection)
      assert.deepEqual(await next.recall('a'), results)
      assert.equal(await next.recall('b'), null)
      await next.write('b', [{ kind: 'delete', key: [2], expected: {} }], ['a'])
      assert.equal(await next.recall('a'), null)
      const raised = await next.forget()
      assert.equal(await next.recall('b'), null)
      assert.ok(raised > next.generation)
      assert.deepEqual(await collection.fences?.('people:left'), new Map([['p', raised]]))
      assert.equal(await next.forget(), raised, 'there is nothing to forget')
      assert.equal((await next.write('c', [{ kind: 'delete', key: [1], expected: {} }], []))[0]?.status, 'written')
      await using _again = await openWriter(collection, raised)
    }),
  )

  test(
    'whoever claimed before writes nothing more',
    withWriter(async ({ writer, collection, rows }) => {
      await using _next = await openWriter(collection)
      await assert.rejects(
        () => writer.write('a', [{ kind: 'delete', key: [1], expected: {} }], []),
        (error) => error instanceof SyncError && error.code === 'LEASE_LOST',
      )
      assertRows(people, await rows(), [ann, bob])
    }),
  )

  test(
    'where columns have marks, every field has one, and writing rows changes none',
    withWriter(async ({ collection, write }) => {
      const before = await collection.columns?.()
      if (before === undefined) return
      for (const name of fieldNames(people)) assert.ok(before.marks[name], `${name} has no mark`)
      await write({ kind: 'delete', key: [2], expected: {} })
      assert.deepEqual(await collection.columns?.(), before)
    }),
  )

  test(
    'a run that claims again goes on, unless somebody claimed since',
    withWriter(async ({ writer, collection }) => {
      assert.deepEqual(await collection.fences?.('people:left'), new Map([['p', writer.generation]]))
      assert.deepEqual(await collection.fences?.('people:right'), new Map())
      await assert.rejects(
        () => openWriter(collection, 0),
        (error) => error instanceof SyncError && error.code === 'LEASE_LOST',
        'nobody had it, as far as this one saw',
      )
      await using again = await openWriter(collection, writer.generation)
      assert.ok(again.generation > writer.generation)
      await assert.rejects(
        () => openWriter(collection, writer.generation),
        (error) => error instanceof SyncError && error.code === 'LEASE_LOST',
      )
      await again.write('a', [{ kind: 'delete', key: [1], expected: {} }], [])
    }),
  )

  test(
    'a fence that nobody has yet is taken by one of those that saw it so',
    withWriter(async ({ collection }) => {
      await using first = await openWriter(collection, 0, 'people:right')
      assert.deepEqual(await collection.fences?.('people:right'), new Map([['p', first.generation]]))
      await assert.rejects(
        () => openWriter(collection, 0, 'people:right'),
        (error) => error instanceof SyncError && error.code === 'LEASE_LOST',
      )
      assert.deepEqual(await collection.fences?.('people:right'), new Map([['p', first.generation]]))
    }),
  )
}

async function openWriter(collection: Collection, held: number | null = null, name = 'people:left'): Promise<Writer> {
  const writer = await collection.writer?.({ project: 'p', name, fields: fieldNames(people), held })
  assert.ok(writer !== undefined, 'the collection takes no writes')
  return writer
}
