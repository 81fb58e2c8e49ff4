import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createDatabase } from '../../../tools/database.ts'
import { type Client, connect } from './client.ts'
import { frameOf, linesOf } from './frames.ts'
import { postgres } from './index.ts'

async function open(): Promise<{ client: Client } & AsyncDisposable> {
  const database = await createDatabase()
  const client = await connect(postgres.config.parse({ url: database.url }))
  return {
    client,
    [Symbol.asyncDispose]: async () => {
      await client[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
    },
  }
}

async function linesFrom(client: Client, query: string, pauseMs?: number): Promise<string[]> {
  const lines: string[] = []
  for await (const frames of client.copyOut(`COPY (${query}) TO STDOUT`)) {
    const found = linesOf(frames)
    assert.equal(found.length, frames.rows)
    lines.push(...found)
    if (pauseMs !== undefined) await sleep(pauseMs)
  }
  return lines
}

const numbers = (count: number) => Array.from({ length: count }, (_, at) => `${at + 1}\n`)

describe('COPY out', () => {
  test('gives every row in order, also to a reader slower than the server', async () => {
    await using session = await open()
    const wide = `SELECT i || repeat('x', 5000) FROM generate_series(1, 2000) AS i`
    const lines = await linesFrom(session.client, wide, 5)
    assert.deepEqual(
      lines.map((line) => line.replace(/x+/, '')),
      numbers(2000),
    )
    assert.deepEqual(await linesFrom(session.client, 'SELECT 1 WHERE false'), [])
    assert.deepEqual(await session.client.query('SELECT 1'), [['1']])
  })

  test('leaves what the server says in between to the driver', async () => {
    await using session = await open()
    await session.client.begin('write')
    await session.client.query(`SET LOCAL client_min_messages = notice; CREATE FUNCTION loud(i int) RETURNS int LANGUAGE plpgsql
      AS $$ BEGIN RAISE NOTICE 'row %', i; RETURN i; END $$`)
    assert.deepEqual(await linesFrom(session.client, 'SELECT loud(i) FROM generate_series(1, 100) AS i'), numbers(100))
    assert.deepEqual(await session.client.query('SELECT 1'), [['1']])
  })

  test('that fails in the middle, or is left early, leaves a session that works', async () => {
    await using session = await open()
    const { client } = session
    await assert.rejects(
      linesFrom(client, 'SELECT 1 / (5000 - i) FROM generate_series(1, 9999) AS i'),
      /division by zero/,
    )
    await assert.rejects(linesFrom(client, 'SELECT nonsense'), /nonsense/)
    for await (const _ of client.copyOut(`COPY (SELECT repeat('x', 1000) FROM generate_series(1, 9999)) TO STDOUT`))
      break
    assert.deepEqual(await linesFrom(client, 'SELECT i FROM generate_series(1, 9) AS i'), numbers(9))
  })

  test('rejects when the session is ended', async () => {
    await using session = await open()
    await using other = await open()
    const [pid] = await session.client.query('SELECT pg_backend_pid()')
    const reading = async () => {
      for await (const _ of session.client.copyOut(
        `COPY (SELECT repeat('x', 1000) FROM generate_series(1, 1000000)) TO STDOUT`,
      ))
        await other.client.query(`SELECT pg_terminate_backend(${pid?.[0]})`)
    }
    await assert.rejects(reading(), { code: 'CONNECTION_LOST' })
  })
})

describe('COPY in', () => {
  test('takes frames, of which each may hold several lines, and counts the rows', async () => {
    await using session = await open()
    const { client } = session
    await client.begin('write', 'CREATE TABLE t (i int PRIMARY KEY)')
    const copy = client.copyIn('COPY t FROM STDIN')
    for (let start = 0; start < 100_000; start += 1000)
      await copy.write(frameOf(Array.from({ length: 1000 }, (_, at) => `${start + at}\n`).join('')))
    assert.equal(await copy.end(), 100_000)
    assert.deepEqual(await client.query('SELECT count(*), sum(i) FROM t'), [['100000', '4999950000']])
  })

  test('that is refused or given up leaves a session that works', async () => {
    await using session = await open()
    const { client } = session
    await client.begin('write', 'CREATE TABLE t (i int PRIMARY KEY)')
    const backTo = () => client.query('ROLLBACK TO SAVEPOINT here')
    const refused = client.copyIn('SAVEPOINT here; COPY t FROM STDIN')
    await refused.write(frameOf('1\n1\n'))
    await assert.rejects(refused.end(), /duplicate key/)
    await backTo()
    const given = client.copyIn('COPY t FROM STDIN')
    await given.write(frameOf('2\n'))
    await given.abandon()
    await backTo()
    const wrong = client.copyIn('COPY nothing FROM STDIN')
    await assert.rejects(wrong.write(frameOf('3\n')), { code: 'SCHEMA_CHANGED' })
    await backTo()
    assert.deepEqual(await client.query('SELECT count(*) FROM t'), [['0']])
  })
})
