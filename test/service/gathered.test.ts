import { gatheredTests } from './gathered-tests.ts'

gatheredTests('the embedded store', async () => ({ environment: {}, [Symbol.asyncDispose]: async () => {} }))
