import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import pg from 'pg'
import { main } from '../src/cli/main.ts'
import { createDatabase, temporaryFolder } from '../tools/database.ts'

/** Runs the command in-process; returns its last line of JSON. */
async function syncline(folder: string, ...args: readonly string[]): Promise<Record<string, unknown>> {
  const lines: string[] = []
  const terminal = {
    columns: null,
    out: (text: string) => void lines.push(text),
    err: () => {},
    paint: (_style: string, text: string) => text,
  }
  await main(
    ['--config', join(folder, 'syncline.config.json'), '--json', ...args],
    terminal as unknown as Parameters<typeof main>[1],
  )
  return JSON.parse(lines.join('\n').trim().split('\n').at(-1) ?? '{}')
}

test('infinity in a cursor column does not end the following of the others', async () => {
  await using database = await createDatabase()
  await using folder = await temporaryFolder()
  const client = new pg.Client(database.url)
  await client.connect()
  await client.query(
    `CREATE TABLE t (id int PRIMARY KEY, v text, u timestamptz); INSERT INTO t VALUES (1, 'a', 'infinity'), (2, 'b', now())`,
  )
  const config = {
    connections: { from: { connector: 'postgres', url: database.url }, to: { connector: 'sqlite', file: './to.db' } },
    syncs: { t: { from: 'from.public.t', to: 'to', cursor: 'u' } },
  }
  await writeFile(join(folder.path, 'syncline.config.json'), JSON.stringify(config))
  await syncline(folder.path, 'run')
  await syncline(folder.path, 'run')
  await client.query(`UPDATE t SET v = 'new', u = now() WHERE id = 2; UPDATE t SET v = 'also' WHERE id = 1`)
  await client.end()
  assert.equal((await syncline(folder.path, 'run')).updated, 2)
  assert.equal((await syncline(folder.path, 'verify')).equal, true)
})

test('an integer cursor beyond 2^53 is not rounded up', async () => {
  await using folder = await temporaryFolder()
  const source = new DatabaseSync(join(folder.path, 'from.db'))
  source.exec(
    `CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1500000000000000192, 'a'), (1500000000000000193, 'b')`,
  )
  const config = {
    connections: { from: { connector: 'sqlite', file: './from.db' }, to: { connector: 'sqlite', file: './to.db' } },
    syncs: { t: { from: 'from.t', to: 'to', cursor: 'id' } },
  }
  await writeFile(join(folder.path, 'syncline.config.json'), JSON.stringify(config))
  await syncline(folder.path, 'run')
  source.exec(`UPDATE t SET v = 'new' WHERE id = 1500000000000000193`)
  source.close()
  assert.equal((await syncline(folder.path, 'run')).updated, 1)
})

test('a row that was deleted in the target comes back also with deletes: keep', async () => {
  await using folder = await temporaryFolder()
  const source = new DatabaseSync(join(folder.path, 'from.db'))
  source.exec(`CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'a'), (2, 'b')`)
  source.close()
  const config = {
    connections: {
      from: { connector: 'sqlite', file: './from.db', track: 'triggers' },
      to: { connector: 'sqlite', file: './to.db' },
    },
    syncs: { t: { from: 'from.t', to: 'to', deletes: 'keep' } },
  }
  await writeFile(join(folder.path, 'syncline.config.json'), JSON.stringify(config))
  await syncline(folder.path, 'run')
  const target = new DatabaseSync(join(folder.path, 'to.db'))
  target.exec('DELETE FROM t WHERE id = 1')
  target.close()
  assert.equal((await syncline(folder.path, 'run')).inserted, 1)
})

test('a url without its scheme is refused, and its password is not shown', async () => {
  await using folder = await temporaryFolder()
  const config = { connections: { from: { connector: 'postgres', url: 'admin:S3CRET@127.0.0.1:1/shop' } }, syncs: {} }
  await writeFile(join(folder.path, 'syncline.config.json'), JSON.stringify(config))
  const { error } = (await syncline(folder.path, 'collections', 'from')) as { error: { code: string } }
  assert.equal(error.code, 'CONFIG_INVALID')
  assert.doesNotMatch(JSON.stringify(error), /S3CRET/)
})
