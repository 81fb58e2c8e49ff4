import { defineConfig, env } from 'syncline'
import { postgres } from 'syncline/postgres'
import { sqlite } from 'syncline/sqlite'

export default defineConfig({
  connections: {
    // From the environment, or from a file `.env` beside this one.
    shop: postgres({ url: env('SHOP_URL') }),
    warehouse: sqlite({ file: './warehouse.db' }),
  },
  syncs: {
    // Every table: everything/customers, everything/orders …
    everything: { from: 'shop', to: 'warehouse', collections: ['public.*', '!public.audit_*'] },

    // Some orders, in other words. One that is cancelled leaves the table.
    paid_orders: {
      from: 'shop.public.orders',
      to: 'warehouse.paid_orders',
      fields: {
        id: 'id',
        customer: 'customer_id',
        total: 'total',
        placed: { from: 'created_at' },
        label: { compute: (row) => `#${row.id} from ${String(row.created_at).slice(0, 10)}` },
      },
      where: { status: { in: ['paid', 'shipped'] } },
    },
  },
})
