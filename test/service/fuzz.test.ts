import { fuzzTests } from './fuzz-tests.ts'

fuzzTests('the embedded store', async () => ({ store: null, [Symbol.asyncDispose]: async () => {} }))
