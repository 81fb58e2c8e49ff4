import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { describe, test } from 'node:test'
import { z } from 'zod'
import { SyncError } from '../core/error.ts'
import type { Schema } from '../core/schema.ts'
import type { Row } from '../core/value.ts'
import { testContext } from '../testing/connector-harness.ts'
import type { Connection, Limits } from './connector.ts'
import type { HandlerRow } from './handlers.ts'
import { defineConnector } from './kit.ts'
import { memoryConnector } from './memory.ts'
import { MemorySystem } from './memory-system.ts'
import { postgres } from './postgres/index.ts'
import { sqlite } from './sqlite/index.ts'

const crm = defineConnector({
  name: 'crm',
  config: z.strictObject({ token: z.string(), rows: z.array(z.record(z.string(), z.unknown())) }),
  syncs: {
    contacts: {
      fields: { id: 'integer', name: 'text', amount: 'decimal', tags: 'json', seen: 'instant' },
      run: async ({ config }) => config.rows,
    },
    paged: {
      key: ['id'],
      run: async function* ({ config }) {
        for (const row of config.rows) yield [row]
      },
    },
    plain: (connection) => connection.config.rows,
  },
  actions: (action) => ({
    greet: action({
      input: z.object({ name: z.string() }),
      output: z.object({ text: z.string() }),
      run: async (_connection, { name }) => ({ text: `Hello ${name}` }),
    }),
  }),
})

async function open(rows: readonly HandlerRow[]): Promise<Connection> {
  return await crm.open({ token: 't', rows: rows.map((row) => ({ ...row })) }, testContext())
}

async function read(
  connection: Connection,
  name: string,
): Promise<{ rows: readonly Row[]; rejects: readonly string[] }> {
  const collection = await connection.collection(name)
  const fields = collection.schema.fields.map((field) => field.name)
  const rows: Row[] = []
  const rejects: string[] = []
  const options = { fields, where: null, signal: new AbortController().signal }
  for await (const page of collection.read(null, options)) {
    rows.push(...page.puts.map((row) => [...row]))
    rejects.push(...page.rejects.map(({ key, message }) => `${key}: ${message}`))
    await page.view?.[Symbol.asyncDispose]()
  }
  return { rows: rows.toSorted((a, b) => String(a[0]).localeCompare(String(b[0]))), rejects }
}

