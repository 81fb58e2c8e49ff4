/**
 * One-way syncs against what people use by hand, on one million rows of ten mixed columns. Both sides of each line work on
 * the same data in this one run, alternating; medians of three. `npm run bench -- one-way`; BENCH_ROWS and BENCH_LARGE_ROWS
 * (0 leaves the memory comparison out) change the size. Without `pgcopydb` its line is left out.
 */
import { spawnSync } from 'node:child_process'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { temporaryFolder } from '../tools/database.ts'
import { startPostgres } from '../tools/postgres.ts'
import { createItems } from './shared/dataset.ts'
import { type Cost, cost, type Line, median, printTable, syncline } from './shared/measure.ts'

const rows = Number(process.env.BENCH_ROWS ?? 1_000_000)
const largeRows = Number(process.env.BENCH_LARGE_ROWS ?? 5_000_000)
const REPEATS = 3

await using server = await startPostgres({ provider: 'debian', durable: true })
await using folder = await temporaryFolder()
const url = server.url.replace(/\/postgres$/, '/bench')
const psql = `psql -X -q -v ON_ERROR_STOP=1 ${url}`
await sql(server.url, 'CREATE DATABASE bench')
console.log(`PostgreSQL ${server.version}, ${rows.toLocaleString('en')} rows`)
await sql(url, createItems(rows))
await sql(url, 'CREATE TABLE empty (id bigint PRIMARY KEY)')
await sql(url, 'CREATE TABLE by_psql (LIKE items INCLUDING DEFAULTS); ALTER TABLE by_psql ADD PRIMARY KEY (id)')
await writeFile(join(folder.path, '.env'), `BENCH_URL=${url}\n`)
await writeFile(
  join(folder.path, 'syncline.config.ts'),
  `import { defineConfig, env } from 'syncline'
import { postgres } from 'syncline/postgres'
import { sqlite } from 'syncline/sqlite'
export default defineConfig({
  connections: { pg: postgres({ url: env('BENCH_URL') }), file: sqlite({ file: './file.db' }), copy: sqlite({ file: './copy.db' }) },
  syncs: {
    empty: { from: 'pg.public.empty', to: 'file.empty' },
    pg_sqlite: { from: 'pg.public.items', to: 'file.items' },
    pg_pg: { from: 'pg.public.items', to: 'pg.mirror.items' },
    sqlite_sqlite: { from: 'file.items', to: 'copy.items' },
    sqlite_pg: { from: 'file.items', to: 'pg.back.items' },
  },
})`,
)

const lines: Line[] = []
const first = await postgresToSqlite()
await followingRuns(first)
const copied = await postgresToPostgres()
await clone(copied)
await fromSqlite()
await memory()
console.log()
printTable(lines)

async function postgresToSqlite(): Promise<Cost> {
  const ours: Cost[] = []
  const theirs: Cost[] = []
  const table = 'create table items(id,n,title,price,note,active,doc,created,updated,ref)'
  for (let i = 0; i < REPEATS; i++) {
    await rm(join(folder.path, 'psql.db'), { force: true })
    theirs.push(
      await cost(
        `sqlite3 psql.db '${table}' && ${psql} -c 'copy items to stdout csv' | sqlite3 psql.db '.mode csv' '.import /dev/stdin items'`,
        folder.path,
      ),
    )
    await reset('pg_sqlite')
    ours.push(await run('pg_sqlite'))
  }
  await verified('pg_sqlite')
  lines.push({
    work: 'Postgres → SQLite, first run',
    ours: median(ours),
    against: 'psql COPY csv | sqlite3 .import',
    theirs: median(theirs),
    atMost: 0.85,
  })
  return median(ours)
}

async function followingRuns(first: Cost): Promise<void> {
  const counted = await countSeconds()
  await run('empty')
  const quiet: number[] = []
  // Start-up is what the same command costs on a table without rows.
  for (let i = 0; i < 7; i++) quiet.push((await run('pg_sqlite')).seconds - (await run('empty')).seconds)
  lines.push({
    work: 'second run, nothing changed (above a run on an empty table)',
    ours: middle(quiet),
    against: 'select count(*)',
    theirs: counted,
    atMost: 4,
  })
  const changes = [
    ['1 % updated (the newest rows)', 0.1, `UPDATE items SET n = n + 1 WHERE id > ${rows * 0.99}`],
    ['1 % updated (one row in every hundred)', 0.1, 'UPDATE items SET n = n + 1 WHERE id % 100 = 7'],
    [
      'the same, scattered, plus 0.1 % deleted',
      0.3,
      'UPDATE items SET n = n + 1 WHERE id % 100 = 8; DELETE FROM items WHERE id % 1000 = 500',
    ],
  ] as const
  for (const [work, atMost, change] of changes) {
    await sql(url, change)
    const ours = await run('pg_sqlite')
    lines.push({ work: `second run, ${work}`, ours, against: 'first run', theirs: first, atMost })
    // What a service pays, whose process is there already.
    const seconds = (cost: Cost) => finished(cost).durationMs / 1000
    lines.push({
      work: '  of it, the run itself, without the start of a process',
      ours: seconds(ours),
      against: 'first run itself',
      theirs: seconds(first),
      atMost: null,
    })
  }
  const verifies: Cost[] = []
  for (let i = 0; i < REPEATS; i++) verifies.push(await verified('pg_sqlite'))
  lines.push({ work: 'verify', ours: median(verifies), against: 'first run', theirs: first, atMost: 1 })
}

