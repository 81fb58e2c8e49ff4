/** The contract of a connector (src/connectors/connector.ts), as tests: every connector passes them. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { SyncError } from '../core/error.ts'
import { type ConnectorHarness, type ConnectorUnderTest, type Shape, schemaOf } from './connector-harness.ts'
import { readTests } from './connector-read-tests.ts'
import { sinkTests } from './connector-sink-tests.ts'
import { filterTests, viewTests } from './connector-view-tests.ts'
import { writerTests } from './connector-writer-tests.ts'

/** Runs the contract tests. `connector.open` gives a new, empty system each time. */
export function connectorTests(connector: ConnectorUnderTest): void {
  describe(`${connector.name} keeps the contract of a connector`, () => {
    describe('collections', () => collectionTests(connector))
    describe('reading', () => readTests(connector))
    describe('views and lookups', () => viewTests(connector))
    describe('filters', () => filterTests(connector))
    const { target } = connector
    if (target !== null) describe('as a target', () => sinkTests(connector, target))
    if (connector.writes !== false) describe('as a side of a two-way sync', () => writerTests(connector))
  })
}

const books: Shape = {
  name: 'books',
  fields: [
    { name: 'title', type: 'text' },
    { name: 'shelf', type: 'integer' },
    { name: 'version', type: 'integer' },
  ],
  key: ['shelf', 'title'],
}

function collectionTests(connector: ConnectorUnderTest): void {
  const withSystem = (run: (system: ConnectorHarness) => Promise<void>) => async () => {
    await using system = await connector.open()
    await run(system)
  }

  test(
    'discover lists every collection with its fields and key, and none of our own',
    withSystem(async (system) => {
      const name = await system.create(books, [['Emma', 1, 1]])
      await system.create({ ...books, name: 'odd name', key: ['title'] }, [])
      const found = await system.connection.discover()
      assert.equal(found.length, 2)
      const schema = found.find((candidate) => candidate.name === name)
      assert.deepEqual(
        schema?.fields.map(({ name, type, nullable }) => ({ name, type, nullable })),
        [
          { name: 'title', type: 'text', nullable: false },
          { name: 'shelf', type: 'integer', nullable: false },
          { name: 'version', type: 'integer', nullable: true },
        ],
      )
      assert.deepEqual(schema?.key, ['shelf', 'title'])
    }),
  )

  test(
    'a collection has the schema that discover showed, and says how it can be followed',
    withSystem(async (system) => {
      const name = await system.create(books, [])
      const collection = await system.connection.collection(name, { cursor: connector.cursor ?? null })
      assert.deepEqual(collection.schema, (await system.connection.discover())[0])
      assert.equal(collection.feed, connector.feed)
      assert.equal(collection.feedReason === null, connector.feed !== 'none')
    }),
  )

  test(
    'the user may choose another key',
    withSystem(async (system) => {
      const name = await system.create(books, [['Emma', 1, 1]])
      const collection = await system.connection.collection(name, { key: ['title'] })
      assert.deepEqual(collection.schema.key, ['title'])
      assert.deepEqual(collection.schema.fields.length, schemaOf(books).fields.length)
    }),
  )

  test(
    'an unknown collection is refused, and the nearest names are told',
    withSystem(async (system) => {
      const name = await system.create(books, [])
      await assert.rejects(
        async () => system.connection.collection('boks'),
        (error) =>
          error instanceof SyncError && error.code === 'COLLECTION_UNKNOWN' && (error.hint ?? '').includes(name),
      )
    }),
  )
}
