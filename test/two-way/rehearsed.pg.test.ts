/** `plan` of a two-way sync promises no write that a table refuses for its values: each side is asked beforehand, and keeps nothing. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { planTwoWay } from '../../src/engine/two-way/plan.ts'
import { postgresDatabase, sqliteDatabase } from '../hazards/pair.ts'
import { openTwoWay, type TwoWayPair } from './pair.ts'
import { field } from './world.ts'

const systems = { Postgres: postgresDatabase, SQLite: () => sqliteDatabase('triggers') } as const
const fields = [field('mail'), field('name'), field('n')]

async function assertForeseen(
  pair: TwoWayPair,
  expected: readonly [inserts: number, updates: number, rejected: number],
): Promise<void> {
  const before = await pair.right.sql('SELECT * FROM contacts')
  const { inserts, updates, rejected } = await planTwoWay(pair.sync, pair.project)
  assert.deepEqual([inserts, updates, rejected], expected, 'plan')
  assert.deepEqual(await pair.right.sql('SELECT * FROM contacts'), before)
  const run = await pair.run()
  assert.deepEqual([run.inserted, run.updated, run.rejected], expected, run.error?.message)
}

for (const system of Object.keys(systems) as (keyof typeof systems)[])
  test(`${system}: types, NOT NULL and CHECKs, also over columns that are no fields`, async () => {
    const [left, right] = [await sqliteDatabase('triggers'), await systems[system]()]
    await left.sql('CREATE TABLE contacts (id INTEGER PRIMARY KEY, mail TEXT, name TEXT, n INTEGER)')
    const id = system === 'Postgres' ? 'bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY' : 'INTEGER PRIMARY KEY'
    await right.sql(`CREATE TABLE contacts (id ${id}, mail text, name ${system === 'Postgres' ? 'varchar(5)' : 'text CHECK (length(name) <= 5)'} NOT NULL,
      n bigint CHECK (n > 0), note text DEFAULT 'n', CHECK (n < 100 OR note = 'much'))`)
    await using pair = openTwoWay(left, right, { fields, match: [{ field: 'mail', by: null }] })
    await left.sql(`INSERT INTO contacts VALUES (1, 'a', 'fits', 1), (2, 'b', 'too long', 1), (3, 'c', NULL, 1), (4, 'd', 'd', 0), (5, 'e', 'e', 100),
      (6, 'f', 'f', 99)`)
    await assertForeseen(pair, [2, 0, 4])
    await right.sql(`UPDATE contacts SET note = 'much' WHERE mail = 'f'`)
    await left.sql(`UPDATE contacts SET n = 1000 WHERE mail IN ('a', 'f')`)
    await assertForeseen(pair, [0, 1, 5])
    await left.sql(`UPDATE contacts SET n = 1, name = 'fine'`)
    await assertForeseen(pair, [4, 2, 0])
    if (system === 'Postgres') assert.deepEqual(await right.sql('SELECT count(DISTINCT id) FROM contacts'), [['6']])
  })

test('Postgres: a role that may make no temporary tables plans without asking the side', async () => {
  const [left, right] = [await sqliteDatabase('triggers'), await postgresDatabase()]
  const role = `no_temp_${Date.now()}`
  await left.sql(`CREATE TABLE contacts (id INTEGER PRIMARY KEY, mail TEXT); INSERT INTO contacts VALUES (1, 'a')`)
  await right.connectAs(role)
  await right.sql(`CREATE TABLE contacts (id int PRIMARY KEY, mail text); GRANT ALL ON SCHEMA public TO ${role};
    GRANT ALL ON contacts TO ${role}; REVOKE TEMPORARY ON DATABASE ${new URL(right.url).pathname.slice(1)} FROM public`)
  await using pair = openTwoWay(left, right, {
    fields: [field('id'), field('mail')],
    match: [{ field: 'id', by: null }],
  })
  await assertForeseen(pair, [1, 0, 0])
})

test('Postgres: a trigger may mend a row before NOT NULL and CHECK see it: only what its types refuse is foreseen', async () => {
  const [left, right] = [await sqliteDatabase('triggers'), await postgresDatabase()]
  await left.sql(`CREATE TABLE contacts (id INTEGER PRIMARY KEY, mail TEXT);
    INSERT INTO contacts VALUES (1, NULL), (2, 'a'), (3, 'too long')`)
  await right.sql(`CREATE TABLE contacts (id int PRIMARY KEY, mail varchar(5) NOT NULL, own int NOT NULL CHECK (own > 0));
    CREATE FUNCTION mend() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.mail := coalesce(NEW.mail, '-'); NEW.own := 1; RETURN NEW; END $$;
    CREATE TRIGGER mend BEFORE INSERT ON contacts FOR EACH ROW EXECUTE FUNCTION mend()`)
  await using pair = openTwoWay(left, right, {
    fields: [field('id'), field('mail')],
    match: [{ field: 'id', by: null }],
  })
  await assertForeseen(pair, [2, 0, 1])
})
