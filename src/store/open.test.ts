import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SyncError } from '../core/error.ts'
import { storeUrl } from './open.ts'

test('SYNCLINE_STORE names a Postgres store; without it state is in the project’s folder', () => {
  assert.equal(storeUrl({}), null)
  assert.equal(storeUrl({ SYNCLINE_STORE: '' }), null)
  assert.equal(storeUrl({ SYNCLINE_STORE: 'postgres://db/state' }), 'postgres://db/state')
  assert.equal(storeUrl({ SYNCLINE_STORE: 'postgresql://db/state' }), 'postgresql://db/state')
})

test('anything else is refused, and not repeated: it may hold a password', () => {
  for (const value of ['mysql://me:s3cret@db/state', './state.db', 'postgres:s3cret'])
    assert.throws(
      () => storeUrl({ SYNCLINE_STORE: value }),
      (error) =>
        error instanceof SyncError &&
        error.code === 'CONFIG_INVALID' &&
        !`${error.message}${error.hint}`.includes('s3cret'),
    )
})
