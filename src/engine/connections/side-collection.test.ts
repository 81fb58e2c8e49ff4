import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sqliteDatabase, sqliteToSqlite } from '../../../test/hazards/pair.ts'
import { openTwoWay } from '../../../test/two-way/pair.ts'

test('a table that is not there is told with its connection; that a two-way sync makes none, too', async () => {
  await using pair = openTwoWay(await sqliteDatabase(), await sqliteDatabase())
  await pair.left.sql('CREATE TABLE contacts (id INTEGER PRIMARY KEY, name TEXT)')
  await pair.right.sql('CREATE TABLE other (id INTEGER PRIMARY KEY)')
  const { error } = await pair.run()
  assert.equal(error?.code, 'COLLECTION_UNKNOWN')
  assert.equal(error?.message, 'connection right: there is no table contacts')
  assert.match(error?.hint ?? '', /`syncline collections right` lists what is there\. A two-way sync makes no tables/)
})

test('of a one-way sync it is the source’s, and a name that is near is told', async () => {
  await using pair = await sqliteToSqlite('none')
  await pair.left.sql('CREATE TABLE tt (id INTEGER PRIMARY KEY)')
  const { error } = await pair.run()
  assert.equal(error?.message, 'connection left: there is no table t')
  assert.equal(error?.hint, 'Did you mean tt? `syncline collections left` lists what is there.')
})
