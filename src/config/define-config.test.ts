import assert from 'node:assert/strict'
import { test } from 'node:test'
import { postgres } from '../connectors/postgres/index.ts'
import { sqlite } from '../connectors/sqlite/index.ts'
import { defineConfig } from './define-config.ts'
import { env } from './env.ts'
import { parseConfig } from './schema.ts'

const connections = { shop: postgres({ url: env('SHOP_URL') }), warehouse: sqlite({ file: './warehouse.db' }) }

test('the config of the guide is typed and valid', () => {
  const config = defineConfig({
    connections,
    syncs: {
      everything: { from: 'shop', to: 'warehouse', collections: ['public.*', '!public.audit_*'] },
      paid_orders: {
        from: 'shop.public.orders',
        to: 'warehouse.paid_orders',
        fields: {
          id: 'id',
          customer: 'customer_id',
          placed: { from: 'created_at' },
          label: { compute: (row) => `#${row.id}` },
        },
        where: { status: { in: ['paid', 'shipped'] } },
        mode: 'auto',
        deletes: 'propagate',
        guard: { maxDeletes: 10, maxDeleteShare: 0.2 },
        batch: { rows: 50_000, bytes: '8MB' },
      },
    },
  })
  const parsed = parseConfig(config, {
    file: 'syncline.config.ts',
    folder: '/project',
    environment: { SHOP_URL: 'postgres://h/d' },
  })
  assert.deepEqual(
    parsed.syncs.map((sync) => sync.name),
    ['everything', 'paid_orders'],
  )
})

test('mistakes are type errors where the editor can see them', () => {
  // @ts-expect-error: there is no connection of that name
  defineConfig({ connections, syncs: { a: { from: 'shp.public.orders', to: 'warehouse' } } })
  // @ts-expect-error: one collection, or a pattern
  defineConfig({ connections, syncs: { a: { from: 'shop', to: 'warehouse' } } })
  // @ts-expect-error: a misspelled option
  defineConfig({ connections, syncs: { a: { from: 'shop.public.orders', to: 'warehouse', feilds: {} } } })
  const patterned = { from: 'shop', to: 'warehouse', collections: ['*'] } as const
  // @ts-expect-error: fields belong to a sync of one collection
  defineConfig({ connections, syncs: { a: { ...patterned, fields: { id: 'id' } } } })
})
