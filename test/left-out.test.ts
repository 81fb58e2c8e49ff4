/** Members of a pattern that can't be synced: they are told by name, and the others run. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ServiceProject } from './service/project.ts'

const config = {
  connections: { app: { connector: 'sqlite', file: './app.db' }, copy: { connector: 'sqlite', file: './copy.db' } },
  syncs: { all: { from: 'app', to: 'copy', collections: ['*'] } },
}
const books = "CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT); INSERT INTO books VALUES (1, 'a'), (2, 'b')"

function project(schema: string, syncs: unknown = config.syncs): ServiceProject {
  const made = new ServiceProject({ ...config, syncs })
  made.change('app.db', schema)
  return made
}

const broken = {
  'a view of a table that is gone': [
    'stale',
    `${books}; CREATE TABLE gone (id); CREATE VIEW stale AS SELECT * FROM gone; DROP TABLE gone`,
  ],
  'a view of functions that only its application has': [
    'meta',
    `${books}; CREATE VIEW meta AS SELECT id, sortconcat(id, title) AS authors FROM books`,
  ],
  'a table without a key': ['plain', `${books}; CREATE TABLE plain (a, b); INSERT INTO plain VALUES (1, 2)`],
} as const

describe('points 38 and 45: a pattern over a file with', () => {
  for (const [what, [name, schema]] of Object.entries(broken))
    test(what, async () => {
      using it = project(schema)
      for (const command of ['plan', 'run', 'verify']) {
        const { code, lines, stderr } = await it.run(command)
        assert.equal(code, 0, `${command}: ${stderr}`)
        const told = lines.filter(({ event }) => event === 'sync.left-out')
        assert.deepEqual(
          told.map(({ sync }) => sync),
          [`all/${name}`],
          command,
        )
        assert.match(JSON.stringify(told[0]?.error), new RegExp(`${name} (can't be read: |has no primary key)`))
      }
      assert.equal(it.query('copy.db', 'SELECT count(*) AS rows FROM books')[0]?.rows, 2)
      assert.equal((await it.run('run', '--strict')).code, 2)
      const named = await it.run('run', `all/${name}`)
      assert.equal(named.code, 2)
      assert.match(JSON.stringify(named.lines), /KEY_MISSING|COLLECTION_UNREADABLE/)
      const listed = await it.run('collections', 'app')
      assert.equal(listed.code, 0, listed.stderr)
      assert.ok(listed.lines.some(({ collection }) => collection === name))
    })

  test('nothing that can be synced is a mistake', async () => {
    using it = project('CREATE TABLE plain (a, b)')
    const { code, lines } = await it.run('run')
    assert.deepEqual([code, Object(lines.at(-1)?.error).code], [2, 'KEY_MISSING'])
  })

  test('point 38: such a view named by a sync of its own fails with the reason, and the others run', async () => {
    const syncs = { books: { from: 'app.books', to: 'copy' }, stale: { from: 'app.stale', to: 'copy', key: ['id'] } }
    using it = project(broken['a view of a table that is gone'][1], syncs)
    const { code, lines } = await it.run('run')
    const ended = lines.filter(({ event }) => event === 'run.finished')
    assert.deepEqual(
      ended.map(({ sync, status }) => [sync, status]),
      [
        ['books', 'succeeded'],
        ['stale', 'failed'],
      ],
    )
    assert.equal(Object(ended[1]?.error).code, 'COLLECTION_UNREADABLE')
    assert.equal(code, 2)
  })
})
