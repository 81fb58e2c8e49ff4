import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { postgres } from '../connectors/postgres/index.ts'
import { sqlite } from '../connectors/sqlite/index.ts'
import { SyncError } from '../core/error.ts'
import { env } from './env.ts'
import { parseConfig } from './schema.ts'

const surroundings = { file: 'syncline.config.ts', folder: '/project', environment: { URL: 'postgres://host/shop' } }
const connections = { shop: postgres({ url: env('URL') }), warehouse: sqlite({ file: './w.db' }) }
const parseSyncs = (syncs: unknown) => parseConfig({ connections, syncs }, surroundings).syncs

function mistakesOf(
  raw: unknown,
  environment: Record<string, string> = surroundings.environment,
): { code: string; lines: string[] } {
  try {
    parseConfig(raw, { ...surroundings, environment })
  } catch (error) {
    assert.ok(error instanceof SyncError)
    const lines = error.message.includes('\n')
      ? error.message.split('\n').slice(1)
      : [error.message.slice('syncline.config.ts: '.length)]
    return { code: error.code, lines: lines.map((line) => line.trim()) }
  }
  assert.fail('the config was accepted')
}

test('every mistake is reported with its path, all at once', () => {
  const { code, lines } = mistakesOf({
    connections: {
      shop: postgres({ url: env('NONE') }),
      other: sqlite({ fil: './w.db' } as never),
      third: { connector: 'mysql' },
      fourth: 5,
    },
    syncs: {
      'a b': { from: 'shp.public.orders', to: 'other' },
      b: { from: 'shop', to: 'other', modus: 'full', mode: 'quick' },
      c: {
        from: 'shop.public.orders',
        to: 'other',
        fields: { id: 5, total: { from: 'total', type: 'money' }, label: { compute: 'x' } },
        where: { status: { oneOf: ['paid'] }, or: [{ id: { '>': {} } }] },
        guard: { maxDeleteShare: 20 },
        batch: { rows: 0, bytes: '8 apples' },
        every: 'often',
        key: [],
      },
    },
    extra: 1,
  })
  assert.equal(code, 'CONFIG_INVALID')
  assert.deepEqual(lines.map((line) => line.slice(0, line.indexOf(': '))).toSorted(), [
    'connections.fourth',
    'connections.other.fil',
    'connections.other.file',
    'connections.shop.url',
    'connections.third.connector',
    'extra',
    'syncs.b.mode',
    'syncs.b.modus',
    'syncs.c.batch.bytes',
    'syncs.c.batch.rows',
    'syncs.c.every',
    'syncs.c.fields.id',
    'syncs.c.fields.label.compute',
    'syncs.c.fields.total.type',
    'syncs.c.guard.maxDeleteShare',
    'syncs.c.key',
    'syncs.c.where.or[0].id[">"]',
    'syncs.c.where.status.oneOf',
    'syncs["a b"]',
    'syncs["a b"].from',
  ])
  const said = (path: string) => lines.find((line) => line.startsWith(`${path}:`))
  assert.equal(said('connections.other.fil'), 'connections.other.fil: unknown option; did you mean "file"?')
  assert.equal(said('syncs.b.modus'), 'syncs.b.modus: unknown option; did you mean "mode"?')
  assert.equal(said('syncs["a b"].from'), 'syncs["a b"].from: no connection "shp"; did you mean "shop"?')
  assert.equal(said('connections.shop.url'), 'connections.shop.url: the environment variable NONE is not set')
})

test('a name that would be dropped without a word is a mistake', () => {
  const named = (part: string) => ({ connections, syncs: {}, [part]: JSON.parse('{"__proto__":{}}') })
  for (const part of ['connections', 'syncs', 'projects', 'integrations'])
    assert.deepEqual(mistakesOf(named(part)).lines, [`${part}.__proto__: nothing can have this name`])
})

