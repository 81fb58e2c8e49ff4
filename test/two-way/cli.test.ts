/** Two-way sync as people use it: the commands, their JSON, their exit codes, and what they say of mistakes. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, test } from 'node:test'
import { temporaryFolder } from '../../tools/database.ts'
import { call, writeConfig, writeModule } from '../oracle/project.ts'
import { connections, disagree, finished, first, people, project, told } from './people-project.ts'

describe('conflicts', () => {
  test('are listed and shown as JSON, and the other fields go on', async () => {
    await using of = await project()
    const id = await disagree(of)
    assert.deepEqual(of.shop('SELECT phone, full_name FROM people WHERE id = 51'), [['9', 'Annie']])
    const listed = first(await of.call('conflicts', 'people'))
    const { run, openedAt, ...rest } = listed
    assert.match(`${run} ${openedAt}`, /^\w{8,} \d{4}-.*Z$/)
    assert.deepEqual(rest, {
      event: 'conflict',
      id,
      sync: 'people',
      kind: 'fields',
      status: 'open',
      key: { left: { id: 1 }, right: { id: 51 } },
      fields: { name: { base: 'Ann', left: 'Anna', right: 'Annie', rule: 'ask', outcome: 'open', status: 'open' } },
      closedAt: null,
    })
    const shown = first(await of.call('conflicts', 'show', id))
    assert.deepEqual(
      shown.history.map(({ side, fields }) => [side, fields]),
      [['right', ['phone']]],
    )
  })

  for (const [how, args, left, right] of [
    ['take left', ['--take', 'left'], 'Anna', 'Anna'],
    ['take right', ['--take', 'right'], 'Annie', 'Annie'],
    ['set', ['--set', 'name=Ann = Lee'], 'Ann = Lee', 'Ann = Lee'],
  ] as const)
    test(`resolve: ${how}; the next run carries it out, once`, async () => {
      await using of = await project()
      const id = await disagree(of)
      const decided = first(await of.call('conflicts', 'resolve', id, ...args))
      assert.equal(decided.status, 'decided')
      const planned = first(await of.call('plan'))
      assert.equal(planned.updates, how === 'set' ? 2 : 1)
      await of.call('run')
      assert.deepEqual(of.crm('SELECT name FROM people WHERE id = 1'), [[left]])
      assert.deepEqual(of.shop('SELECT full_name FROM people WHERE id = 51'), [[right]])
      assert.deepEqual(await of.call('conflicts'), [])
      assert.equal(first(await of.call('conflicts', '--all')).status, 'resolved')
      assert.equal(finished(await of.call('run')).updated, 0)
      const again = await call(of.folder, 'conflicts', 'resolve', id, ...args)
      assert.deepEqual([again.code, first(told(again.lines)).error.code], [2, 'CONFLICT_CLOSED'])
    })

  test('a decision that gives up a value nobody saw is asked for again', async () => {
    await using of = await project()
    const id = await disagree(of)
    await of.call('conflicts', 'resolve', id, '--take', 'left')
    of.shop("UPDATE people SET full_name = 'Antonia' WHERE id = 51")
    await of.call('run')
    assert.deepEqual(of.shop('SELECT full_name FROM people WHERE id = 51'), [['Antonia']])
    const open = first(await of.call('conflicts'))
    assert.deepEqual([open.id, open.fields.name?.right], [id, 'Antonia'])
  })

  test('mistakes exit with 2 and say what would be right', async () => {
    await using of = await project()
    const id = await disagree(of)
    const failure = async (...args: string[]) => {
      const { code, lines } = await call(of.folder, 'conflicts', ...args)
      const { error } = first(told(lines))
      return { code, error: error.code, text: `${error.message} ${error.hint ?? ''}` }
    }
    for (const [args, error, text] of [
      [['show', '99'], 'CONFLICT_UNKNOWN', /no conflict 99/],
      [['resolve', '99', '--take', 'left'], 'CONFLICT_UNKNOWN', /no conflict 99/],
      [['resolve', id], 'CONFIG_INVALID', /nothing is decided.*--take left/],
      [['resolve', id, '--set', 'nmae=x'], 'CONFIG_INVALID', /no open field "nmae".*Did you mean name/],
      [['resolve', id, '--set', 'phone=x'], 'CONFIG_INVALID', /no open field "phone"/],
      [['resolve', id, '--take', 'both'], 'USAGE_INVALID', /left or right/],
      [['resolve', id, '--set', 'name'], 'USAGE_INVALID', /field=value/],
      [['nobody'], 'SYNC_UNKNOWN', /nobody/],
    ] as const) {
      const found = await failure(...args)
      assert.deepEqual([found.code, found.error], [2, error], args.join(' '))
      assert.match(found.text, text)
    }
  })
})

describe('why', () => {
  test('tells a row’s story by the key of either side', async () => {
    await using of = await project()
    await disagree(of)
    const stories = [await of.call('why', 'people', '1'), await of.call('why', 'people', '51')]
    for (const story of stories.map((lines) => first(lines))) {
      assert.deepEqual(story.pair, { left: { id: 1 }, right: { id: 51 } })
      assert.deepEqual(story.there, { left: true, right: true })
      assert.deepEqual(story.fields.name, { base: 'Ann', left: 'Anna', right: 'Annie' })
      const write = first(story.writes)
      assert.deepEqual(
        [write.side, write.fields, write.reason],
        ['right', { phone: { before: '1', after: '9' } }, 'left changed'],
      )
      assert.equal(story.conflicts.length, 1)
    }
    const unknown = await call(of.folder, 'why', 'people', '7')
    assert.deepEqual([unknown.code, first(told(unknown.lines)).error.code], [2, 'ROW_UNKNOWN'])
  })
})

describe('plan', () => {
  test('says what a run would do on each side, and writes nothing anywhere', async () => {
    await using of = await project()
    of.crm("UPDATE people SET name = 'Anna', phone = '9' WHERE id = 1; ")
    of.shop("UPDATE people SET full_name = 'Annie' WHERE id = 51")
    of.shop("INSERT INTO people VALUES (53, 'cid@x.org', 'Cid', '3', '1')")
    of.shop('DELETE FROM people WHERE id = 52')
    const before = await of.bytes()
    const planned = first(await of.call('plan'))
    await of.call('verify').catch(() => {})
    await of.call('conflicts')
    await of.call('why', 'people', '1')
    assert.deepEqual(await of.bytes(), before)
    const { left, right, inserts, updates, deletes, conflicts, held, samples } = planned
    assert.deepEqual(
      { left, right, inserts, updates, deletes, conflicts, held },
      {
        left: { inserts: 1, updates: 0, deletes: 1 },
        right: { inserts: 0, updates: 1, deletes: 0 },
        inserts: 1,
        updates: 1,
        deletes: 1,
        conflicts: 1,
        held: false,
      },
    )
    assert.deepEqual(
      samples.map(({ side, kind, reason }) => [side, kind, reason]),
      [
        ['right', 'update', 'left changed'],
        ['left', 'delete', 'right deleted'],
        ['left', 'insert', 'right created'],
      ],
    )
    const { inserted, updated, deleted } = finished(await of.call('run'))
    assert.deepEqual([inserted, updated, deleted], [1, 1, 1])
  })

  test('of a first run writes nothing either', async () => {
    await using of = await project()
    await of.call('reset', 'people', '--yes').catch(() => {})
    const before = await of.bytes()
    await of.call('plan')
    assert.deepEqual(await of.bytes(), before)
  })
})

describe('undo', () => {
  test('says what it would do, does it with --yes, leaves alone what changed since, and the next run leaves it so', async () => {
    await using of = await project()
    of.crm("UPDATE people SET name = 'X' || name")
    of.crm("INSERT INTO people VALUES (3, 'cid@x.org', 'Cid', '3', '1')")
    const run = finished(await of.call('run')).run
    of.shop("UPDATE people SET full_name = 'Robert' WHERE id = 52")
    const before = await of.bytes()
    const planned = await of.call('undo', run)
    assert.deepEqual(planned.map(({ side, kind, status }) => [side, kind, status]).sort(), [
      ['right', 'delete', 'planned'],
      ['right', 'update', 'changed'],
      ['right', 'update', 'planned'],
    ])
    assert.deepEqual(await of.bytes(), before)
    const undone = await of.call('undo', run, '--yes')
    assert.deepEqual(undone.map(({ status }) => status).sort(), ['changed', 'undone', 'undone'])
    assert.deepEqual(of.shop('SELECT id, full_name FROM people ORDER BY id'), [
      [51, 'Ann'],
      [52, 'Robert'],
    ])
    const open = first(await of.call('conflicts'))
    assert.deepEqual([open.kind, open.key], ['undo', { left: { id: 2 }, right: { id: 52 } }])
    assert.equal(first(await of.call('conflicts', 'resolve', open.id, '--take', 'left')).status, 'resolved')
    // What was taken back stays so; Bob's new name is an edit like any other.
    const next = finished(await of.call('run'))
    assert.deepEqual([next.inserted, next.updated, next.deleted], [0, 1, 0])
    assert.deepEqual(of.shop('SELECT id, full_name FROM people ORDER BY id'), [
      [51, 'Ann'],
      [52, 'Robert'],
    ])
    assert.deepEqual(of.crm('SELECT name FROM people ORDER BY id'), [['XAnn'], ['Robert'], ['Cid']])
    const unknown = await call(of.folder, 'undo', 'nonesuch')
    assert.deepEqual([unknown.code, first(told(unknown.lines)).error.code], [2, 'RUN_UNKNOWN'])
  })
})

describe('aliases', () => {
  for (const [onConflict, local, winner] of [
    ['prefer_local', undefined, 'Anna'],
    ['prefer_remote', undefined, 'Annie'],
    ['prefer_local', 'right', 'Annie'],
    ['prefer_remote', 'right', 'Anna'],
    ['last-write-wins', undefined, 'Annie'],
    ['manual_review', undefined, null],
  ] as const)
    test(`${onConflict}${local === undefined ? '' : ` with local: ${local}`}: ${winner ?? 'a person decides'}`, async () => {
      await using of = await project({
        onConflict,
        ...(local === undefined ? {} : { local }),
        stamp: { left: { field: 'changed', as: 'version' }, right: { field: 'changed', as: 'version' } },
      })
      of.crm("UPDATE people SET name = 'Anna', changed = '2' WHERE id = 1")
      of.shop("UPDATE people SET full_name = 'Annie', changed = '3' WHERE id = 51")
      await of.call('run')
      assert.deepEqual(of.crm('SELECT name FROM people WHERE id = 1'), [[winner ?? 'Anna']])
      assert.deepEqual(of.shop('SELECT full_name FROM people WHERE id = 51'), [[winner ?? 'Annie']])
      const record = first(await of.call('conflicts', '--all'))
      assert.equal(record.status, winner === null ? 'open' : 'resolved')
    })
})

test('point 63: conflicts --json says when there are more than it shows', async () => {
  await using of = await project({ onConflict: 'ask' })
  of.crm("UPDATE people SET name = 'L' || id")
  of.shop("UPDATE people SET full_name = 'R' || id")
  await of.call('run')
  const [shown, more, ...others] = await of.call('conflicts', '--limit', '1')
  assert.deepEqual([shown?.event, more?.event, others.length], ['conflict', 'conflicts.more', 0])
  assert.ok((await of.call('conflicts')).every(({ event }) => event === 'conflict'))
})

describe('exit codes', () => {
  test('3 when the guard holds, and 0 once it is released', async () => {
    await using of = await project({ guard: { maxDeletes: 0, maxDeleteShare: 0 } })
    of.crm('DELETE FROM people WHERE id = 1')
    const held = await call(of.folder, 'run')
    assert.deepEqual([held.code, held.finished[0]?.status], [3, 'held'])
    assert.equal(of.shop('SELECT id FROM people').length, 2)
    await of.call('release', String(held.finished[0]?.run))
    await of.call('run')
    assert.equal(of.shop('SELECT id FROM people').length, 1)
  })

  test('1 when verify finds a difference, with the row’s key', async () => {
    await using of = await project()
    of.crm("UPDATE people SET name = 'Anna' WHERE id = 1")
    const { code, lines } = await call(of.folder, 'verify')
    const verdict = first(told(lines), 'verify')
    assert.deepEqual([code, verdict.equal, verdict.different], [1, false, 1])
    assert.deepEqual(verdict.keys.different, [{ id: 1 }])
    const repair = await call(of.folder, 'verify', '--repair')
    assert.deepEqual([repair.code, first(told(repair.lines)).error.code], [2, 'CONFIG_INVALID'])
  })
})

describe('mistakes in a two-way sync', () => {
  for (const [what, sync, message] of [
    ['one collection', { between: ['crm.people'] }, /syncs\.people\.between: expected two collections/],
    ['both kinds', { ...people, from: 'crm.people' }, /syncs\.people\.from: unknown option/],
    ['an unknown connection', { ...people, between: ['crm.people', 'shpo.people'] }, /shpo.*did you mean "shop"/i],
    [
      'quotes that are not closed',
      { ...people, between: ['crm."people', 'shop.people'] },
      /syncs\.people\.between\[0\]: the double quotes in crm\.\\"people don't fit: put them around a whole part/,
    ],
    [
      'quotes inside a part',
      { ...people, between: ['crm.people', 'shop.pe"op"le'] },
      /syncs\.people\.between\[1\]: the double quotes in/,
    ],
    [
      'an unknown rule',
      { ...people, onConflict: 'lefty' },
      /syncs\.people\.onConflict: expected left, right, newest, ask/,
    ],
    ['newest without a stamp', { ...people, onConflict: 'newest' }, /syncs\.people\.onConflict: newest needs `stamp/],
    [
      'an option misspelled',
      { ...people, onConflct: 'left' },
      /syncs\.people\.onConflct: unknown option; did you mean "onConflict"/,
    ],
    [
      'a match that is no field',
      { ...people, match: ['mail'] },
      /syncs\.people\.match: "mail" is none of the sync's fields/,
    ],
    [
      'ask with hashes',
      { ...people, bases: 'hash' },
      /syncs\.people\.onConflict: a review or a function needs the values/,
    ],
    [
      'an unknown field',
      { ...people, fields: { ...people.fields, fax: 'fax' } },
      /syncs\.people\.fields\.fax: people has no field \\"fax/,
    ],
    [
      'a reference to no sync',
      { ...people, fields: { ...people.fields, phone: { references: 'peple' } } },
      /syncs\.people\.fields\.phone.*peple/,
    ],
    ['a direction unknown', { ...people, direction: 'up' }, /syncs\.people\.direction/],
  ] as const)
    test(`${what}: exit code 2, with the path`, async () => {
      await using folder = await temporaryFolder()
      for (const [file, name] of [
        ['crm.db', 'name'],
        ['shop.db', 'full_name'],
      ] as const) {
        using database = new DatabaseSync(join(folder.path, file))
        database.exec(`CREATE TABLE people (id INTEGER PRIMARY KEY, email TEXT, ${name} TEXT, phone TEXT)`)
      }
      await writeConfig(folder.path, { connections, syncs: { people: sync } })
      const { code, lines, stderr } = await call(folder.path, 'run')
      assert.equal(code, 2, JSON.stringify(lines))
      assert.match(JSON.stringify(lines) + stderr, message)
    })

  test('a function on one way only', async () => {
    await using folder = await temporaryFolder()
    const toRight = (value: unknown) => String(value)
    await writeModule(folder.path, {
      connections,
      syncs: { people: { ...people, fields: { email: 'email', name: { right: 'full_name', toRight } } } },
    })
    const { code, lines } = await call(folder.path, 'plan')
    assert.equal(code, 2)
    assert.match(JSON.stringify(lines), /syncs\.people\.fields\.name: has toRight and no toLeft/)
  })
})
