/** Writes that a system would bend, refuses for one row, or takes and does not keep: each is that row's, and the others go on. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type Database, postgresDatabase, sqliteDatabase } from '../hazards/pair.ts'
import { openTwoWay, type TwoWayPair } from './pair.ts'
import { field } from './world.ts'

const fields = [field('v')]

/** Text on the left, a column of this type on the right. */
async function pairWith(native: string, right?: Database): Promise<TwoWayPair> {
  const [left, other] = [await postgresDatabase(), right ?? (await postgresDatabase())]
  await left.sql('CREATE TABLE contacts (id int PRIMARY KEY, v text)')
  await other.sql(`CREATE TABLE contacts (id int PRIMARY KEY, v ${native})`)
  return openTwoWay(left, other, { fields: [field('id'), ...fields] })
}

/** What the run rejected, and why. */
async function rejects(pair: TwoWayPair, written: number, rejected: number): Promise<string> {
  const record = await pair.run()
  assert.deepEqual([record.error?.code, record.rejected], ['ROWS_REJECTED', rejected], record.error?.message)
  assert.equal(record.inserted + record.updated + record.deleted, written)
  await using reader = await pair.store.pairs.read(pair.sync.id)
  const { pairs, unpaired } = await reader.waiting()
  return [...pairs, ...unpaired].map(({ code, message }) => `${code} ${message}`).join('\n')
}

describe('point 59: a value that the column would bend is a rejected row (hazard 32)', () => {
  const cases: readonly (readonly [native: string, fits: readonly string[], bends: readonly string[]])[] = [
    ['varchar(3)', ['abc', ''], ['abcd', 'abc1']],
    ['char(3)', ['abc'], ['abcd']],
    ['varchar(3)[]', ['{abc,d}'], ['{abcd}']],
    ['bit(3)', ['101'], ['1011', '1']],
    ['varbit(3)', ['10'], ['1011']],
    ['numeric(5,2)', ['1.5', '1.50', '123.45'], ['1.239', '1234.5']],
    ['numeric(5,2)[]', ['{1.5,2.25}'], ['{1.5,1.239}']],
    ['numeric(3,-1)', ['120'], ['123']],
    ['timestamp(0)', ['2026-01-01T10:00:00.000000'], ['2026-01-01T10:00:00.600000']],
    ['timestamptz(3)', ['2026-01-01T10:00:00.123000Z'], ['2026-01-01T10:00:00.123400Z']],
    ['time(0)', ['10:00:00.000000'], ['10:00:00.500000']],
    ['interval(0)', ['1 day 02:00:00'], ['00:00:00.6']],
    ['interval year to month', ['1 year 2 mons'], ['1 mon 3 days']],
    ['short', ['abc'], ['abcd']],
    [
      'composite',
      ['(1.5,abc,)', '(-7.00,,"2026-01-01 10:00:00")', '(,a.10,)'],
      ['(1.239,abc,)', '(1,abcde,)', '(1,,"2026-01-01 10:00:00.6")'],
    ],
    ['composite[]', ['{"(1.5,abc,)",NULL}'], ['{"(1,,)","(1.239,abc,)"}']],
    ['nested', ['("(1.5,abc,)",1)'], ['("(1.239,abc,)",1)', '("(1,,)",1.25)']],
    ['domained', ['(1.5,abc,)'], ['(1.239,abc,)']],
    ['plain', ['(1.239,"2026-01-01 10:00:00.6")'], ['(x,)']],
  ]
  test('in inserts and in updates', async () => {
    const right = await postgresDatabase()
    await right.sql(`CREATE DOMAIN short AS varchar(3); CREATE DOMAIN tenth AS numeric(4,1);
      CREATE TYPE composite AS (n numeric(5,2), v varchar(4), at timestamp(0)); CREATE TYPE nested AS (c composite, t tenth);
      CREATE DOMAIN domained AS composite; CREATE TYPE plain AS (n numeric, at timestamp)`)
    await using pair = await pairWith('text', right)
    for (const [native, fits, bends] of cases) {
      pair.sync = { ...pair.sync, id: native }
      await pair.left.sql('TRUNCATE contacts')
      await right.sql(`DROP TABLE contacts; CREATE TABLE contacts (id int PRIMARY KEY, v ${native})`)
      const all = [...fits, ...bends]
      await pair.left.sql(`INSERT INTO contacts VALUES ${all.map((value, at) => `(${at + 1}, '${value}')`).join(', ')}`)
      await rejects(pair, fits.length, bends.length)
      assert.equal((await pair.read('right', 'SELECT id FROM contacts')).length, fits.length)
      // An update, too.
      await pair.left.sql(`UPDATE contacts SET v = '${bends[0]}' WHERE id = 1`)
      const before = await pair.read('right', 'SELECT v::text FROM contacts ORDER BY id')
      const why = await rejects(pair, 0, bends.length + 1)
      assert.doesNotMatch(why, /INTERNAL/)
      assert.deepEqual(await pair.read('right', 'SELECT v::text FROM contacts ORDER BY id'), before)
      assert.equal((await pair.verify()).equal, false)
      await pair.left.sql(
        `DELETE FROM contacts WHERE id > ${fits.length}; UPDATE contacts SET v = '${fits[0]}' WHERE id = 1`,
      )
      await pair.writes()
      assert.equal(await pair.writes(), 0)
    }
  })
})

