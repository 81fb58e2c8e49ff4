import { createDatabase } from '../../../tools/database.ts'
import { storeTests } from '../../testing/store-tests.ts'
import { openPostgresStore } from './store.ts'

storeTests(
  'postgres',
  async () => {
    const database = await createDatabase()
    return {
      open: () => openPostgresStore(database.url),
      [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
    }
  },
  { shared: true },
)
