import assert from 'node:assert/strict'
import { test } from 'node:test'
import pg from 'pg'
import { createDatabase } from '../../../tools/database.ts'
import { SyncError } from '../../core/error.ts'
import { testContext } from '../../testing/connector-harness.ts'
import { claim, items, openSink, specOf } from '../../testing/connector-target.ts'
import { postgres } from './index.ts'

test('hazard 24: a worker that froze in the middle of its first claim is ended by the one that takes over', async () => {
  await using database = await createDatabase()
  const config = postgres.config.parse({ url: database.url })
  const open = () => postgres.open(config, testContext())
  await using first = await open()
  await using second = await open()
  await using frozen = await openSink(first)
  await using successor = await openSink(second)
  // Makes our tables, for another sync.
  await claim(successor, specOf({ ...items, name: 'others' }, { sync: 'other' }))
  const blocker = new pg.Client({ connectionString: database.url })
  await blocker.connect()
  try {
    // Whoever makes a table stops here, as a frozen worker would.
    await blocker.query('begin; lock table _syncline_collection in exclusive mode')
    const claiming = claim(frozen, specOf(items)).catch((error: unknown) => error)
    const waits = "select 1 from pg_locks where not granted and relation = '_syncline_collection'::regclass"
    while ((await blocker.query(waits)).rowCount === 0);
    const taking = claim(successor, specOf(items)).catch((error: unknown) => error)
    const ended = await Promise.race([claiming, taking.then(() => 'the successor gave up')])
    assert.ok(ended instanceof SyncError && ended.code === 'CONNECTION_LOST', String(ended))
    await blocker.query('rollback')
    const target = await taking
    assert.ok(typeof target === 'object' && target !== null && 'generation' in target, String(target))
    assert.equal(target.generation, 2)
  } finally {
    await blocker.end()
  }
})

test('a claim that fails leaves the run the generation that it held, and one that succeeds raises it', async () => {
  await using database = await createDatabase()
  await using connection = await postgres.open(postgres.config.parse({ url: database.url }), testContext())
  await using sink = await openSink(connection)
  const { generation } = await claim(sink, specOf(items))
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  try {
    await client.query(`
      create function refuse() returns event_trigger language plpgsql as $$ begin raise exception 'not now'; end $$;
      create event trigger refuse on ddl_command_start when tag in ('ALTER TABLE') execute function refuse()`)
    const altered = specOf({ ...items, fields: [...items.fields, { name: 'extra', type: 'text' }] })
    await assert.rejects(claim(sink, altered, generation), /not now/)
    await client.query('drop event trigger refuse')
  } finally {
    await client.end()
  }
  assert.equal((await claim(sink, specOf(items), generation)).generation, generation + 1)
  await assert.rejects(claim(sink, specOf(items), generation), { code: 'LEASE_LOST' })
})
