import { defineConfig } from 'syncline'
import { sqlite } from 'syncline/sqlite'

export default defineConfig({
  connections: {
    notes: sqlite({ file: './notes.db' }),
    backup: sqlite({ file: './backup.db' }),
  },
  syncs: {
    everything: { from: 'notes', to: 'backup', collections: ['*'] },
  },
})