describe('point 61: a row that is refused does not stop the others (hazard 18)', () => {
  const refused: Readonly<Record<string, readonly [setUp: string, why: RegExp]>> = {
    'row-level security': [
      `ALTER TABLE contacts ENABLE ROW LEVEL SECURITY; CREATE POLICY seen ON contacts FOR SELECT USING (true);
       CREATE POLICY made ON contacts FOR INSERT WITH CHECK (v <> 'no');
       CREATE POLICY changed ON contacts FOR UPDATE USING (true) WITH CHECK (v <> 'no')`,
      /row-level security/,
    ],
    'a trigger that raises': [
      `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN IF NEW.v = 'no' THEN RAISE EXCEPTION 'not that'; END IF; RETURN NEW; END $$;
       CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION refuse()`,
      /not that/,
    ],
    'a trigger that raises what sounds like a missing grant': [
      `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN IF NEW.v = 'no' THEN RAISE insufficient_privilege USING MESSAGE = 'not yours'; END IF; RETURN NEW; END $$;
       CREATE TRIGGER refuse AFTER INSERT OR UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION refuse()`,
      /not yours/,
    ],
    'a trigger that swallows': [
      `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN IF NEW.v = 'no' THEN RETURN NULL; END IF; RETURN NEW; END $$;
       CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION refuse()`,
      /did not keep the (row|change)/,
    ],
    'an exclusion that is checked at the end': [
      `ALTER TABLE contacts ADD UNIQUE (v) DEFERRABLE INITIALLY DEFERRED; INSERT INTO contacts VALUES (99, 'no')`,
      /unique/,
    ],
  }
  for (const [what, [setUp, why]] of Object.entries(refused))
    test(what, async () => {
      const right = await postgresDatabase()
      await using pair = await pairWith('text', right)
      await right.sql(`${setUp};`)
      const role = `syncline_rls_${Math.random().toString(36).slice(2, 10)}`
      await right.connectAs(role)
      await right.sql(`GRANT ALL ON contacts TO ${role}; GRANT CREATE, USAGE ON SCHEMA public TO ${role}`)
      const there = (await right.sql('SELECT 1 FROM contacts')).length
      await pair.left.sql("INSERT INTO contacts VALUES (1, 'a'), (2, 'no'), (3, 'c'), (4, 'd')")
      assert.match(await rejects(pair, 3 + there, 1), why)
      await pair.left.sql(
        "UPDATE contacts SET v = CASE id WHEN 3 THEN 'no' ELSE v || '!' END WHERE id <> 2 AND id < 99",
      )
      assert.match(await rejects(pair, 2, 2), why)
      await pair.left.sql("UPDATE contacts SET v = 'x' || id WHERE v = 'no' AND id < 99")
      await pair.writes()
      assert.equal((await pair.verify()).equal, true)
    })

  test('a right on some columns only', async () => {
    const [left, right] = [await postgresDatabase(), await postgresDatabase()]
    for (const { sql } of [left, right]) {
      await sql('CREATE TABLE contacts (id int PRIMARY KEY, v text, secret text)')
      await sql("INSERT INTO contacts VALUES (1, 'a', 's'), (2, 'b', 's'), (3, 'c', 's')")
    }
    const role = `syncline_grant_${Math.random().toString(36).slice(2, 10)}`
    await right.connectAs(role)
    await right.sql(
      `GRANT SELECT, DELETE, UPDATE (v), INSERT (id, v) ON contacts TO ${role}; GRANT CREATE, USAGE ON SCHEMA public TO ${role}`,
    )
    await using pair = openTwoWay(left, right, {
      match: [{ field: 'id', by: null }],
      fields: ['id', 'v', 'secret'].map((name) => field(name)),
    })
    assert.equal(await pair.writes(), 0)
    await pair.left.sql("UPDATE contacts SET v = 'new' WHERE id < 3; UPDATE contacts SET secret = 'new' WHERE id = 2")
    assert.match(await rejects(pair, 1, 1), /no right to update column secret.*GRANT UPDATE \("secret"\)/)
    assert.deepEqual(await pair.read('right', 'SELECT v FROM contacts ORDER BY id'), [['new'], ['b'], ['c']])
  })

  test('no right on the table at all is the error of the run', async () => {
    const right = await postgresDatabase()
    await using pair = await pairWith('text', right)
    const role = `syncline_none_${Math.random().toString(36).slice(2, 10)}`
    await right.connectAs(role)
    await right.sql(`GRANT SELECT ON contacts TO ${role}; GRANT CREATE, USAGE ON SCHEMA public TO ${role}`)
    await pair.left.sql("INSERT INTO contacts VALUES (1, 'a')")
    assert.equal((await pair.run()).error?.code, 'GRANT_MISSING')
  })
})

