import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { rowsPlace } from '../../src/engine/connections/collected-rows-place.ts'
import { openStoreAt } from '../../src/store/open.ts'
import { testContext } from '../../src/testing/connector-harness.ts'
import { createDatabase, type TestDatabase, temporaryFolder } from '../../tools/database.ts'
import { eventually } from '../service/project.ts'
import { gatheredTests, gathering, type Home } from './gathered-tests.ts'
import { Api, connection, integration, makeEngine } from './world.ts'

async function makeHome(): Promise<Home> {
  const [database, folder] = await Promise.all([createDatabase(), temporaryFolder()])
  return {
    store: database.url,
    folder: folder.path,
    // The lease of a killed process has to run out.
    withinMs: 60_000,
    [Symbol.asyncDispose]: async () => {
      await database[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

gatheredTests('a Postgres store', makeHome)

test('killed with -9 while it writes what it gathered, the next leaves every row there once', async () => {
  await using home = await makeHome()
  const run = gathering(home, 'yield Array.from({ length: 300_000 }, (_, id) => ({ id }))')
  const { child, ended } = run(0, home.withinMs)
  const writing = `select 1 from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
    and state = 'active' and query like '%COPY%"rows\\_c\\_a\\_%FROM STDIN%'`
  await eventually(async () => {
    if ((await query(home.store, writing)).length === 0) return false
    child.kill('SIGKILL')
    return true
  }, 'it to write')
  await assert.rejects(ended)
  const table = `syncline.${(await query(home.store, `select tablename from pg_tables where tablename like 'rows\\_c\\_a\\_%'`))[0]?.tablename}`
  const count = async () =>
    (await query(home.store, `select count(*)::int as n, count(distinct id)::int as ids from ${table}`))[0]
  assert.ok(Number((await count())?.n) < 300_000, 'it was killed before it had written all')
  assert.equal((await run(0, home.withinMs).ended).stdout.trim(), 'true 100')
  assert.deepEqual({ ...(await count()) }, { n: 300_000, ids: 300_000 })
})

async function query(url: string, sql: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

/** The database's URL for a role of its own. */
async function roleOf(database: TestDatabase): Promise<URL> {
  const role = `${database.name}_role`
  await query(
    database.url,
    `create role ${role} login password 'canary'; grant ${role} to current_user;
     grant create, temporary on database ${database.name} to ${role}; revoke create on schema public from public`,
  )
  return Object.assign(new URL(database.url), { username: role, password: 'canary' })
}

test('projects in schemas of one database are kept apart, whatever the search path, by a role that may write nothing else', async () => {
  await using database = await createDatabase()
  await using folder = await temporaryFolder()
  await using api = await new Api().start()
  const url = await roleOf(database)
  const schemas = ['red', 'r'.repeat(63), `${'r'.repeat(62)}d`]
  const texts: string[] = []
  for (const [at, schema] of schemas.entries()) {
    url.searchParams.set('schema', schema)
    // Whatever else the URL asks for.
    url.searchParams.set('options', '-c search_path=public')
    api.rows = [{ id: at, name: schema }]
    const engine = makeEngine(url.href, { folder: folder.path })
    await engine.addIntegration(integration)
    await engine.addConnection(connection(api))
    assert.equal((await engine.executeSync('acme', 'contacts')).success, true)
    await engine.destroy()
  }
  for (const schema of schemas) {
    url.searchParams.set('schema', schema)
    const engine = makeEngine(url.href, { folder: folder.path })
    await engine.addIntegration(integration)
    texts.push(...(await engine.getRows('acme', 'contacts')).rows.map(({ name }) => String(name)))
    await engine.destroy()
  }
  assert.deepEqual(texts, schemas)
  const [left] = await query(database.url, `select count(*)::int as n from pg_tables where schemaname = 'public'`)
  assert.equal(left?.n, 0)
  const files = readdirSync(folder.path, { recursive: true }).filter((name) => String(name).endsWith('.db'))
  assert.deepEqual(files, [])
  await query(database.url, `drop owned by ${url.username}; drop role ${url.username}`)
})

test('names that people give may be long and alike: each has a table of its own', async () => {
  await using database = await createDatabase()
  const store = await openStoreAt(database.url)
  const place = rowsPlace(store, '')
  const names = ['x'.repeat(70), `${'x'.repeat(70)}y`, 'A/b', 'a/b', 'a/b.c', 'a/"b"', 'a_b', 'ä/ö']
  for (const name of names) {
    await using opened = await place.open(name, testContext())
    await using sink = await opened.sink?.([name])
    assert.ok(sink !== undefined)
    const field = { name: 'id', type: 'text', native: '', nullable: false, writable: true } as const
    const schema = { name, system: 'handler', fields: [field], key: ['id'] }
    const spec = { sync: name, project: 'p', collection: name, schema, adopt: false, deletes: 'propagate' } as const
    await sink.claim(spec, [{ kind: 'create', schema }], null)
    const transaction = await sink.begin()
    await transaction.put(name, [[name]], { fresh: true })
    await transaction.flush?.(name)
    await transaction.commit()
  }
  for (const name of names) {
    await using opened = await place.open(name, testContext())
    assert.deepEqual(
      (await opened.discover()).map((schema) => schema.name),
      [name],
    )
    const { rows } = await (await opened.collection(name)).lookup.fetch([[name]])
    assert.deepEqual(rows, [[name]])
  }
  await store[Symbol.asyncDispose]()
})

test('a table that somebody dropped, and those of a schema that got another name, are gathered anew', async () => {
  await using database = await createDatabase()
  await using folder = await temporaryFolder()
  await using api = await new Api().start()
  const gather = async (schema: string) => {
    const engine = makeEngine(`${database.url}?schema=${schema}`, { folder: folder.path })
    try {
      await engine.addIntegration(integration)
      if ((await engine.getConnection('acme')) === undefined) await engine.addConnection(connection(api))
      const { success, error } = await engine.executeSync('acme', 'contacts')
      assert.ok(success, error)
      return (await engine.getRows('acme', 'contacts')).rows.length
    } finally {
      await engine.destroy()
    }
  }
  assert.equal(await gather('one'), 2)
  const [table] = await query(database.url, `select tablename from pg_tables where tablename like 'rows\\_%'`)
  await query(database.url, `drop table one."${table?.tablename}"`)
  assert.equal(await gather('one'), 2)
  await query(database.url, 'alter schema one rename to two')
  assert.equal(await gather('two'), 2)
})

test('hazard 26: what can’t reach the rows says so without the password of the store', async () => {
  const url = 'postgres://somebody:canary@127.0.0.1:1/state'
  const place = rowsPlace({ rowsDatabase: () => ({ url, schema: 'syncline' }) }, '')
  const error = await place.open('acme/contacts', testContext()).then(
    () => null,
    (failed: unknown) => failed,
  )
  assert.ok(error instanceof Error && /127\.0\.0\.1:1\/state/.test(error.message))
  for (let part: unknown = error; part instanceof Error; part = part.cause)
    assert.ok(!`${part.message}${part.stack}${JSON.stringify(part)}`.includes('canary'))
})

test('those who read exports slowly leave the store’s server its connections, and pages are read meanwhile', async () => {
  await using database = await createDatabase()
  await using folder = await temporaryFolder()
  await using api = await new Api().start()
  const engine = makeEngine(database.url, { folder: folder.path })
  try {
    await engine.addIntegration(integration)
    await engine.addConnection(connection(api))
    assert.equal((await engine.executeSync('acme', 'contacts')).success, true)
    let [open, most] = [0, 0]
    const pages: number[] = []
    const read = async () => {
      const pieces = engine.exportRows('acme', 'contacts', 'jsonl')[Symbol.asyncIterator]()
      await pieces.next()
      most = Math.max(most, ++open)
      pages.push((await engine.getRows('acme', 'contacts', { limit: 1 })).rows.length)
      await sleep(200)
      open--
      await pieces.return?.()
    }
    await Promise.all(Array.from({ length: 12 }, read))
    assert.deepEqual([most, pages], [4, Array(12).fill(1)])
  } finally {
    await engine.destroy()
  }
})
