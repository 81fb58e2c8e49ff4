import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { SyncError } from '../core/error.ts'
import { loadConfig } from './load.ts'

const folders: string[] = []
after(() => folders.forEach((folder) => void rmSync(folder, { recursive: true, force: true })))

function folderWith(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'syncline-config-'))
  folders.push(folder)
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  return folder
}

const source = (path: string) => JSON.stringify(pathToFileURL(join(import.meta.dirname, path)).href)
const code = `
import { defineConfig, env } from ${source('../index.ts')}
import { postgres } from ${source('../connectors/postgres/index.ts')}
import { sqlite } from ${source('../connectors/sqlite/index.ts')}
const file: string = './warehouse.db'
export default defineConfig({
  connections: { shop: postgres({ url: env('SHOP_URL') }), warehouse: sqlite({ file }) },
  syncs: { orders: { from: 'shop.public.orders', to: 'warehouse' } },
})
`

async function failure(folder: string, path?: string): Promise<SyncError> {
  const error = await loadConfig({ folder, path, environment: {} }).catch((thrown: unknown) => thrown)
  assert.ok(error instanceof SyncError, `expected an error, got ${String(error)}`)
  return error
}

test('a TypeScript config is loaded with .env beside it, which does not override the environment', async () => {
  const folder = folderWith({ 'syncline.config.ts': code, '.env': 'SHOP_URL=postgres://from-file/shop\nOTHER="a b"\n' })
  const environment: Record<string, string | undefined> = { OTHER: 'real' }
  const config = await loadConfig({ folder, environment })
  assert.deepEqual(
    config.syncs.map((sync) => sync.name),
    ['orders'],
  )
  assert.equal(config.folder, folder)
  assert.deepEqual(environment, { OTHER: 'real', SHOP_URL: 'postgres://from-file/shop' })
})

test('a JSON config and a named one are loaded', async () => {
  const json = JSON.stringify({ connections: { a: { connector: 'sqlite', file: { env: 'FILE' } } }, syncs: {} })
  const folder = folderWith({ 'syncline.config.json': json, 'other.json': json, '.env': 'FILE=a.db' })
  assert.equal((await loadConfig({ folder, environment: {} })).connections.get('a')?.system, 'sqlite')
  assert.equal((await loadConfig({ folder, path: './other.json', environment: {} })).path, join(folder, 'other.json'))
  const named = await loadConfig({ folder: '/', path: folder, environment: {} })
  assert.equal(named.path, join(folder, 'syncline.config.json'), 'a folder is where to look')
})

test('a file that is no config by its name is told what may be one', async () => {
  const folder = folderWith({ 'my.yaml': 'connections: {}', 'syncline.toml': '' })
  for (const name of ['my.yaml', 'syncline.toml']) {
    const error = await failure(folder, name)
    assert.equal(error.code, 'CONFIG_INVALID')
    assert.match(error.message, new RegExp(`^${name} can't be a config file: .*\\.ts, .*\\.json`))
  }
})

test('a missing variable is named, with the file to put it in', async () => {
  const error = await failure(folderWith({ 'syncline.config.ts': code }))
  assert.equal(error.code, 'ENV_MISSING')
  assert.match(error.message, /connections\.shop\.url: the environment variable SHOP_URL is not set/)
  assert.match(error.hint ?? '', /\.env/)
})

test('no config, a missing one, and one without a default export are told apart', async () => {
  assert.match((await failure(folderWith({}))).message, /there is no syncline\.config\.ts/)
  assert.match((await failure(folderWith({}), 'x.ts')).message, /there is no config file .*x\.ts/)
  assert.match((await failure(folderWith({ 'syncline.config.ts': 'export const a = 1' }))).message, /no default export/)
})

test('a syntax error names the file and the line', async () => {
  const error = await failure(folderWith({ 'syncline.config.ts': 'const a = 1\nexport default { a: : 1 }\n' }))
  assert.equal(error.code, 'CONFIG_INVALID')
  assert.match(error.message, /^syncline\.config\.ts can't be read: SyntaxError: .*\(line 2\)/)
})

test('an error thrown by the config, and a missing package, are told', async () => {
  assert.match(
    (await failure(folderWith({ 'syncline.config.ts': '\nthrow new Error("no luck")' }))).message,
    /no luck \(line 2/,
  )
  const missing = await failure(folderWith({ 'syncline.config.ts': 'import x from "not-there"\nexport default x' }))
  assert.match(missing.hint ?? '', /Install the missing package/)
})

test('a mistake in JSON is told without quoting the text around it, which may be a password', async () => {
  const error = await failure(folderWith({ 'syncline.config.json': '{ "url": "hunter2" oops }' }))
  assert.match(error.message, /JSON at position|Unexpected token/)
  assert.ok(!error.message.includes('hunter2'))
  assert.ok(!String(error.cause).includes('hunter2'))
})

test('a TypeScript config is a module also where package.json says commonjs', async () => {
  const folder = folderWith({ 'package.json': '{ "type": "commonjs" }', 'syncline.config.ts': code })
  await assert.doesNotReject(() => loadConfig({ folder, environment: { SHOP_URL: 'postgres://localhost/shop' } }))
})
