/** What a person who decides about conflicts needs to see, and can say. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { promisify } from 'node:util'
import { call, writeConfig } from '../oracle/project.ts'
import { connections, disagree, first, type Project, people, project, told } from './people-project.ts'

const program = join(import.meta.dirname, '..', '..', 'bin', 'syncline.js')

/** What a command prints for people. */
async function printed({ folder }: Project, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [program, ...args], {
    cwd: folder,
    env: { ...process.env, NO_COLOR: '1' },
  })
  return stdout
}

/** Ann has another name and phone on each side. */
async function disagreeTwice(of: Project): Promise<string> {
  of.crm("UPDATE people SET name = 'Anna', phone = '8' WHERE id = 1")
  of.shop("UPDATE people SET full_name = 'Annie', phone = '9' WHERE id = 51")
  await of.call('run')
  return first(await of.call('conflicts')).id
}

describe('resolve --set', () => {
  for (const [given, stored] of [
    ['null', null],
    ['"null"', 'null'],
    ['""null""', '"null"'],
    ['NULL', 'NULL'],
    ['', ''],
  ] as const)
    test(`name=${given} is ${stored === null ? 'NULL' : `the text ${JSON.stringify(stored)}`}`, async () => {
      await using of = await project()
      const id = await disagree(of)
      const decided = first(await of.call('conflicts', 'resolve', id, '--set', `name=${given}`))
      assert.deepEqual(decided.fields.name?.take, { set: stored })
      await of.call('run')
      assert.deepEqual(of.crm('SELECT name FROM people WHERE id = 1'), [[stored]])
      assert.deepEqual(of.shop('SELECT full_name FROM people WHERE id = 51'), [[stored]])
    })

  test('a field that may not be NULL: exit code 2, with the side', async () => {
    await using of = await project()
    of.shop(
      'CREATE TABLE strict (id INTEGER PRIMARY KEY, email TEXT, full_name TEXT NOT NULL, phone TEXT, changed TEXT)',
    )
    of.shop('INSERT INTO strict SELECT * FROM people')
    of.shop('DROP TABLE people')
    of.shop('ALTER TABLE strict RENAME TO people')
    const id = await disagree(of)
    const { code, lines } = await call(of.folder, 'conflicts', 'resolve', id, '--set', 'name=null')
    const { error } = first(told(lines))
    assert.equal(code, 2)
    assert.match(`${error.message} ${error.hint}`, /name.*NULL.*right.*"null"/)
  })
})

describe('resolve of some of the fields', () => {
  test('says which are settled and which are left', async () => {
    await using of = await project()
    const id = await disagreeTwice(of)
    const some = await printed(of, 'conflicts', 'resolve', id, '--set', 'name=Ann Lee')
    assert.match(some, /name is decided: "Ann Lee"/)
    assert.match(some, /phone is still open/)
    const rest = await printed(of, 'conflicts', 'resolve', id, '--take', 'right')
    assert.match(rest, /decided/)
    assert.match(rest, /syncline run people/)
    assert.doesNotMatch(rest, /still open/)
  })
})