describe('hazard 39: a deletion or change that a side does not keep', () => {
  const swallow: Readonly<Record<string, readonly [open: () => Promise<Database>, triggers: string]>> = {
    Postgres: [
      postgresDatabase,
      `CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN IF OLD.v = 'stays' THEN RETURN NULL; END IF; RETURN coalesce(NEW, OLD); END $$;
       CREATE TRIGGER swallow BEFORE UPDATE OR DELETE ON contacts FOR EACH ROW EXECUTE FUNCTION swallow()`,
    ],
    SQLite: [
      sqliteDatabase,
      ['UPDATE', 'DELETE']
        .map(
          (event) =>
            `CREATE TRIGGER swallow_${event} BEFORE ${event} ON contacts WHEN OLD.v = 'stays' BEGIN SELECT RAISE(IGNORE); END;`,
        )
        .join('\n'),
    ],
  }
  for (const [name, [open, triggers]] of Object.entries(swallow))
    for (const edit of ["UPDATE contacts SET v = 'new' WHERE id < 9", 'DELETE FROM contacts WHERE id < 9'])
      test(`${name}: ${edit}`, async () => {
        const [left, right] = [await sqliteDatabase(), await open()]
        for (const { sql } of [left, right])
          await sql(
            "CREATE TABLE contacts (id INTEGER PRIMARY KEY, v text); INSERT INTO contacts VALUES (1, 'a'), (2, 'stays'), (3, 'c'), (9, 'z')",
          )
        await right.sql(triggers)
        await using pair = openTwoWay(left, right, {
          match: [{ field: 'id', by: null }],
          fields: [field('id'), field('v')],
          guard: { maxDeletes: 10, maxDeleteShare: 1 },
        })
        assert.equal(await pair.writes(), 0)
        await left.sql(edit)
        assert.match(await rejects(pair, 2, 1), /did not keep the (change|deletion)/)
        assert.deepEqual(await pair.read('right', "SELECT v FROM contacts WHERE v = 'stays'"), [['stays']])
      })

  test('SQLite: an insert that a trigger ignores', async () => {
    const [left, right] = [await sqliteDatabase(), await sqliteDatabase()]
    for (const { sql } of [left, right]) await sql('CREATE TABLE contacts (id INTEGER PRIMARY KEY, v text)')
    await right.sql(
      "CREATE TRIGGER swallow BEFORE INSERT ON contacts WHEN NEW.v = 'no' BEGIN SELECT RAISE(IGNORE); END",
    )
    await left.sql("INSERT INTO contacts VALUES (1, 'a'), (2, 'no')")
    await using pair = openTwoWay(left, right, { fields: [field('id'), field('v')] })
    assert.match(await rejects(pair, 1, 1), /did not keep the row/)
    assert.match(await rejects(pair, 0, 1), /did not keep the row/)
  })
})

