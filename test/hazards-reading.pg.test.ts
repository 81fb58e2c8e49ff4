/** Reading without losing a change: ties, late commits, rows that move, coarse clocks, transaction numbers. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { assertEqual, type Pair, postgresToSqlite } from './hazards/pair.ts'

async function notes(pair: Pair): Promise<(string | null)[]> {
  return (await pair.right.sql('SELECT note FROM t ORDER BY id')).flat()
}

const versioned = `CREATE TABLE t (id int PRIMARY KEY, note text, version bigint, at timestamptz);
  INSERT INTO t SELECT n, 'old', n, '2024-01-01T00:00:00Z'::timestamptz + n * interval '1 minute' FROM generate_series(1, 10) n`

describe('hazard 1: ties at the cursor', () => {
  test('hazard 1: a row changed at the very value that was read last is read again', async () => {
    await using pair = await postgresToSqlite({ cursor: 'version' })
    await pair.left.sql(versioned)
    for (let run = 0; run < 3; run++) await pair.mustRun()
    await pair.left.sql(`UPDATE t SET note = 'tie' WHERE id = 10`)
    await pair.left.sql(`UPDATE t SET note = 'joins', version = 10 WHERE id = 3`)
    await pair.mustRun()
    assert.deepEqual([(await notes(pair))[9], (await notes(pair))[2]], ['tie', 'joins'])
    await assertEqual(pair)
  })

  test('hazard 1: a row without a cursor value is always read', async () => {
    await using pair = await postgresToSqlite({ cursor: 'version' })
    await pair.left.sql(versioned)
    for (let run = 0; run < 3; run++) await pair.mustRun()
    await pair.left.sql(`UPDATE t SET note = 'no version', version = NULL WHERE id = 3`)
    await pair.mustRun()
    await pair.left.sql(`UPDATE t SET note = 'still none' WHERE id = 3`)
    await pair.mustRun()
    assert.equal((await notes(pair))[2], 'still none')
  })
})

describe('hazard 4: coarse clocks', () => {
  test('hazard 4: a second change within the same minute is read', async () => {
    await using pair = await postgresToSqlite({ cursor: 'at' })
    await pair.left.sql(versioned)
    for (let run = 0; run < 3; run++) await pair.mustRun()
    for (const note of ['first', 'second', 'third']) {
      await pair.left.sql(`UPDATE t SET note = '${note}', at = '2024-02-02T12:05:00Z' WHERE id = 4`)
      await pair.mustRun()
      await pair.mustRun()
      assert.equal((await notes(pair))[3], note)
    }
  })
})

describe('hazard 2: commits below the cursor', () => {
  test('hazard 2: a transaction that was open during a run is found by its changes after it', async () => {
    await using pair = await postgresToSqlite()
    await pair.left.sql(versioned)
    await pair.mustRun()
    const slow = await pair.left.session()
    await slow(`BEGIN; UPDATE t SET note = 'slow' WHERE id = 1`)
    await pair.left.sql(`UPDATE t SET note = 'quick' WHERE id = 2`)
    await pair.mustRun()
    await pair.mustRun()
    await slow('COMMIT')
    await pair.mustRun()
    assert.deepEqual((await notes(pair)).slice(0, 3), ['slow', 'quick', 'old'])
    await assertEqual(pair)
  })

  test('hazard 2: so are rows written inside a savepoint, whose numbers are higher', async () => {
    await using pair = await postgresToSqlite()
    await pair.left.sql(versioned)
    await pair.mustRun()
    const slow = await pair.left.session()
    await slow(`BEGIN; UPDATE t SET note = 'outer' WHERE id = 1; SAVEPOINT a`)
    await slow(`UPDATE t SET note = 'inner' WHERE id = 2; SAVEPOINT b`)
    await pair.left.sql(`UPDATE t SET note = 'quick' WHERE id = 4`)
    await slow(`UPDATE t SET note = 'innermost' WHERE id = 3; RELEASE SAVEPOINT a`)
    await pair.left.sql(`UPDATE t SET note = 'quicker' WHERE id = 5`)
    await pair.mustRun()
    await slow('COMMIT')
    await pair.mustRun()
    assert.deepEqual((await notes(pair)).slice(0, 5), ['outer', 'inner', 'innermost', 'quick', 'quicker'])
  })

  test('hazard 2: so are changes made while the first copy was read', async () => {
    await using pair = await postgresToSqlite()
    await pair.left.sql(versioned)
    const slow = await pair.left.session()
    await slow(`BEGIN; UPDATE t SET note = 'slow' WHERE id = 1; SAVEPOINT a; UPDATE t SET note = 'slower' WHERE id = 2`)
    await pair.left.sql(`UPDATE t SET note = 'quick' WHERE id = 3`)
    await pair.mustRun()
    await slow('COMMIT')
    await pair.mustRun()
    assert.deepEqual((await notes(pair)).slice(0, 3), ['slow', 'slower', 'quick'])
  })

  test('hazard 2: with a cursor field, a value drawn from a sequence early and committed late is read', async () => {
    await using pair = await postgresToSqlite({ cursor: 'version' })
    await pair.left.sql(`${versioned}; CREATE SEQUENCE s START 11`)
    await pair.mustRun()
    const slow = await pair.left.session()
    await slow(`BEGIN; UPDATE t SET note = 'slow', version = nextval('s') WHERE id = 1`)
    await pair.left.sql(`UPDATE t SET note = 'quick', version = nextval('s') WHERE id = 2`)
    for (let run = 0; run < 3; run++) await pair.mustRun()
    await slow('COMMIT')
    await pair.mustRun()
    assert.deepEqual((await notes(pair)).slice(0, 3), ['slow', 'quick', 'old'])
  })

  test('hazard 2: with a cursor field, a value taken before anything was written and used late is read', async () => {
    await using pair = await postgresToSqlite({ cursor: 'version' })
    await pair.left.sql(`${versioned}; CREATE SEQUENCE s START 11; SELECT nextval('s')`)
    await pair.mustRun()
    const slow = await pair.left.session()
    // It has no transaction number yet, only its value.
    const [[version] = []] = await slow(`BEGIN; SELECT nextval('s')`)
    await pair.left.sql(`UPDATE t SET note = 'quick', version = nextval('s') WHERE id = 2`)
    for (let run = 0; run < 3; run++) await pair.mustRun()
    await slow(`UPDATE t SET note = 'slow', version = ${version} WHERE id = 1`)
    for (let run = 0; run < 3; run++) await pair.mustRun()
    await slow('COMMIT')
    await pair.mustRun()
    assert.deepEqual((await notes(pair)).slice(0, 3), ['slow', 'quick', 'old'])
  })

  test('hazard 2: with a time as cursor, a transaction’s own time is its beginning, also for a role that sees nothing of others', async () => {
    await using pair = await postgresToSqlite({ cursor: 'at' })
    await pair.left.sql(versioned)
    const role = `reader_${Math.random().toString(36).slice(2)}`
    await pair.left.connectAs(role)
    await pair.left.sql(`GRANT SELECT ON t TO ${role}`)
    await pair.mustRun()
    const slow = await pair.left.session()
    await slow('BEGIN; SELECT now()')
    await pair.left.sql(`UPDATE t SET note = 'quick', at = clock_timestamp() WHERE id = 2`)
    for (let run = 0; run < 3; run++) await pair.mustRun()
    await slow(`UPDATE t SET note = 'slow', at = now() WHERE id = 1`)
    for (let run = 0; run < 3; run++) await pair.mustRun()
    await slow('COMMIT')
    await pair.mustRun()
    assert.deepEqual((await notes(pair)).slice(0, 3), ['slow', 'quick', 'old'])
  })

  for (const cursor of [null, 'version']) {
    test(`hazard 2: a prepared transaction is waited for (${cursor === null ? 'horizon' : 'cursor field'})`, async () => {
      await using pair = await postgresToSqlite({ cursor })
      const name = `'t${Math.random()}'`
      await pair.left.sql(versioned)
      await pair.mustRun()
      const slow = await pair.left.session()
      await slow(`BEGIN; UPDATE t SET note = 'slow', version = 11 WHERE id = 1; PREPARE TRANSACTION ${name}`)
      await pair.left.sql(`UPDATE t SET note = 'quick', version = 12 WHERE id = 2`)
      for (let run = 0; run < 3; run++) await pair.mustRun()
      await slow(`COMMIT PREPARED ${name}`)
      await pair.mustRun()
      assert.deepEqual((await notes(pair)).slice(0, 3), ['slow', 'quick', 'old'])
    })
  }

  test('hazard 2: the lower bound moves on once nobody can commit below it', async () => {
    await using pair = await postgresToSqlite({ cursor: 'version' })
    await pair.left.sql(versioned)
    // Transactions of other tests on the same server hold it back too, until they end.
    let read = Number.POSITIVE_INFINITY
    for (let run = 0; run < 200 && read > 1; run++) {
      read = (await pair.mustRun()).read
      if (read > 1) await sleep(50)
    }
    assert.equal(read, 1)
  })
})

describe('hazard 3: rows that move', () => {
  test('hazard 3: a copy that goes on later finds rows that moved and changed behind it', async () => {
    await using pair = await postgresToSqlite({ batch: { rows: 500, bytes: 1e9 } })
    // One row a page, so that the copy has more than one range of blocks.
    await pair.left.sql(`CREATE TABLE t (id int PRIMARY KEY, note text, filling text) WITH (fillfactor = 10, autovacuum_enabled = off);
      ALTER TABLE t ALTER COLUMN filling SET STORAGE PLAIN;
      INSERT INTO t SELECT n, 'old', repeat('x', 5000) FROM generate_series(1, 4500) n`)
    pair.onPage = ({ cursor }) => {
      if (/"block":4096/.test(cursor)) pair.interrupt.abort()
    }
    const interrupted = await pair.run()
    assert.equal(interrupted.error?.code, 'INTERRUPTED')
    assert.ok(interrupted.inserted >= 4000 && interrupted.inserted < 4500)

    // Row 4400 moves from what is still to be copied into what has been; row 2 changes there.
    await pair.left.sql('DELETE FROM t WHERE id BETWEEN 100 AND 120')
    await pair.left.sql('ALTER TABLE t RESET (fillfactor)')
    await pair.left.sql('VACUUM (TRUNCATE off, INDEX_CLEANUP on) t')
    await pair.left.sql(`UPDATE t SET note = 'moved' WHERE id = 4400; UPDATE t SET note = 'changed' WHERE id = 2`)
    const [[page] = []] = await pair.left.sql('SELECT (ctid::text::point)[0]::int FROM t WHERE id = 4400')
    assert.ok(Number(page) < 4096, `row 4400 moved to page ${page}`)

    const again = await goOn(pair)
    const found = await again.right.sql('SELECT id, note FROM t WHERE id IN (2, 4400) ORDER BY id')
    assert.deepEqual(found, [
      ['2', 'changed'],
      ['4400', 'moved'],
    ])
    await assertEqual(again)
  })
})

/** The same pair after Ctrl-C: another process, not interrupted. */
async function goOn<P extends Pair>(pair: P): Promise<P> {
  const interrupt = new AbortController()
  Object.assign(pair, { interrupt })
  pair.onPage = () => {}
  await pair.mustRun()
  return pair
}