describe('a match that is not unique', () => {
  test('is shown with the keys and the values of all its rows', async () => {
    await using of = await project()
    of.crm("INSERT INTO people VALUES (7, 'eve@x.org', 'Eve', '1', '1'), (8, 'eve@x.org', 'Evelyn', '2', '1')")
    of.shop("INSERT INTO people VALUES (77, 'eve@x.org', 'Eve', '1', '1')")
    await of.call('run')
    const listed = first(await of.call('conflicts'))
    assert.deepEqual(listed.key, { left: null, right: null })
    const rows = {
      left: [
        { key: { id: 7 }, match: { email: 'eve@x.org' } },
        { key: { id: 8 }, match: { email: 'eve@x.org' } },
      ],
      right: [{ key: { id: 77 }, match: { email: 'eve@x.org' } }],
    }
    assert.deepEqual([listed.kind, listed.fields, listed.rows], ['match', {}, rows])
    const shown = await printed(of, 'conflicts', 'show', listed.id)
    assert.match(shown, /left\s+id 7\s+"?eve@x\.org/)
    assert.match(shown, /left\s+id 8\s+"?eve@x\.org/)
    assert.match(shown, /right\s+id 77\s+"?eve@x\.org/)
    assert.doesNotMatch(shown, /\[7\]/)
    assert.match(await printed(of, 'conflicts'), /eve@x\.org/)
  })
})

describe('plan of a delete conflict', () => {
  for (const onDeleteConflict of ['ask', 'keep', 'delete'])
    test(`with ${onDeleteConflict}: says who deleted the row and what the other changed`, async () => {
      await using of = await project({ onDeleteConflict })
      of.crm('DELETE FROM people WHERE id = 1')
      of.shop("UPDATE people SET full_name = 'Annie', phone = '9' WHERE id = 51")
      const [sample] = first(await of.call('plan')).conflictSamples
      assert.deepEqual(sample?.row, {
        deleted: 'left',
        changed: { name: { base: 'Ann', now: 'Annie' }, phone: { base: '1', now: '9' } },
      })
      const text = await printed(of, 'plan')
      assert.match(text, /left deleted it, right changed name: "?Ann"? → "?Annie"?, phone: "?1"? → "?9"?/)
      assert.doesNotMatch(text, /null/i)
    })
})

describe('undo of a run that is undone already', () => {
  test('says that nothing is left to undo, and opens no conflict', async () => {
    await using of = await project()
    of.crm("UPDATE people SET name = 'X' || name")
    of.crm("INSERT INTO people VALUES (3, 'cid@x.org', 'Cid', '3', '1')")
    of.shop('DELETE FROM people WHERE id = 52')
    of.crm("UPDATE people SET name = 'Bob' WHERE id = 2")
    const { run } = first(await of.call('run'), 'run.finished')
    const done = await of.call('undo', run, '--yes')
    assert.deepEqual([...new Set(done.map(({ status }) => status))], ['undone'])
    const state = [of.crm('SELECT * FROM people'), of.shop('SELECT * FROM people')]
    for (const args of [[], ['--yes']]) {
      const again = await of.call('undo', run, ...args)
      assert.deepEqual([...new Set(again.map(({ status }) => status))], ['nothing'])
      assert.match(await printed(of, 'undo', run, ...args), /nothing is left to undo/)
    }
    assert.deepEqual([of.crm('SELECT * FROM people'), of.shop('SELECT * FROM people')], state)
    assert.deepEqual(await of.call('conflicts'), [])
  })
})

describe('why', () => {
  test('of a pair with a refused write says why it was refused', async () => {
    await using of = await project()
    of.shop(
      'CREATE TABLE strict (id INTEGER PRIMARY KEY, email TEXT, full_name TEXT CHECK (length(full_name) < 9), phone TEXT, changed TEXT)',
    )
    of.shop('INSERT INTO strict SELECT * FROM people')
    of.shop('DROP TABLE people')
    of.shop('ALTER TABLE strict RENAME TO people')
    of.crm("UPDATE people SET name = 'far too long' WHERE id = 1")
    assert.equal((await call(of.folder, 'run')).code, 1)
    const { waiting } = first(await of.call('why', 'people', '1'))
    assert.deepEqual([waiting?.state, waiting?.code], ['rejected', 'VALUE_REFUSED'])
    assert.match(waiting?.message ?? '', /CHECK/)
    assert.match(await printed(of, 'why', 'people', '51'), /refused: .*CHECK.*tried again on every run/)
  })
})

describe('a row that one side deleted and the other changed', () => {
  test('is shown with what both sides had agreed on, and which of them deleted it', async () => {
    await using of = await project({ onDeleteConflict: 'ask' })
    of.crm("UPDATE people SET name = 'Anna' WHERE id = 1")
    of.shop('DELETE FROM people WHERE id = 51')
    await of.call('run')
    const { id, kind, fields } = first(await of.call('conflicts'))
    assert.equal(kind, 'delete')
    assert.deepEqual([fields.name?.base, fields.name?.left, fields.name?.right], ['Ann', 'Anna', null])
    assert.match(await printed(of, 'conflicts'), /deleted right, changed left/)
    assert.match(
      await printed(of, 'conflicts', 'show', id),
      /deleted right, changed left[\s\S]*name +"Ann" +"Anna" +null/,
    )
  })
})

describe('reset of a sync without `match`', () => {
  test('warns that its next run doubles the rows, and names the ways out', async () => {
    await using of = await project()
    assert.doesNotMatch(JSON.stringify(await of.call('reset', 'people')), /warning/)
    await writeConfig(of.folder, { connections, syncs: { people: { ...people, match: [] } } })
    assert.doesNotMatch(JSON.stringify(await of.call('reset', 'people', '--keep-pairs')), /warning/)
    assert.match(
      JSON.stringify(await of.call('reset', 'people')),
      /"warning":"the sync has no `match`.*repair-pairs people/,
    )
  })
})