describe('point 42: a SQL_ASCII side stores what is no text', () => {
  for (const when of ['BEFORE', 'AFTER'])
    test(`where a trigger does so ${when} a write, that write is a rejected row, and the others go on`, async () => {
      const right = await postgresDatabase('SQL_ASCII')
      await using pair = await pairWith('text', right)
      const broken =
        when === 'BEFORE'
          ? `NEW.v := E'a\\xff'; RETURN NEW`
          : `UPDATE contacts SET v = E'a\\xff' WHERE id = NEW.id; RETURN NULL`
      await right.sql(`CREATE FUNCTION bend() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${broken}; END $$;
        CREATE TRIGGER bend ${when} INSERT OR UPDATE ON contacts FOR EACH ROW WHEN (NEW.v = 'bend') EXECUTE FUNCTION bend()`)
      await pair.left.sql(`INSERT INTO contacts VALUES (1, 'ü'), (2, 'bend'), (3, '\ufffd')`)
      assert.match(await rejects(pair, 2, 1), /VALUE_REFUSED .*v: bytes that are not UTF-8/)
      await pair.left.sql(`UPDATE contacts SET v = 'bend' WHERE id = 1; UPDATE contacts SET v = 'x' WHERE id = 3`)
      await rejects(pair, 1, 2)
      assert.deepEqual(await pair.read('right', 'SELECT id, v FROM contacts ORDER BY id'), [
        ['1', 'ü'],
        ['3', 'x'],
      ])
      assert.equal((await pair.verify()).equal, false)
      await pair.left.sql(`UPDATE contacts SET v = 'straight' WHERE id < 3`)
      await pair.writes()
      assert.equal((await pair.verify()).equal, true)
    })
})

test('a field that takes values in new rows only can’t flow there: it is said before anything is written', async () => {
  const table = 'CREATE TABLE contacts (id int PRIMARY KEY, no int GENERATED ALWAYS AS IDENTITY, name text)'
  const [left, right] = [await postgresDatabase(), await postgresDatabase()]
  for (const { sql } of [left, right]) await sql(table)
  const fields = [field('id'), field('no'), field('name')]
  await using pair = openTwoWay(left, right, { fields, match: [{ field: 'id', by: null }] })
  await left.sql("INSERT INTO contacts (id, name) VALUES (1, 'a')")
  const { error } = await pair.run()
  assert.equal(error?.code, 'CONFIG_INVALID')
  assert.match(error?.message ?? '', /fields\.no: .*can't be written/)
  pair.sync = { ...pair.sync, fields: fields.filter(({ left }) => left !== 'no') }
  assert.equal(await pair.writes(), 1)
})

test('two-way, a function that raises with a SQLSTATE of the server refuses its row only', async () => {
  const [left, right] = [await sqliteDatabase('triggers'), await postgresDatabase()]
  await left.sql('CREATE TABLE contacts (id INTEGER PRIMARY KEY, name TEXT)')
  await right.sql(`CREATE TABLE contacts (id int PRIMARY KEY, name text);
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN IF NEW.name <> 'fine' THEN RAISE EXCEPTION 'not fine' USING ERRCODE = NEW.name; END IF; RETURN NEW; END $$;
    CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION refuse()`)
  await using pair = openTwoWay(left, right, {
    fields: [field('id'), field('name')],
    match: [{ field: 'id', by: null }],
  })
  await left.sql("INSERT INTO contacts VALUES (1, '28000'), (2, 'fine'), (3, '57P01'), (4, 'XX000'), (5, 'fine')")
  const { error, inserted, rejected } = await pair.run()
  assert.deepEqual([error?.code, inserted, rejected], ['ROWS_REJECTED', 2, 3], error?.message)
})
