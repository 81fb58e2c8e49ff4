import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { temporaryFolder } from '../tools/database.ts'

const root = join(import.meta.dirname, '..')
const WANTED = [
  /^package\/package\.json$/,
  /^package\/(README|CHANGELOG)\.md$/,
  /^package\/LICENSE$/,
  /^package\/bin\/syncline\.js$/,
  /^package\/dist\/(?!.*\.test\.)/,
  /^package\/docs\/(guide\/|connectors\/|benchmarks\.md$)/,
]
const OLDEST_NODE = '22.18.0'
const CONFIG = `import { defineConfig } from 'syncline'
import { sqlite } from 'syncline/sqlite'
export default defineConfig({
  connections: { from: sqlite({ file: './source.db' }), to: sqlite({ file: './target.db' }) },
  syncs: { items: { from: 'from.item', to: 'to' } },
})
`
const INDISPENSABLE = ['package.json', 'LICENSE', 'CHANGELOG.md', 'bin/syncline.js', 'dist/index.js', 'dist/index.d.ts']

/** Runs a program as a user would: no settings of the npm that runs these tests, and the Node that runs them first. */
async function run(folder: string, program: string, ...args: readonly string[]): Promise<string> {
  // Whom the machine trusts stays: without it no registry behind a proxy can be reached.
  const foreign = /^(npm_|NODE_(?!EXTRA_CA_CERTS$)|INIT_CWD$|SYNCLINE_)/i
  const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)))
  environment.PATH = `${dirname(process.execPath)}${delimiter}${process.env.PATH ?? ''}`
  const { stdout } = await promisify(execFile)(program, args, { cwd: folder, env: environment, maxBuffer: 2 ** 26 })
  return stdout
}

/** What the service does with files that callers name. */
const APART = `
  import { sqlite } from 'syncline/sqlite'
  const context = { signal: new AbortController().signal, clock: null, random: Math.random, log: console.error }
  const limits = { stepMs: 60000, wholeMs: 60000, memoryMb: 512 }
  const connection = await sqlite.openApart({ file: './source.db', track: 'none', busyTimeoutMs: 5000 }, context, limits)
  console.log((await connection.discover()).map(({ name }) => name).join())
  await connection[Symbol.asyncDispose]()`

/** What README says, in a folder of its own that has the packages of `project`: its files are written and its commands run. */
async function runAsWritten(readme: string, project: string, node: string): Promise<void> {
  const files = [...readme.matchAll(/```(?:js|ts)\n\/\/ (\S+)\n([\s\S]*?)```/g)]
  assert.deepEqual(
    files.map(([, name]) => name),
    ['shop.mjs', 'syncline.config.ts'],
  )
  await using folder = await temporaryFolder()
  await symlink(join(project, 'node_modules'), join(folder.path, 'node_modules'))
  // As `npm init` makes it.
  await writeFile(join(folder.path, 'package.json'), '{ "name": "mine", "version": "1.0.0", "type": "commonjs" }')
  for (const [, name = '', text = ''] of files) await writeFile(join(folder.path, name), text)
  await run(folder.path, node, 'shop.mjs')
  const commands = [...readme.matchAll(/^npx syncline (plan|run|verify)\b/gm)].map(([, command]) => command ?? '')
  const told: Record<string, string> = {}
  for (const command of commands)
    told[command] = await run(folder.path, node, 'node_modules/syncline/bin/syncline.js', command)
  assert.match(told.plan ?? '', /paid_orders {2}insert 2/)
  assert.match(told.run ?? '', /2 syncs: 2 succeeded/)
  assert.match(told.verify ?? '', /✓ paid_orders {2}equal, 2 rows\n✓ contacts {2}equal, 2 rows/)
}

test('the packed package holds what a user needs and nothing else, installs, and works', async (t) => {
  await using packed = await temporaryFolder()
  await using project = await temporaryFolder()
  await run(root, 'npm', 'pack', '--pack-destination', packed.path)
  const archives = await readdir(packed.path)
  assert.equal(archives.length, 1)
  const archive = join(packed.path, archives[0]!)

  await t.test('its files are those that a user needs', async () => {
    const files = (await run(root, 'tar', '-tzf', archive)).trim().split('\n')
    assert.deepEqual(
      files.filter((file) => !WANTED.some((pattern) => pattern.test(file))),
      [],
    )
    for (const file of INDISPENSABLE) assert.ok(files.includes(`package/${file}`), `${file} is missing`)
  })

  await t.test('it installs into an empty folder', async () => {
    await writeFile(join(project.path, 'package.json'), '{ "private": true }')
    await run(project.path, 'npm', 'i', '--prefer-offline', '--no-audit', '--no-fund', archive)
  })

  await t.test('its command runs', async () => {
    assert.match(await run(project.path, 'npx', '--no', 'syncline', '--help'), /usage:/i)
  })

  await t.test('the README’s links lead somewhere, and its config runs as it stands', async () => {
    const home = join(project.path, 'node_modules', 'syncline')
    const readme = await readFile(join(home, 'README.md'), 'utf8')
    const links = [...readme.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, path]) => path ?? '')
    assert.ok(links.length > 5)
    assert.deepEqual(
      links.filter((path) => !existsSync(join(home, path))),
      [],
    )
    await runAsWritten(readme, project.path, process.execPath)
  })

  await t.test('its modules can be imported', async () => {
    const script = `
      import * as syncline from 'syncline'
      import * as postgres from 'syncline/postgres'
      import * as sqlite from 'syncline/sqlite'
      console.log([syncline, postgres, sqlite].every((module) => Object.keys(module).length > 0))`
    await writeFile(join(project.path, 'use.mjs'), script)
    assert.equal((await run(project.path, process.execPath, 'use.mjs')).trim(), 'true')
  })

  await t.test('it syncs and verifies on the oldest Node it promises', async () => {
    await run(project.path, 'npm', 'i', '--prefer-offline', '--no-audit', '--no-fund', `node@${OLDEST_NODE}`)
    const node = join(project.path, 'node_modules', 'node', 'bin', 'node')
    assert.equal((await run(project.path, node, '--version')).trim(), `v${OLDEST_NODE}`)
    await writeFile(join(project.path, 'syncline.config.ts'), CONFIG)
    const source = new DatabaseSync(join(project.path, 'source.db'))
    source.exec(`CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price NUMERIC);
      INSERT INTO item VALUES (1, 'one', 1.5), (2, 'two', NULL), (9007199254740993, 'big', 3)`)
    source.close()
    const syncline = (...args: readonly string[]) =>
      run(project.path, node, 'node_modules/syncline/bin/syncline.js', ...args)
    assert.match(await syncline('run', '--json'), /"status":"succeeded".*"inserted":3/)
    assert.match(await syncline('run', '--json'), /"status":"succeeded".*"inserted":0/)
    assert.match(await syncline('verify', '--json'), /"equal":true/)
    const readme = await readFile(join(project.path, 'node_modules', 'syncline', 'README.md'), 'utf8')
    await runAsWritten(readme, project.path, node)
    await writeFile(join(project.path, 'apart.mjs'), APART)
    assert.equal((await run(project.path, node, 'apart.mjs')).trim(), 'item')
  })
})
