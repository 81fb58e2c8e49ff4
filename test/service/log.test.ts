import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import { eventually, ServiceProject } from './project.ts'

const program = join(import.meta.dirname, '..', '..', 'bin', 'syncline.js')
const CANARY = 'canary-4c81e0'

/** A connector whose handler tells its token where it should not, and gives rows that nobody is to see. */
const config = `
import { defineConfig, secret } from 'syncline'
import { defineConnector } from 'syncline/connector'
import { sqlite } from 'syncline/sqlite'
import { z } from ${JSON.stringify(import.meta.resolve('zod'))}
const crm = defineConnector({
  name: 'crm',
  config: z.object({ token: z.string() }),
  syncs: {
    contacts: { fields: { id: 'integer', name: 'text' }, run: () => [{ id: 1, name: ${JSON.stringify(CANARY)} }, { id: 'x', name: ${JSON.stringify(CANARY)} }] },
    leaking: ({ config }, { log }) => {
      log('asking with ' + config.token)
      throw new Error('the CRM refused ' + config.token)
    },
  },
})
export default defineConfig({
  connections: { crm: crm({ token: secret('CRM_TOKEN') }), copy: sqlite({ file: './copy.db' }) },
  syncs: {
    contacts: { from: 'crm.contacts', to: 'copy.contacts', every: '200ms' },
    leaking: { from: 'crm.leaking', to: 'copy.leaking', every: '200ms' },
  },
})`

type Line = Readonly<Record<string, unknown>>

function linesOf(stderr: string): readonly Line[] {
  return stderr
    .split('\n')
    .filter((text) => text.startsWith('{'))
    .map((text) => JSON.parse(text) as Line)
}

test('where stderr is no terminal the log is JSON lines with levels, without rows and secrets, whatever the level', async () => {
  using it = new ServiceProject(config, { SYNCLINE_LOG_LEVEL: 'trace', SYNC_PORT: '0' })
  spawnSync(process.execPath, [program, 'vault', 'set', 'CRM_TOKEN'], {
    cwd: it.folder,
    input: `${CANARY}-token`,
    env: { ...process.env, NODE_OPTIONS: '' },
  })
  const service = it.start('start', '--port', '0')
  await service.event('ready')
  const events = () => new Set(linesOf(service.stderr).map(({ event }) => event))
  await eventually(
    () => ['run.failed', 'row.rejected', 'batch.applied'].every((name) => events().has(name)),
    'the lines',
  )
  service.kill('SIGINT')
  const { code, stderr } = await service.end()
  assert.equal(code, 0)
  // The first key is told to who started it, not to the log.
  const [notice = '', ...others] = stderr.split('\n').filter((text) => text !== '' && !text.startsWith('{'))
  assert.match(notice, /^The first admin key/)
  assert.deepEqual(others.length, 1)
  const lines = linesOf(stderr)
  assert.ok(lines.every(({ level, time, message }) => level !== '' && Date.parse(String(time)) > 0 && message !== ''))
  const failed = lines.find(({ event, sync }) => event === 'run.failed' && sync === 'leaking')
  assert.deepEqual([failed?.level, failed?.message], ['error', 'leaking: the CRM refused [secret]'])
  assert.ok(lines.some(({ message }) => message === 'asking with [secret]'))
  assert.ok(lines.some(({ message }) => String(message).startsWith('Finishing the current batch')))
  assert.ok(!stderr.includes(CANARY))
})

test('a run that takes long draws no progress between the lines', async () => {
  const slow = config.replace(
    'run: () => [{',
    'run: async function* () { for (let n = 10; n < 20; n++) { yield [{ id: n, name: "x" }]; await new Promise((done) => setTimeout(done, 300)) } }, key: ["id"] }, other: { fields: { id: "integer", name: "text" }, run: () => [{',
  )
  using it = new ServiceProject(slow)
  spawnSync(process.execPath, [program, 'vault', 'set', 'CRM_TOKEN'], {
    cwd: it.folder,
    input: `${CANARY}-token`,
    env: { ...process.env, NODE_OPTIONS: '' },
  })
  // Without --json, where the reporter is the one for people.
  const child = spawn(process.execPath, [program, 'start', '--no-server'], {
    cwd: it.folder,
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, NODE_OPTIONS: '' },
  })
  let stderr = ''
  child.stderr.on('data', (chunk) => (stderr += String(chunk)))
  await eventually(() => stderr.includes('contacts succeeded: 10 inserted'), 'the long run')
  child.kill('SIGINT')
  await once(child, 'exit')
  assert.deepEqual(
    stderr.split('\n').filter((text) => text !== '' && !text.startsWith('{')),
    [],
  )
})

test('the level and the format are as they were asked for; what there is not is refused', async () => {
  const environment = { SYNCLINE_LOG_LEVEL: 'error' }
  const syncs = { a: { from: 'shop.t', to: 'copy', schedule: 'manual' } }
  const connections = {
    shop: { connector: 'sqlite', file: './shop.db' },
    copy: { connector: 'sqlite', file: './copy.db' },
  }
  for (const [args, expected] of [
    [[], /^$/],
    [['--log-format', 'text'], /^\nFinishing the current batch/],
  ] as const) {
    using it = new ServiceProject({ connections, syncs }, environment)
    it.change('shop.db', 'create table t (id integer primary key)')
    const service = it.start('start', '--no-server', ...args)
    await service.event('ready')
    service.kill('SIGINT')
    assert.match((await service.end()).stderr, expected)
  }
  using it = new ServiceProject({ connections, syncs }, { SYNCLINE_LOG_LEVEL: 'loud' })
  const { code, stderr } = await it.run('start')
  assert.deepEqual([code, /SYNCLINE_LOG_LEVEL is "loud"/.test(stderr)], [2, true])
  assert.equal((await it.run('start', '--log-format', 'xml')).code, 2)
})
