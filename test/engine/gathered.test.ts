import { temporaryFolder } from '../../tools/database.ts'
import { gatheredTests } from './gathered-tests.ts'

gatheredTests('the embedded store', async () => {
  const folder = await temporaryFolder()
  return {
    store: folder.path,
    folder: folder.path,
    withinMs: 20_000,
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  }
})
