/** What is advised where a column's type changed so that the target can't follow by itself: it works as it stands. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { FieldRule } from '../src/core/sync.ts'
import { assertEqual, type Pair, postgresToPostgres, postgresToSqlite } from './hazards/pair.ts'

const changes: readonly (readonly [was: string, values: readonly string[], now: string, using: string])[] = [
  ['text', ["'1'", "'22'"], 'int', 'x::int'],
  ['int', ['1', '22'], 'text', 'x::text'],
  ['int', ['1', '22'], 'varchar(1)', 'left(x::text, 1)'],
  ['date', ["'2024-01-02'", "'2025-01-02'"], 'text', 'x::text'],
  ['timestamp', ["'2024-01-02 03:04:05'", 'null'], 'timestamptz', 'x'],
  ['numeric(8,2)', ['1.50', '2'], 'float8', 'x'],
  ['numeric(8,2)', ['1.50', '2'], 'text', 'x::text'],
  ['int', ['1', '0'], 'boolean', 'x::boolean'],
]

/** The `fields` that a hint has, as a person would copy it into the config. */
function fieldsIn(hint: string): Map<string, FieldRule> {
  const [, code] = /fields: (\{ .* \})[);]/.exec(hint) ?? []
  assert.ok(code !== undefined, hint)
  const written: Record<string, string | { from: string; type: 'text' }> = new Function(`return ${code}`)()
  return new Map(
    Object.entries(written).map(([name, rule]): [string, FieldRule] => [
      name,
      typeof rule === 'string' ? { kind: 'from', from: rule } : { kind: 'from', ...rule },
    ]),
  )
}

async function drifted(pair: Pair, [was, values, now, using]: (typeof changes)[number]): Promise<string> {
  await pair.left.sql(`CREATE TABLE t (id int PRIMARY KEY, x ${was}, "other one" ${was});
    INSERT INTO t VALUES (1, ${values[0]}, ${values[0]}), (2, ${values[1]}, ${values[1]})`)
  await pair.mustRun()
  await pair.left.sql(`ALTER TABLE t ALTER x TYPE ${now} USING ${using},
    ALTER "other one" TYPE ${now} USING ${using.replaceAll('x', '"other one"').replace('te"other one"t', 'text')}`)
  const { status, error } = await pair.run()
  assert.deepEqual([status, error?.code], ['held', 'SCHEMA_DRIFT'])
  return error?.hint ?? ''
}

describe('the hint of SCHEMA_DRIFT', () => {
  for (const { target, open } of [
    { target: 'Postgres', open: postgresToPostgres },
    { target: 'SQLite', open: postgresToSqlite },
  ])
    for (const change of changes)
      test(`to keep both as text works where ${change[0]} became ${change[2]}, into ${target}`, async () => {
        await using pair = await open()
        const fields = fieldsIn(await drifted(pair, change))
        pair.sync = { ...pair.sync, fields }
        await pair.mustRun()
        await assertEqual(pair)
        await pair.left.sql('DELETE FROM t WHERE id = 1; INSERT INTO t SELECT 3, x, "other one" FROM t')
        await pair.mustRun()
        await assertEqual(pair)
      })

  test('of an adopted table, to say the type that it has, works', async () => {
    await using pair = await postgresToPostgres({ adopt: true })
    await pair.right.sql('CREATE TABLE t (id int PRIMARY KEY, x int, "other one" int)')
    pair.sync = { ...pair.sync, fields: fieldsIn(await drifted(pair, ['int', ['1', '22'], 'text', 'x::text'])) }
    await pair.mustRun()
    await assertEqual(pair)
  })

  test('of a pattern, or of a key, names what is left: to make the target anew', async () => {
    await using pair = await postgresToPostgres({ id: 'everything/t' })
    const hint = await drifted(pair, ['text', ["'1'", "'22'"], 'int', 'x::int'])
    assert.match(hint, /^Nothing was changed\. Make the target anew.*syncline reset everything\/t --drop/)
    assert.doesNotMatch(hint, /fields/)
  })
})
