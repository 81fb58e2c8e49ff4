/** Another key than the target was made with: the source's changed, or the config says another. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { RunRecord } from '../src/core/run.ts'
import { planSync } from '../src/engine/one-way/plan.ts'
import { resetSync } from '../src/engine/runs/run-sync.ts'
import { assertEqual, postgresToPostgres, postgresToSqlite } from './hazards/pair.ts'

const table = 'CREATE TABLE t (id integer PRIMARY KEY, code text NOT NULL UNIQUE, v text)'
const rows = "INSERT INTO t VALUES (1, 'c1', 'v'), (2, 'c2', 'v')"

function assertDrift({ status, error }: RunRecord, from: string, to: string): void {
  assert.deepEqual([status, error?.code], ['held', 'SCHEMA_DRIFT'])
  assert.match(error?.message ?? '', new RegExp(`key changed from ${from} to ${to}`))
  assert.match(error?.hint ?? '', /syncline reset t --drop/)
}

for (const [target, open] of Object.entries({ SQLite: postgresToSqlite, Postgres: postgresToPostgres }))
  describe(`point 35: a key that changes, with ${target} as the target`, () => {
    for (const adopt of [false, true])
      test(`at the source, ${adopt ? 'an adopted table' : 'a table of ours'}: the run is held, and the way out works`, async () => {
        await using pair = await open({ adopt })
        await pair.left.sql(`${table}; ${rows}`)
        if (adopt) await pair.right.sql(table)
        await pair.mustRun()
        await pair.left.sql('ALTER TABLE t DROP CONSTRAINT t_pkey; ALTER TABLE t ADD PRIMARY KEY (code)')
        assertDrift(await pair.run(), 'id', 'code')
        const plan = await planSync(pair.sync, pair.project())
        assert.deepEqual(
          plan.schema.map(({ kind }) => kind),
          ['rekey'],
        )
        assert.equal((await pair.right.sql('SELECT * FROM t')).length, 2)
        await resetSync(pair.sync, pair.project(), { drop: true })
        // The adopted table has the old key, too: people's tables are theirs.
        await pair.left.sql(`UPDATE t SET v = 'new'${adopt ? '' : "; INSERT INTO t VALUES (1, 'c3', 'the id of c1')"}`)
        await pair.mustRun()
        await assertEqual(pair)
      })

    test('in the config', async () => {
      await using pair = await open()
      await pair.left.sql(`${table}; ${rows}`)
      await pair.mustRun()
      assertDrift(await pair.run({ key: ['code'] }), 'id', 'code')
      await pair.mustRun()
      await assertEqual(pair)
    })
  })
