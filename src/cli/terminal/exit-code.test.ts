import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SyncError } from '../../core/error.ts'
import { exitCodeOfError, exitCodeOfRun, worst } from './exit-code.ts'

test('the worst of several outcomes decides: 2 before 1 before 3 before 0', () => {
  assert.equal(worst([]), 0)
  assert.equal(worst([0, 3]), 3)
  assert.equal(worst([3, 1, 0]), 1)
  assert.equal(worst([3, 1, 2]), 2)
})

test('a run exits by its status, and by what it failed of', () => {
  const failed = (code: string) => exitCodeOfRun({ status: 'failed', error: { code, message: '', hint: null } })
  assert.equal(exitCodeOfRun({ status: 'succeeded', error: null }), 0)
  assert.equal(exitCodeOfRun({ status: 'held', error: null }), 3)
  assert.equal(failed('CONNECTION_LOST'), 1)
  assert.equal(failed('CONFIG_INVALID'), 2)
})

test('an error exits by its code', () => {
  assert.equal(exitCodeOfError(new SyncError('SYNC_UNKNOWN', '')), 2)
  assert.equal(exitCodeOfError(new SyncError('PROJECT_LOCKED', '')), 1)
  assert.equal(exitCodeOfError(new SyncError('INTERRUPTED', '')), 130)
})
