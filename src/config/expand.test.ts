import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { postgres } from '../connectors/postgres/index.ts'
import { sqlite } from '../connectors/sqlite/index.ts'
import { SyncError } from '../core/error.ts'
import { placesOf } from '../core/two-way.ts'
import { expandSyncs } from './expand.ts'
import { targetName } from './names.ts'
import { parseConfig } from './schema.ts'

const connections = {
  shop: postgres({ url: 'postgres://host/shop' }),
  copy: postgres({ url: 'postgres://host/copy' }),
  warehouse: sqlite({ file: './w.db' }),
  again: sqlite({ file: 'w.db' }),
}
const tables = ['public.orders', 'public.audit_log', 'sales.orders', 'public."odd.name"', 'public._syncline_write']

function expand(syncs: unknown, chosen: string[] = [], names: readonly string[] = tables) {
  const config = parseConfig({ connections, syncs }, { file: 'c.ts', folder: '/p', environment: {} })
  return expandSyncs(config, chosen, async () =>
    names.map((name) => ({ name, system: 'postgres', fields: [], key: ['id'] })),
  )
}

describe('names in the target', () => {
  const cases = [
    ['public.orders', 'postgres', 'sqlite', 'orders'],
    ['sales.orders', 'postgres', 'sqlite', 'sales_orders'],
    ['public."odd.name"', 'postgres', 'sqlite', '"odd.name"'],
    ['public.orders', 'postgres', 'postgres', 'public.orders'],
    ['sales.orders', 'postgres', 'postgres', 'sales.orders'],
    ['orders', 'sqlite', 'postgres', 'public.orders'],
    ['orders', 'sqlite', 'sqlite', 'orders'],
    ['public', 'sqlite', 'sqlite', 'public'],
  ] as const
  for (const [source, from, to, expected] of cases) {
    test(`${source} from ${from} is ${expected} in ${to}`, () => assert.equal(targetName(source, from, to), expected))
  }
})

test('a pattern expands to one sync each, without what is excluded and what is ours', async () => {
  const { syncs } = await expand({
    everything: { from: 'shop', to: 'warehouse', collections: ['*', '!public.audit_*'] },
  })
  assert.deepEqual(
    syncs.map((sync) => [sync.id, ...placesOf(sync).map(({ collection }) => collection)]),
    [
      ['everything/orders', 'public.orders', 'orders'],
      ['everything/sales.orders', 'sales.orders', 'sales_orders'],
      ['everything/"odd.name"', 'public."odd.name"', '"odd.name"'],
    ],
  )
})

test('a connection alone as target names the target after the source', async () => {
  const { syncs } = await expand({
    a: { from: 'shop.orders', to: 'warehouse' },
    b: { from: 'warehouse.items', to: 'copy' },
  })
  assert.deepEqual(
    syncs.map((sync) => placesOf(sync).map(({ collection }) => collection)),
    [
      ['public.orders', 'orders'],
      ['items', 'public.items'],
    ],
  )
})

describe('choosing', () => {
  const syncs = {
    everything: { from: 'shop', to: 'warehouse', collections: ['public.*'] },
    paid: { from: 'shop.public.orders', to: 'warehouse.paid' },
  }
  const ids = async (...chosen: string[]) => (await expand(syncs, chosen)).syncs.map((sync) => sync.id)

  test('nothing chosen means all', async () => assert.equal((await ids()).length, 4))
  test('a definition means all it expands to', async () => assert.equal((await ids('everything')).length, 3))
  test('one expanded sync can be chosen', async () =>
    assert.deepEqual(await ids('everything/orders'), ['everything/orders']))
  test('order is that of the file', async () =>
    assert.deepEqual(await ids('paid', 'everything/orders'), ['everything/orders', 'paid']))
  for (const name of ['payd', 'everything/ordrs', 'paid/x']) {
    test(`${name} is unknown, and the nearest are named`, async () => {
      await assert.rejects(
        ids(name),
        (error) => error instanceof SyncError && error.code === 'SYNC_UNKNOWN' && /did you mean/.test(error.message),
      )
    })
  }
  test('what is not chosen is not read', async () => {
    const config = parseConfig({ connections, syncs }, { file: 'c.ts', folder: '/p', environment: {} })
    const { syncs: chosen } = await expandSyncs(config, ['paid'], () => assert.fail('was read'))
    assert.deepEqual(
      chosen.map((sync) => sync.id),
      ['paid'],
    )
  })
})

test('an unknown member of a pattern is told with every name there is, once', async () => {
  const syncs = {
    all: { from: 'shop', to: 'warehouse', collections: ['sales.*'] },
    b: { from: 'shop.public.orders', to: 'warehouse.x' },
  }
  await assert.rejects(expand(syncs, ['all/nothing']), { hint: 'The syncs are all, b, all/sales.orders.' })
})

describe('two syncs never write one table', () => {
  const shared = async (syncs: unknown, names?: readonly string[]) => {
    const error = await expand(syncs, [], names).catch((thrown: unknown) => thrown)
    assert.ok(error instanceof SyncError, 'it was accepted')
    return `${error.code} ${error.message}`
  }
  test('two definitions', async () => {
    const told = await shared({
      a: { from: 'shop.public.x', to: 'warehouse.orders' },
      b: { from: 'shop.public.y', to: 'warehouse.Orders' },
    })
    assert.equal(told, 'TARGET_SHARED syncs "a" and "b" would both write warehouse.Orders')
  })
  test('a definition and an expanded one, through two connections to one file', async () => {
    const told = await shared({
      all: { from: 'shop', to: 'warehouse', collections: ['public.*'] },
      b: { from: 'shop.public.y', to: 'again.orders' },
    })
    assert.equal(told, 'TARGET_SHARED syncs "all/orders" and "b" would both write again.orders')
  })
  test('two tables of one pattern that get the same name', async () => {
    const told = await shared({ all: { from: 'shop', to: 'warehouse', collections: ['*'] } }, ['public.a_b', 'a.b'])
    assert.equal(told, 'CONFIG_INVALID syncs "all/a_b" and "all/a.b" would both write warehouse.a_b')
  })
  test('a sync into its own source', async () => {
    assert.match(
      await shared({ a: { from: 'warehouse.orders', to: 'again' } }),
      /^CONFIG_INVALID sync "a" would write into its own source/,
    )
  })
  test('a table of our own', async () => {
    assert.match(
      await shared({ a: { from: 'shop.public._syncline_write', to: 'warehouse.x' } }),
      /^CONFIG_INVALID .* one of Syncline's own tables/,
    )
  })
})

test('a source that cannot be read fails its own definition only', async () => {
  const syncs = {
    all: { from: 'shop', to: 'warehouse', collections: ['*'] },
    b: { from: 'copy.public.y', to: 'warehouse.y' },
  }
  const config = parseConfig({ connections, syncs }, { file: 'c.ts', folder: '/p', environment: {} })
  const refused = new SyncError('CONNECTION_REFUSED', 'nobody listens')
  const expansion = await expandSyncs(config, [], () => Promise.reject(refused))
  assert.deepEqual(
    expansion.syncs.map((sync) => sync.id),
    ['b'],
  )
  assert.deepEqual(expansion.failures, [{ name: 'all', error: refused }])
})

test('a pattern that matches nothing is a mistake, and says what there is', async () => {
  const { failures } = await expand({ all: { from: 'shop', to: 'warehouse', collections: ['pubic.*'] } })
  assert.equal(failures[0]?.error.code, 'CONFIG_INVALID')
  assert.match(failures[0]?.error.hint ?? '', /public\.orders/)
})
