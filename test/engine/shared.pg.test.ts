import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import type { EngineEvent } from '../../src/index.ts'
import { createDatabase, temporaryFolder } from '../../tools/database.ts'
import { eventually } from '../service/project.ts'
import { Api, connection, integration, makeEngine } from './world.ts'

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

test('who listens everywhere hears the other engines on the store, each event once; who does not hears its own', async () => {
  await using database = await createDatabase()
  await using api = await new Api().start()
  await using folder = await temporaryFolder()
  const [one, other] = [1, 2].map(() => makeEngine(database.url, { folder: folder.path }))
  assert.ok(one !== undefined && other !== undefined)
  const ended = new Map<string, string[]>([
    ['own', []],
    ['everywhere', []],
  ])
  const keep = (name: string) => (event: EngineEvent) => {
    if (event.event === 'run.finished') ended.get(name)?.push(event.run)
  }
  try {
    for (const engine of [one, other]) await engine.addIntegration(integration)
    for (const engine of [one, other]) engine.subscribe(keep('own'))
    const end = one.subscribe(keep('everywhere'), { everywhere: true })
    await one.addConnection(connection(api))
    let runs = 0
    await eventually(async () => {
      const result = await other.executeSync('acme', 'contacts')
      assert.ok(result.success, result.error)
      return ++runs >= 3 && (ended.get('everywhere')?.length ?? 0) > 0
    }, 'events')
    await eventually(async () => {
      const told = ended.get('everywhere') ?? []
      return new Set(told).size === told.length && told.includes(ended.get('own')?.at(-1) ?? '')
    }, 'the last run')
    end()
  } finally {
    for (const engine of [one, other]) await engine.destroy()
  }
  const own = ended.get('own') ?? []
  assert.equal(new Set(own).size, own.length)
})
