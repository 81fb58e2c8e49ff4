/** Names that come from outside may be any: also those that every JavaScript object has something under. */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { assertEqual, sqliteToSqlite } from './hazards/pair.ts'
import { ServiceProject } from './service/project.ts'

const names = [
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  'valueOf',
  'a"b',
  "a'b",
  'a.b',
  'א',
  ' ',
  'x'.repeat(63),
]
const quote = (name: string) => `"${name.replaceAll('"', '""')}"`
const columns = names.map((name) => `${quote(name)} TEXT`).join(', ')
const valuesOf = (id: number, tag: string) => `(${[id, ...names.map((_name, at) => `'${tag}${at}'`)].join(', ')})`

const config = {
  connections: { a: { connector: 'sqlite', file: './a.db' }, b: { connector: 'sqlite', file: './b.db' } },
  syncs: { both: { between: ['a.t', 'b.t'], match: ['id'] } },
}

describe('point 52: columns of any name', () => {
  test('one way', async () => {
    await using pair = await sqliteToSqlite('triggers')
    await pair.left.sql(
      `CREATE TABLE t (id INTEGER PRIMARY KEY, ${columns}); INSERT INTO t VALUES ${valuesOf(1, 'v')}, ${valuesOf(2, 'w')}`,
    )
    await pair.mustRun()
    for (const name of names) {
      await pair.left.sql(`UPDATE t SET ${quote(name)} = 'changed' WHERE id = 1`)
      assert.equal((await pair.mustRun()).updated, 1, name)
      await assertEqual(pair)
    }
  })

  test('both ways: an edit of each column arrives, conflicts are decided, and plan, why and verify tell them', async () => {
    using it = new ServiceProject(config)
    for (const file of ['a.db', 'b.db'])
      it.change(
        file,
        `CREATE TABLE t (id INTEGER PRIMARY KEY, ${columns}); INSERT INTO t VALUES ${valuesOf(1, 'v')}, ${valuesOf(2, 'w')}`,
      )
    const first = await it.run('run')
    assert.equal(first.code, 0, JSON.stringify(first.lines))
    const valueAt = (file: string, name: string) =>
      it.query(file, `SELECT ${quote(name)} AS value FROM t WHERE id = 1`)[0]?.value
    it.change(
      'a.db',
      `UPDATE t SET ${names.map((name, at) => `${quote(name)} = 'left ${at}'`).join(', ')} WHERE id = 1`,
    )
    const planned = await it.run('plan')
    for (const name of names) assert.ok(JSON.stringify(planned.lines).includes(JSON.stringify(name)), name)
    const second = await it.run('run')
    assert.equal(second.code, 0, JSON.stringify(second.lines.at(-1)))
    for (const [at, name] of names.entries()) assert.equal(valueAt('b.db', name), `left ${at}`, name)
    it.change('a.db', `UPDATE t SET ${names.map((name) => `${quote(name)} = 'l'`).join(', ')} WHERE id = 1`)
    it.change('b.db', `UPDATE t SET ${names.map((name) => `${quote(name)} = 'r'`).join(', ')} WHERE id = 1`)
    await it.run('run')
    const [conflict] = (await it.run('conflicts')).lines
    const fields = JSON.stringify(conflict)
    for (const name of names) assert.ok(fields.includes(JSON.stringify(name)), name)
    const resolved = await it.run(
      'conflicts',
      'resolve',
      String(conflict?.id),
      '--take',
      'right',
      '--set',
      '__proto__=mine',
    )
    assert.equal(resolved.code, 0, resolved.stderr)
    const third = await it.run('run')
    assert.equal(third.code, 0, JSON.stringify([third.lines.at(-1), (await it.run('dead-letters')).lines]))
    for (const name of names)
      for (const file of ['a.db', 'b.db']) assert.equal(valueAt(file, name), name === '__proto__' ? 'mine' : 'r', name)
    const verified = await it.run('verify')
    assert.equal(verified.code, 0, JSON.stringify(verified.lines))
  })

  test('a field of a name that JSON can say and objects lose is refused, not dropped', async () => {
    using it = new ServiceProject(config)
    for (const file of ['a.db', 'b.db']) it.change(file, `CREATE TABLE t (id INTEGER PRIMARY KEY, ${columns})`)
    const text = '{"id":"id","__proto__":"__proto__"}'
    it.configure(JSON.parse(JSON.stringify({ ...config, syncs: { one: { from: 'a.t', to: 'b.u', fields: 0 } } })))
    const { writeFileSync } = await import('node:fs')
    const path = join(it.folder, 'syncline.config.json')
    writeFileSync(path, readFileSync(path, 'utf8').replace('"fields":0', `"fields":${text}`))
    const { code, lines } = await it.run('plan')
    assert.equal(code, 2)
    assert.match(JSON.stringify(lines), /syncs\.one\.fields\.__proto__/)
  })
})

test('point 52: no object of ours is a map of foreign names: they are Maps, or made by Object.fromEntries', () => {
  const root = join(import.meta.dirname, '..', 'src')
  const found = globSync('**/*.ts', { cwd: root })
    .filter((path) => !path.endsWith('.test.ts'))
    .flatMap((path) =>
      readFileSync(join(root, path), 'utf8')
        .split('\n')
        .flatMap((line, at) =>
          /\b(const|let) \w+: Record<string, /.test(line) ? [`${path}:${at + 1} ${line.trim()}`] : [],
        ),
    )
  // Attributes of spans, by names of our own.
  assert.deepEqual(
    found.filter((one) => !one.startsWith('engine/observe/telemetry.ts')),
    [],
  )
})
