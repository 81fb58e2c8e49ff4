import { defineConfig } from 'syncline'
import { sqlite } from 'syncline/sqlite'

export default defineConfig({
  connections: {
    crm: sqlite({ file: './crm.db', track: 'triggers' }),
    shop: sqlite({ file: './shop.db', track: 'triggers' }),
  },
  syncs: {
    contacts: {
      between: ['crm.contacts', 'shop.customers'],
      match: [{ field: 'email', by: (value) => String(value).toLowerCase() }],
      fields: {
        email: 'email',
        name: { left: 'full_name', right: 'name' },
        phone: {
          toRight: (value) => String(value).replace(/\D/g, ''),
          toLeft: (value) => `+${value}`,
        },
      },
      onConflict: 'ask',
    },
  },
})
