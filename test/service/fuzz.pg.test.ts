import { createDatabase } from '../../tools/database.ts'
import { fuzzTests } from './fuzz-tests.ts'

fuzzTests('a Postgres store', async () => {
  const database = await createDatabase()
  return { store: database.url, [Symbol.asyncDispose]: () => database[Symbol.asyncDispose]() }
})
