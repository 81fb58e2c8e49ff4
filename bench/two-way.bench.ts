/**
 * A two-way sync of Postgres ⇄ SQLite on one million paired rows of ten mixed columns, against one-way runs over the same
 * table in this one run. `npm run bench -- two-way`; BENCH_ROWS changes the size.
 */
import { mkdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'
import { temporaryFolder } from '../tools/database.ts'
import { startPostgres } from '../tools/postgres.ts'
import { createItems } from './shared/dataset.ts'
import { type Cost, cost, type Line, median, printTable, syncline } from './shared/measure.ts'

const rows = Number(process.env.BENCH_ROWS ?? 1_000_000)
const REPEATS = 3

await using server = await startPostgres({ provider: 'debian', durable: true })
await using folder = await temporaryFolder()
const url = server.url.replace(/\/postgres$/, '/bench')
await sql(server.url, 'CREATE DATABASE bench')
console.log(`PostgreSQL ${server.version}, ${rows.toLocaleString('en')} rows`)
await sql(url, createItems(rows))
const oneWay = await project('one-way', "copy: { from: 'pg.public.items', to: 'file.items' }")
const twoWay = await project(
  'two-way',
  "items: { between: ['pg.public.items', 'file.items'], match: ['ref'], onConflict: 'left', bases: 'hash' }",
)

const first = await run(oneWay, 'copy')
const quiet: Cost[] = []
for (let i = 0; i < REPEATS; i++) quiet.push(await run(oneWay, 'copy'))

const lines: Line[] = []
const pairing = await run(twoWay, 'items')
lines.push({
  work: 'first pairing of two full sides',
  ours: pairing,
  against: 'one-way first run',
  theirs: first,
  atMost: 6,
})
const again: Cost[] = []
for (let i = 0; i < REPEATS; i++) again.push(await run(twoWay, 'items'))
lines.push({
  work: 'nothing changed',
  ours: median(again),
  against: 'one-way run, nothing changed',
  theirs: median(quiet),
  atMost: 1.5,
})
await edit()
const changed = await run(twoWay, 'items')
const expected = Math.round(rows * 0.01) * 2
console.log(`  ${expected} edits, ${JSON.stringify(finished(changed))}`)
lines.push({
  work: '1 % changed on each side, 0.1 % conflicts',
  ours: changed,
  against: 'first pairing',
  theirs: pairing,
  atMost: 0.5,
})
const proof = await cost(`${syncline.join(' ')} verify items --json`, twoWay)
lines.push({ work: 'verify', ours: proof, against: 'first pairing', theirs: pairing, atMost: null })
console.log()
printTable(lines)
console.log(`bases: ${(await baseBytes()).toFixed(0)} bytes per row in the store (aim: at most 250 with hashes)`)

/** 1 % of the rows on each side, of which a tenth are the same rows in the same field. */
async function edit(): Promise<void> {
  await sql(url, "UPDATE items SET title = title || ' left' WHERE id % 100 = 7")
  using file = new DatabaseSync(join(folder.path, 'file.db'))
  // Ten of a thousand: nine that only this side changes, and one that both do.
  file.exec(
    `UPDATE items SET title = title || ' right' WHERE id % 1000 IN (107, 18, 118, 218, 318, 418, 518, 618, 718, 818)`,
  )
}

async function baseBytes(): Promise<number> {
  const { size } = await stat(join(twoWay, '.syncline', 'state.db'))
  return size / rows
}

async function project(name: string, sync: string): Promise<string> {
  const path = join(folder.path, name)
  await mkdir(path)
  await writeFile(join(path, '.env'), `BENCH_URL=${url}\n`)
  await writeFile(
    join(path, 'syncline.config.ts'),
    `import { defineConfig, env } from 'syncline'
import { postgres } from 'syncline/postgres'
import { sqlite } from 'syncline/sqlite'
export default defineConfig({
  connections: { pg: postgres({ url: env('BENCH_URL') }), file: sqlite({ file: '../file.db', track: 'triggers' }) },
  syncs: { ${sync} },
})`,
  )
  return path
}

async function run(cwd: string, sync: string): Promise<Cost> {
  const result = await cost(`${syncline.join(' ')} run ${sync} --json`, cwd)
  console.log(`  ${sync}: ${result.seconds} s, ${JSON.stringify(finished(result))}`)
  return result
}

function finished({ stdout }: Cost): Record<string, unknown> {
  const { durationMs, inserted, updated, deleted, conflicts } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}')
  return { durationMs, inserted, updated, deleted, conflicts }
}

async function sql(to: string, text: string): Promise<void> {
  const client = new pg.Client(to)
  await client.connect()
  for (const statement of text.split(';')) if (statement.trim() !== '') await client.query(statement)
  await client.end()
}
