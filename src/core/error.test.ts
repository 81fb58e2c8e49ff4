import assert from 'node:assert/strict'
import { test } from 'node:test'
import { asHandlerError, asSyncError, retriable, SyncError } from './error.ts'

test('what went wrong first is told, not that disposing of what was in use failed after it', async () => {
  const failing = { [Symbol.asyncDispose]: async () => Promise.reject(new Error('and closing failed')) }
  const first = new SyncError('CONNECTION_LOST', 'the server went away')
  const thrown = await (async () => {
    await using _outer = failing
    await using _inner = failing
    throw first
  })().catch((error: unknown) => error)
  assert.notEqual(thrown, first)
  assert.equal(asSyncError(thrown), first)
  assert.equal(asHandlerError(thrown, 'it'), first)
  assert.ok(retriable(thrown))
})