describe('the connector kit', () => {
  test('limits that are no whole numbers of at least 1 are refused, with the connector’s name', () => {
    const define = (limits: Limits) => defineConnector({ name: 'slow', config: z.object({}), limits })
    for (const kind of ['perSecond', 'perMinute', 'concurrent'])
      for (const value of [0, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31])
        assert.throws(() => define({ [kind]: value }), { code: 'CONFIG_INVALID', message: /^connector slow: / })
    assert.deepEqual(define({ perSecond: 1, concurrent: 2 }).limits, { perSecond: 1, concurrent: 2 })
  })

  test('a connector is called with options, as in a config, and postgres and sqlite are connectors of the kit', () => {
    const definition = crm({ token: 't', rows: [] })
    assert.equal(definition.connector.name, 'crm')
    for (const known of [postgres, sqlite]) assert.ok(typeof known.open === 'function' && known.syncs.size === 0)
    assert.equal(sqlite({ file: './x.db' }).connector.name, 'sqlite')
  })

  test('what a sync lists are rows of its fields; what does not fit is rejected, and the others are there', async () => {
    await using connection = await open([
      { id: 2, name: 'Bo', amount: '1.50', tags: ['a', { b: 1 }], seen: new Date(0) },
      { id: 1, name: 5, amount: 12, extra: true },
      { id: 3, amount: 'much' },
      { name: 'no key' },
      { id: 1, name: 'again' },
    ])
    const { rows, rejects } = await read(connection, 'contacts')
    assert.deepEqual(rows, [
      [1, 'again', null, null, null],
      [2, 'Bo', '1.50', '["a",{"b":1}]', '1970-01-01T00:00:00.000000Z'],
    ])
    assert.equal(rejects.length, 2)
    assert.match(rejects[0] ?? '', /^3: the handler returned a string, which is no decimal/)
    assert.match(rejects[1] ?? '', /a row without id/)
  })

  test('without fields a row is its id and all of it as JSON; pages and plain functions do as well', async () => {
    await using connection = await open([{ id: 'b', x: 1 }, { id: 'a' }])
    for (const name of ['paged', 'plain']) {
      const { rows } = await read(connection, name)
      assert.deepEqual(rows, [
        ['a', '{"id":"a"}'],
        ['b', '{"id":"b","x":1}'],
      ])
    }
  })

  test('what a function gives that is no rows is told, with what it must give', async () => {
    const told = async (run: () => unknown) => {
      const kit = defineConnector({ name: 'crm', config: z.object({}), syncs: { contacts: run as () => [] } })
      await using connection = await kit.open({}, testContext())
      const error: unknown = await read(connection, 'contacts').then(
        () => null,
        (thrown: unknown) => thrown,
      )
      assert.ok(error instanceof SyncError && error.code === 'HANDLER_FAILED', String(error))
      assert.match(error.hint ?? '', /array of rows/)
      return error.message
    }
    const who = 'the run function of sync "contacts" of crm'
    assert.equal(await told(async () => ({ error: 'x' })), `${who} returned an object where an array of rows should be`)
    assert.equal(await told(() => undefined), `${who} returned nothing where an array of rows should be`)
    assert.equal(await told(() => 'rows'), `${who} returned a string where an array of rows should be`)
    assert.equal(await told(() => [{ id: 1 }, null]), `${who} returned null in the place of row 2`)
    assert.equal(await told(() => [['a']]), `${who} returned an array in the place of row 1`)
    assert.equal(
      await told(async function* () {
        yield { id: 1 }
      }),
      `${who} yielded an object where an array of rows should be`,
    )
  })

  test('a view is in key order and counts, also of many rows', async () => {
    await using connection = await open(
      Array.from({ length: 12_000 }, (_, n) => ({ id: (n * 7919) % 12_000, name: `n${n}` })),
    )
    const collection = await connection.collection('contacts')
    await using view = await collection.view?.({ fields: ['id'], where: null })
    assert.ok(view)
    assert.equal(await view.count(), 12_000)
    let next = 0
    for await (const { rows } of view.scan([{ from: null, to: null }], ['id']))
      for (const [id] of rows) assert.equal(id, next++)
    assert.equal(next, 12_000)
  })

  test('its temporary files are gone when the connection is closed', async () => {
    const { readdirSync } = await import('node:fs')
    const { tmpdir } = await import('node:os')
    const folders = () =>
      readdirSync(tmpdir()).filter((name) => name.startsWith('syncline-rows-') && existsSync(tmpdir()))
    const before = folders().length
    {
      await using connection = await open([{ id: 1 }])
      await read(connection, 'contacts')
      assert.equal(folders().length, before + 1)
    }
    assert.equal(folders().length, before)
  })

  test('no file stays open: not when the rows are listed again, and not when the connection is closed', {
    skip: existsSync('/proc/self/fd') ? false : 'this system has no /proc',
  }, async () => {
    const { readdirSync, readlinkSync } = await import('node:fs')
    const target = (name: string) => {
      try {
        return readlinkSync(`/proc/self/fd/${name}`)
      } catch {
        return ''
      }
    }
    const open_ = () => readdirSync('/proc/self/fd').filter((name) => target(name).includes('syncline-rows-')).length
    {
      await using connection = await open([{ id: 1 }])
      const collection = await connection.collection('contacts')
      const counts: number[] = []
      for (let round = 0; round < 5; round++) {
        await using view = await collection.view?.({ fields: ['id'], where: null })
        assert.equal(await view?.count(), 1)
        assert.equal((await collection.lookup.fetch([[1]])).rows.length, 1)
        counts.push(open_())
      }
      assert.equal(counts.at(-1), counts[0])
    }
    assert.equal(open_(), 0)
  })

  test('an unknown sync, and a key that is no field, are told', async () => {
    await using connection = await open([])
    await assert.rejects(connection.collection('contakts'), {
      code: 'COLLECTION_UNKNOWN',
      message: /did you mean "contacts"/,
    })
    const wrong = defineConnector({
      name: 'x',
      config: z.object({}),
      syncs: { a: { fields: { b: 'text' }, run: () => [] } },
    })
    await using other = await wrong.open({}, testContext())
    await assert.rejects(other.discover(), { code: 'CONFIG_INVALID' })
  })

  test('collections by name are opened as they are asked for, beside what is listed, and are followed and written to', async () => {
    const system = new MemorySystem()
    const schemaOf = (name: string): Schema => ({
      ...{ name, system: 'memory', key: ['id'] },
      fields: [{ name: 'id', type: 'integer', native: '', nullable: false, writable: true }],
    })
    system.create(schemaOf('people'))
    system.put('people', [1], [2])
    const kit = defineConnector({
      name: 'kit',
      config: z.strictObject({ prefix: z.string() }),
      collections: {
        people: async (_connection, context, options) => {
          const connection = await memoryConnector.open({ system }, context)
          return await connection.collection('people', options)
        },
        other: async (_connection, context) =>
          await (await memoryConnector.open({ system }, context)).collection('people'),
      },
      syncs: { listed: () => [{ id: 1 }] },
    })
    await using connection = await kit.open({ prefix: '' }, testContext())
    const people = await connection.collection('people')
    assert.deepEqual([people.feed, typeof people.writer, await people.estimate?.()], ['complete', 'function', 2])
    assert.deepEqual((await read(connection, 'people')).rows, [[1], [2]])
    assert.equal((await read(connection, 'listed')).rows.length, 1)
    await assert.rejects(() => connection.collection('persons'), { code: 'COLLECTION_UNKNOWN' })
    await assert.rejects(() => connection.collection('other'), { code: 'CONFIG_INVALID' })
  })
})
