import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { assertEqual, postgresToPostgres } from '../../../test/hazards/pair.ts'
import { createDatabase } from '../../../tools/database.ts'
import { SyncError } from '../../core/error.ts'
import { connect } from './client.ts'
import { classes, isRowError, states, translate, withoutValues } from './errors.ts'
import { postgres } from './index.ts'

/** Classes of the manual's appendix "PostgreSQL Error Codes". */
const manual =
  '01 02 03 08 09 0A 0B 0F 0L 0P 0Z 10 20 21 22 23 24 25 26 27 28 2B 2D 2F 34 38 39 3B 3D 3F 40 42 44 53 54 55 57 58 72 F0 HV P0 XX'

describe('point 43: errors of a Postgres server', () => {
  test('every SQLSTATE class becomes an error that says what, on what and what to do, and none a bug of ours', async () => {
    await using database = await createDatabase()
    await using client = await connect(postgres.config.parse({ url: database.url }))
    for (const state of [...manual.split(' ').map((kind) => `${kind}0ZZ`), ...Object.keys(states), 'ZZ999']) {
      const raised = client.query(
        `DO $$ BEGIN RAISE EXCEPTION 'so it is' USING ERRCODE = '${state}', TABLE = 'orders', SCHEMA = 'public'; END $$`,
      )
      await assert.rejects(raised, (error) => {
        assert.ok(error instanceof SyncError, `${state}: ${error}`)
        assert.notEqual(error.code, 'INTERNAL', state)
        assert.match(
          error.message,
          /^Postgres at 127\.0\.0\.1:\d+\/\w+ .* on public\.orders: so it is \(SQLSTATE /,
          state,
        )
        assert.match(error.message, new RegExp(`\\(SQLSTATE ${state}\\)$`))
        assert.ok((error.hint ?? '').length > 10, state)
        return true
      })
    }
    for (const kind of manual.split(' ')) assert.ok(kind in classes, kind)
  })

  test('a trigger that refuses a row rejects that row, whatever its SQLSTATE, and the others go in', async () => {
    const refusals = [
      ...['P0001', '22023', '23514', '44000', '38001', 'AB123', '54000', '42501', '28000', '55000', '0A000', '42704'],
      ...['42883', '428C9', '42P01', '42703', 'XX000', '26000', '53100', '25006', '08006', '57P01', '57014', '55P03'],
    ]
    await using pair = await postgresToPostgres({ adopt: true })
    await pair.left.sql(`CREATE TABLE t (id int PRIMARY KEY, note text); INSERT INTO t VALUES (1, 'fine'), (2, 'fine');
      INSERT INTO t SELECT 10 + n, state FROM unnest('{${refusals}}'::text[]) WITH ORDINALITY AS r (state, n)`)
    await pair.right.sql(`CREATE TABLE t (id int PRIMARY KEY, note text);
      CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN IF NEW.note <> 'fine' THEN RAISE EXCEPTION 'not fine' USING ERRCODE = NEW.note; END IF; RETURN NEW; END $$;
      CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION refuse()`)
    const { error, rejected } = await pair.run()
    assert.deepEqual([error?.code, rejected], ['ROWS_REJECTED', refusals.length], error?.message)
    assert.deepEqual(await pair.right.sql('SELECT id FROM t ORDER BY id'), [['1'], ['2']])
    assert.deepEqual(
      await pair.right.sql('SELECT code, message FROM _syncline_rejected ORDER BY key'),
      refusals.map((state) => [`VALUE_REFUSED (${state})`, 'not fine']),
    )
    await pair.left.sql(`UPDATE t SET note = 'fine'`)
    await pair.mustRun()
    await assertEqual(pair)
  })

  test('what a function of a table stumbles over is of its row, too', async () => {
    await using pair = await postgresToPostgres({ adopt: true })
    await pair.left.sql(
      `CREATE TABLE t (id int PRIMARY KEY, note text); INSERT INTO t VALUES (1, 'fine'), (2, 'call'), (3, 'table'), (4, 'fine')`,
    )
    await pair.right.sql(`CREATE TABLE t (id int PRIMARY KEY, note text);
      CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.note = 'call' THEN PERFORM no_such_function(NEW.id); END IF;
        IF NEW.note = 'table' THEN INSERT INTO no_such_table VALUES (1); END IF;
        RETURN NEW; END $$;
      CREATE TRIGGER stumble BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION stumble()`)
    const { error, rejected } = await pair.run()
    assert.deepEqual([error?.code, rejected], ['ROWS_REJECTED', 2], error?.message)
    assert.deepEqual(await pair.right.sql('SELECT id FROM t ORDER BY id'), [['1'], ['4']])
  })

  test('a row that a security policy of the target refuses is rejected, and the others go in', async () => {
    await using pair = await postgresToPostgres({ adopt: true })
    await pair.left.sql(
      `CREATE TABLE t (id int PRIMARY KEY, note text); INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')`,
    )
    const role = `errors_${Date.now()}`
    await pair.right.connectAs(role)
    await pair.right.sql(`CREATE TABLE t (id int PRIMARY KEY, note text); ALTER TABLE t ENABLE ROW LEVEL SECURITY;
      CREATE POLICY p ON t USING (true) WITH CHECK (note <> 'b');
      GRANT ALL ON SCHEMA public TO ${role}; GRANT ALL ON t TO ${role}; GRANT TEMP ON DATABASE ${new URL(pair.right.url).pathname.slice(1)} TO ${role}`)
    const { error, rejected } = await pair.run()
    assert.deepEqual([error?.code, rejected], ['ROWS_REJECTED', 1], error?.message)
    assert.deepEqual(await pair.right.sql('SELECT id FROM t ORDER BY id'), [['1'], ['3']])
  })

  test('what the network and the driver say is told as a connection that is refused or lost', () => {
    for (const [error, code] of [
      [Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }), 'CONNECTION_REFUSED'],
      [Object.assign(new Error('read'), { code: 'ECONNABORTED', syscall: 'read' }), 'CONNECTION_LOST'],
      [new Error('Connection terminated unexpectedly'), 'CONNECTION_LOST'],
      [new Error('SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string'), 'AUTH_FAILED'],
    ] as const) {
      const told = translate(error, 'db:5432/shop')
      assert.ok(told instanceof SyncError && told.code === code, String(told))
      assert.match(told.message, /db:5432\/shop/)
    }
    const own = new TypeError('x is not a function')
    assert.equal(translate(own, 'db'), own)
    assert.equal(isRowError(own), false)
  })

  test('names stay in a message, and values do not', () => {
    for (const [message, told] of [
      ['invalid input syntax for type integer: "secret"', 'invalid input syntax for type integer'],
      ['value "99 secret" is out of range for type integer', 'a value is out of range for type integer'],
      [
        'new row for relation "t" violates check constraint "t_note_check"',
        'new row for relation "t" violates check constraint "t_note_check"',
      ],
      [
        'null value in column "note" of relation "t" violates not-null constraint',
        'null value in column "note" of relation "t" violates not-null constraint',
      ],
      ['I do not like "secret" here', 'I do not like "…" here'],
    ] as const)
      assert.equal(withoutValues(message), told)
  })
})
