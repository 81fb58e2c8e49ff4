import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { createDatabase, temporaryFolder } from '../../tools/database.ts'

const source = join(import.meta.dirname, '..', '..', 'src')
const program = `
  import { defineConnector } from ${JSON.stringify(join(source, 'connectors', 'kit.ts'))}
  import { Engine } from ${JSON.stringify(join(source, 'index.ts'))}
  import { z } from ${JSON.stringify(import.meta.resolve('zod'))}
  const connector = defineConnector({
    name: 'crm',
    config: z.strictObject({ token: z.string() }),
    syncs: { contacts: { fields: { id: 'integer' }, run: async () => [{ id: 1 }, { id: 2 }] } },
  })
  const engine = new Engine({ connectors: [connector], store: process.argv[1], log: () => {} })
  await engine.addIntegration({ id: 'crm', connectorId: 'crm' })
  const known = await engine.getConnections()
  if (known.length === 0) await engine.addConnection({ id: 'mine', integrationId: 'crm', config: { token: 'canary' } })
  const { success, data } = await engine.executeSync('mine', 'contacts')
  console.log(JSON.stringify({ known: known.length, success, read: data?.read }))
  await engine.destroy()
`

test('engines on one Postgres store share their connections; the process ends by itself after destroy', async () => {
  await using database = await createDatabase()
  await using folder = await temporaryFolder()
  const run = async () => {
    const args = ['--conditions=syncline-source', '--input-type=module', '-e', program, database.url]
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: folder.path })
    return JSON.parse(stdout) as unknown
  }
  assert.deepEqual(await run(), { known: 0, success: true, read: 2 })
  assert.deepEqual(await run(), { known: 1, success: true, read: 2 })
  assert.ok(!existsSync(join(folder.path, '.syncline', 'state.db')), 'the state is not in the folder')
  assert.ok(existsSync(join(folder.path, '.syncline', '.gitignore')))
})
