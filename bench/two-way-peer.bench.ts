/**
 * Two-way sync of two embedded databases, against PouchDB replicating two of its own: the same rows, the same edits, each step in
 * a process of its own, equality checked on both. PouchDB is installed into a temporary folder; without the registry this
 * bench skips. `npm run bench -- two-way-peer`; BENCH_PEER_ROWS changes the size.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { temporaryFolder } from '../tools/database.ts'
import { type Cost, cost, type Line, printTable, syncline } from './shared/measure.ts'

const rows = Number(process.env.BENCH_PEER_ROWS ?? 100_000)
await using folder = await temporaryFolder()
const ours = join(folder.path, 'syncline')
const theirs = join(folder.path, 'pouchdb')
await mkdir(ours)
await mkdir(theirs)

if (await installed()) await compare()
else console.log('skipped: PouchDB could not be installed from the npm registry')

async function compare(): Promise<void> {
  await prepareOurs()
  await prepareTheirs()
  const lines: Line[] = []
  const step = async (work: string, edit: string | null) => {
    if (edit !== null) {
      editOurs()
      await pouch(edit)
    }
    lines.push({ work, ours: await run(), against: 'PouchDB.sync', theirs: await pouch('sync'), atMost: null })
  }
  await step(`first sync of ${rows.toLocaleString('en')} rows into an empty database`, null)
  await step('nothing changed', null)
  await step('1 % changed on each side, other rows', 'edit')
  await cost(`${syncline.join(' ')} verify --json`, ours)
  await pouch('check')
  console.log()
  printTable(lines)
}

async function installed(): Promise<boolean> {
  await writeFile(join(theirs, 'package.json'), '{"private":true}')
  try {
    await cost('npm install --ignore-scripts --no-audit --no-fund pouchdb@9', theirs)
    return true
  } catch {
    return false
  }
}

async function prepareOurs(): Promise<void> {
  for (const file of ['a.db', 'b.db']) {
    using database = new DatabaseSync(join(ours, file))
    database.exec('create table items (id integer primary key, title text, n integer, note text)')
    if (file === 'b.db') continue
    const insert = database.prepare('insert into items values (?, ?, ?, ?)')
    database.exec('begin')
    for (let id = 1; id <= rows; id++) insert.run(id, `item ${id}`, id, `note ${id}`)
    database.exec('commit')
  }
  await writeFile(
    join(ours, 'syncline.config.ts'),
    `import { defineConfig } from 'syncline'
import { sqlite } from 'syncline/sqlite'
export default defineConfig({
  connections: { a: sqlite({ file: './a.db', track: 'triggers' }), b: sqlite({ file: './b.db', track: 'triggers' }) },
  syncs: { items: { between: ['a.items', 'b.items'], onConflict: 'left', bases: 'hash' } },
})`,
  )
}

/** 1 % on each side. */
function editOurs(): void {
  for (const [file, rest] of [
    ['a.db', 7],
    ['b.db', 8],
  ] as const) {
    using database = new DatabaseSync(join(ours, file))
    database.exec(`update items set title = title || ' changed' where id % 100 = ${rest}`)
  }
}

async function prepareTheirs(): Promise<void> {
  await writeFile(
    join(theirs, 'step.cjs'),
    `const PouchDB = require('pouchdb')
const [a, b] = ['a', 'b'].map((name) => new PouchDB(name, { auto_compaction: true }))
const rows = ${rows}
async function fill() {
  for (let start = 1; start <= rows; start += 10000)
    await a.bulkDocs(Array.from({ length: Math.min(10000, rows - start + 1) }, (_, at) => {
      const id = start + at
      return { _id: String(id), title: 'item ' + id, n: id, note: 'note ' + id }
    }))
}
async function edit() {
  for (const [database, rest] of [[a, 7], [b, 8]]) {
    const keys = Array.from({ length: rows }, (_, at) => at + 1).filter((id) => id % 100 === rest).map(String)
    const { rows: found } = await database.allDocs({ keys, include_docs: true })
    await database.bulkDocs(found.map(({ doc }) => ({ ...doc, title: doc.title + ' changed' })))
  }
}
async function check() {
  const [left, right] = await Promise.all([a, b].map((database) => database.allDocs({ include_docs: true })))
  if (JSON.stringify(left.rows) !== JSON.stringify(right.rows) || left.rows.length !== rows) throw new Error('not equal')
}
const steps = { fill, edit, check, sync: () => PouchDB.sync(a, b, { batch_size: 1000 }) }
steps[process.argv[2]]().then(() => process.exit(0), (error) => { console.error(error); process.exit(1) })
`,
  )
  await pouch('fill')
}

async function pouch(step: string): Promise<Cost> {
  return await cost(`${syncline[0]} step.cjs ${step}`, theirs)
}

async function run(): Promise<Cost> {
  return await cost(`${syncline.join(' ')} run --json`, ours)
}