test('missing variables alone are ENV_MISSING, and all are named', () => {
  const raw = { connections: { a: postgres({ url: env('A_URL') }), b: postgres({ host: env('B_HOST') }) }, syncs: {} }
  const { code, lines } = mistakesOf(raw, {})
  assert.equal(code, 'ENV_MISSING')
  assert.deepEqual(lines, [
    'connections.a.url: the environment variable A_URL is not set',
    'connections.b.host: the environment variable B_HOST is not set',
  ])
})

test('what is no config at all is said plainly', () => {
  for (const raw of [null, 5, 'x', []]) {
    assert.deepEqual(mistakesOf(raw).lines, ['(the whole file): export an object with `connections` and `syncs`'])
  }
  assert.deepEqual(mistakesOf({ connections: {} }).lines, ['syncs: missing; expected object'])
})

test('a sync names one collection or chooses many, not both', () => {
  const { lines } = mistakesOf({
    connections,
    syncs: {
      a: { from: 'shop', to: 'warehouse' },
      b: { from: 'shop.public.orders', to: 'warehouse.orders', collections: ['*'], where: { id: 1 } },
    },
  })
  assert.deepEqual(lines.map((line) => line.slice(0, line.indexOf(': '))).toSorted(), [
    'syncs.a.from',
    'syncs.b.from',
    'syncs.b.to',
    'syncs.b.where',
  ])
})

test('a schedule is one of many kinds, and a mistake in it says what may be written', () => {
  const kinds = parseSyncs({
    a: { from: 'shop.public.a', to: 'warehouse', schedule: 'every_15_minutes' },
    b: { from: 'shop.public.b', to: 'warehouse', schedule: { cron: '0 6 * * *', zone: 'Europe/Berlin' } },
    c: { from: 'shop.public.c', to: 'warehouse', schedule: { after: 'a' } },
    d: { from: 'shop.public.d', to: 'warehouse', every: 'every 2 hours' },
    e: { from: 'shop.public.e', to: 'warehouse' },
  }).map(({ options }) => options.schedule.kind)
  assert.deepEqual(kinds, ['interval', 'cron', 'after', 'interval', 'continuous'])
  const { lines } = mistakesOf({
    connections,
    syncs: {
      a: { from: 'shop.public.a', to: 'warehouse', schedule: 'soon' },
      b: { from: 'shop.public.b', to: 'warehouse', schedule: { after: 'many' } },
      c: { from: 'shop.public.c', to: 'warehouse', schedule: { after: 'c' } },
      d: { from: 'shop.public.d', to: 'warehouse', schedule: { after: 'aa' } },
      e: { from: 'shop.public.e', to: 'warehouse', schedule: 'manual', every: '1h' },
      f: { from: 'shop.public.f', to: 'warehouse', schedule: { cron: '0 6 * * *', zone: 'Berlin' } },
      x: { from: 'shop.public.x', to: 'warehouse', schedule: { after: 'y' } },
      y: { from: 'shop.public.y', to: 'warehouse', schedule: { after: 'x' } },
      many: { from: 'shop', to: 'warehouse', collections: ['*'] },
    },
  })
  assert.deepEqual(
    lines.map((line) => line.slice(0, 45)),
    [
      'syncs.a.schedule: "soon" is no schedule: write a time like'.slice(0, 45),
      'syncs.f.schedule: no time zone "Berlin": write its IANA'.slice(0, 45),
      'syncs.e.schedule: write `every` or `schedule`, not both'.slice(0, 45),
      'syncs.b.schedule.after: "many" is many syncs: name one'.slice(0, 45),
      'syncs.c.schedule.after: a sync can’t run after itself'.slice(0, 45),
      'syncs.d.schedule.after: no sync "aa"; did you mean'.slice(0, 45),
      'syncs.x.schedule.after: "x" after "y" after "x" goes round'.slice(0, 45),
      'syncs.y.schedule.after: "y" after "x" after "y" goes round'.slice(0, 45),
    ],
  )
})