async function postgresToPostgres(): Promise<Cost> {
  const ours: Cost[] = []
  const theirs: Cost[] = []
  for (let i = 0; i < REPEATS; i++) {
    await sql(url, 'TRUNCATE by_psql')
    theirs.push(await cost(`${psql} -c 'copy items to stdout' | ${psql} -c 'copy by_psql from stdin'`, folder.path))
    await reset('pg_pg')
    ours.push(await run('pg_pg'))
  }
  await verified('pg_pg')
  lines.push({
    work: 'Postgres → Postgres, first run',
    ours: median(ours),
    against: 'psql COPY | psql COPY, same key',
    theirs: median(theirs),
    atMost: 1.15,
  })
  return median(ours)
}

/** The same by a tool made for it: a copy of the table into another database, its index and statistics included. */
async function clone(ours: Cost): Promise<void> {
  if (spawnSync('pgcopydb', ['--version']).error !== undefined) {
    console.log('  pgcopydb is not installed (Debian: apt-get install pgcopydb): its line is left out')
    return
  }
  await writeFile(join(folder.path, 'only.ini'), '[include-only-table]\npublic.items\n')
  const theirs: Cost[] = []
  for (let i = 0; i < REPEATS; i++) {
    await sql(server.url, 'DROP DATABASE IF EXISTS clone; CREATE DATABASE clone')
    const target = server.url.replace(/\/postgres$/, '/clone')
    const options = `--source ${url} --target ${target} --filters only.ini --dir ./pgcopydb-${i} --table-jobs 2 --index-jobs 2`
    theirs.push(await cost(`pgcopydb clone ${options}`, folder.path))
  }
  const against = 'pgcopydb clone, into another database'
  lines.push({ work: 'Postgres → Postgres, first run', ours, against, theirs: median(theirs), atMost: null })
}

async function fromSqlite(): Promise<void> {
  const copies: Cost[] = []
  const dumps: Cost[] = []
  const loads: Cost[] = []
  const csv: Cost[] = []
  for (let i = 0; i < REPEATS; i++) {
    await rm(join(folder.path, 'dump.db'), { force: true })
    dumps.push(await cost(`sqlite3 file.db '.dump items' | sqlite3 dump.db`, folder.path))
    await reset('sqlite_sqlite')
    copies.push(await run('sqlite_sqlite'))
    await sql(url, 'TRUNCATE by_psql')
    csv.push(
      await cost(
        `sqlite3 file.db '.mode csv' 'select * from items' | ${psql} -c 'copy by_psql from stdin csv'`,
        folder.path,
      ),
    )
    await reset('sqlite_pg')
    loads.push(await run('sqlite_pg'))
  }
  await verified('sqlite_sqlite')
  await verified('sqlite_pg')
  lines.push({
    work: 'SQLite → SQLite, first run',
    ours: median(copies),
    against: 'sqlite3 .dump | sqlite3',
    theirs: median(dumps),
    atMost: 0.6,
  })
  lines.push({
    work: 'SQLite → Postgres, first run',
    ours: median(loads),
    against: '.mode csv | psql COPY',
    theirs: median(csv),
    atMost: 1.2,
  })
}

/** Peak memory of a first run and a verify at two sizes: it must not grow with the table. */
async function memory(): Promise<void> {
  if (largeRows === 0) return
  await sql(url, createItems(largeRows))
  await reset('pg_sqlite')
  lines.push({
    work: `Postgres → SQLite, ${largeRows.toLocaleString('en')} rows`,
    ours: await run('pg_sqlite'),
    against: 'memory: at most 200 MB, flat',
    theirs: null,
    atMost: null,
  })
  lines.push({
    work: `verify, ${largeRows.toLocaleString('en')} rows`,
    ours: await verified('pg_sqlite'),
    against: '',
    theirs: null,
    atMost: null,
  })
}

async function run(sync: string): Promise<Cost> {
  const result = await cost(`${syncline.join(' ')} run ${sync} --json`, folder.path)
  console.log(`  ${sync}: ${result.seconds} s, ${JSON.stringify(finished(result))}`)
  return result
}

/** Value-level proof; throws when the sides differ. */
async function verified(sync: string): Promise<Cost> {
  return await cost(`${syncline.join(' ')} verify ${sync} --json`, folder.path)
}

async function reset(sync: string): Promise<void> {
  await cost(`${syncline.join(' ')} reset ${sync} --drop --json`, folder.path)
  if (sync === 'pg_sqlite')
    for (const suffix of ['', '-wal', '-shm']) await rm(join(folder.path, `file.db${suffix}`), { force: true })
  if (sync === 'sqlite_sqlite')
    for (const suffix of ['', '-wal', '-shm']) await rm(join(folder.path, `copy.db${suffix}`), { force: true })
}

function finished({ stdout }: Cost): { durationMs: number; inserted: number; updated: number; deleted: number } {
  const { durationMs, inserted, updated, deleted } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}')
  return { durationMs, inserted, updated, deleted }
}

async function countSeconds(): Promise<number> {
  const client = new pg.Client(url)
  await client.connect()
  const times: number[] = []
  for (let i = 0; i < 9; i++) {
    const start = performance.now()
    await client.query('SELECT count(*) FROM items')
    times.push((performance.now() - start) / 1000)
  }
  await client.end()
  return middle(times)
}

function middle(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0
}

async function sql(to: string, text: string): Promise<void> {
  const client = new pg.Client(to)
  await client.connect()
  for (const statement of text.split(';')) if (statement.trim() !== '') await client.query(statement)
  await client.end()
}
