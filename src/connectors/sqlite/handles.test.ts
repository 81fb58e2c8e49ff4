import assert from 'node:assert/strict'
import { mkdtempSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, describe, test } from 'node:test'
import { dropHandles, keepHandles, lend, withHandle } from './handles.ts'

const folder = mkdtempSync(join(tmpdir(), 'syncline-handles-'))
after(() => rmSync(folder, { recursive: true, force: true }))
let files = 0
const toRead = { readOnly: true, create: false }
const toWrite = { readOnly: false, create: true }

function newConfig() {
  const config = { file: join(folder, `${files++}.db`), track: 'none', busyTimeoutMs: 100 } as const
  using lent = lend(config, toWrite)
  lent.database.exec('create table t (id integer primary key); insert into t values (1), (2), (3)')
  return config
}

function count(database: DatabaseSync): number {
  return Number(database.prepare('select count(*) as n from t').get()?.n)
}

describe('handles', () => {
  test('one that nobody uses is lent again, to readers as reader and to writers as writer', () => {
    const config = newConfig()
    const close = keepHandles(config)
    const first = withHandle(config, toRead, (database) => database)
    assert.ok(first.isOpen)
    withHandle(config, toWrite, (database) => assert.notEqual(database, first))
    using one = lend(config, toRead)
    using other = lend(config, toRead)
    assert.equal(one.database, first)
    assert.notEqual(other.database, first)
    close()
    one[Symbol.dispose]()
    assert.ok(!first.isOpen)
  })

  test('its transaction is over, and what others have written since is seen', () => {
    const config = newConfig()
    const close = keepHandles(config)
    withHandle(config, toRead, (database) => {
      database.exec('begin')
      assert.equal(count(database), 3)
    })
    using writer = new DatabaseSync(config.file)
    writer.exec('insert into t values (4)')
    withHandle(config, toRead, (database) => assert.equal(count(database), 4))
    close()
  })

  test('one with a statement in the middle of its rows is not lent again: it would go on seeing the file as it was', () => {
    const config = newConfig()
    const close = keepHandles(config)
    const lent = lend(config, toRead)
    const rows = lent.database.prepare('select id from t').iterate()
    rows.next()
    lent[Symbol.dispose]()
    assert.ok(!lent.database.isOpen)
    close()
  })

  test('a file that was put in its place is opened anew', () => {
    const [config, other] = [newConfig(), newConfig()]
    const close = keepHandles(config)
    withHandle(config, toRead, () => {})
    using changed = new DatabaseSync(other.file)
    changed.exec('delete from t')
    changed.close()
    renameSync(other.file, config.file)
    withHandle(config, toRead, (database) => assert.equal(count(database), 0))
    close()
  })

  test('without a keeper, or when somebody wants the file alone, handles are closed', () => {
    const config = newConfig()
    assert.ok(!withHandle(config, toRead, (database) => database).isOpen)
    const close = keepHandles(config)
    const kept = withHandle(config, toRead, (database) => database)
    dropHandles(config)
    assert.ok(!kept.isOpen)
    close()
  })
})