test('defaults are filled in, also inside a partial guard and batch', () => {
  const [sync] = parseSyncs({
    a: {
      from: 'shop.public.orders',
      to: 'warehouse',
      guard: { maxDeletes: 5 },
      batch: { bytes: '512KB' },
      every: '15m',
    },
  })
  assert.deepEqual(sync?.options, {
    fields: null,
    where: null,
    key: null,
    cursor: null,
    mode: 'auto',
    deletes: 'propagate',
    guard: { maxDeletes: 5, maxDeleteShare: 0.2 },
    batch: { rows: 50_000, bytes: 512 * 1024 },
    adopt: false,
    schedule: { kind: 'interval', everyMs: 900_000 },
  })
  assert.ok(sync.kind === 'one-way')
  assert.deepEqual(sync.from, { connection: 'shop', collection: 'public.orders' })
  assert.deepEqual(sync.to, { connection: 'warehouse', collection: null })
})

test('field rules keep their order, and compute has a type', () => {
  const compute = () => 'x'
  const [sync] = parseSyncs({
    a: {
      from: 'shop.public.orders',
      to: 'warehouse',
      fields: { z: 'id', a: { from: 'b', type: 'text' }, m: { compute, version: 2 }, n: { compute } },
    },
  })
  assert.deepEqual(
    [...(sync?.options.fields ?? [])],
    [
      ['z', { kind: 'from', from: 'id' }],
      ['a', { kind: 'from', from: 'b', type: 'text' }],
      ['m', { kind: 'compute', compute, type: 'text', version: 2 }],
      ['n', { kind: 'compute', compute, type: 'text', version: null }],
    ],
  )
})

test('a filter passes through, and a field named env is no reference', () => {
  const where = {
    env: 'production',
    and: [{ env: 'eu' }, { not: { total: { '>=': 5, '<': 10n } } }],
    'deleted at': null,
    s: { 'not in': ['a', 1] },
  }
  const [sync] = parseSyncs({ a: { from: 'shop.public.orders', to: 'warehouse', where } })
  assert.ok(sync?.kind === 'one-way')
  assert.deepEqual(sync.options.where, where)
  const [other] = parseSyncs({
    a: { from: 'shop.public.orders', to: 'warehouse', where: { status: { env: 'URL' } }, fields: { env: 'env' } },
  })
  assert.ok(other?.kind === 'one-way')
  assert.deepEqual(other.options.where, { status: 'postgres://host/shop' })
})

test('JSON configs name their connector, and files are relative to the config', async () => {
  const raw = {
    connections: {
      shop: { connector: 'sqlite', file: './shop.db' },
      memory: { connector: 'sqlite', file: ':memory:' },
    },
    syncs: {},
  }
  const config = parseConfig(raw, surroundings)
  const same = parseConfig({ connections: { x: sqlite({ file: '/project/shop.db' }) }, syncs: {} }, surroundings)
  assert.equal(config.connections.get('shop')?.identity, same.connections.get('x')?.identity)
  assert.notEqual(config.connections.get('memory')?.identity, same.connections.get('x')?.identity)
})

test('no message holds a secret', () => {
  const raw = { connections: { shop: postgres({ url: 'postgres://u:hunter2@h/d', password: 5 } as never) }, syncs: {} }
  assert.ok(!JSON.stringify(mistakesOf(raw)).includes('hunter2'))
  const parsed = parseConfig(
    { connections: { shop: postgres({ url: 'postgres://u:hunter2@h/d' }) }, syncs: {} },
    surroundings,
  )
  assert.ok(!JSON.stringify([...parsed.connections]).includes('hunter2'))
})

test('a connector whose only option is called secret or env gets it as it is', () => {
  for (const name of ['secret', 'env'] as const) {
    const connector = { name: 'own', config: z.object({ [name]: z.string() }), open: async () => assert.fail() }
    const raw = { connections: { own: { connector, config: { [name]: 'as it is' } } }, syncs: {} }
    assert.equal(parseConfig(raw, { file: 'x', folder: '/', environment: {} }).connections.size, 1)
  }
})
