import assert from 'node:assert/strict'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Api } from './api.ts'
import { type Ended, eventually, type Running, ServiceProject } from './project.ts'

/** Longer than a stop may take, and much shorter than what handlers here wait for. */
const PATIENCE_MS = 25_000

/** While there is a file `stuck`, what it calls waits for ten minutes, holds the process, and heeds no signal. */
const config = `
import { existsSync } from 'node:fs'
import { defineConfig } from 'syncline'
import { defineConnector } from 'syncline/connector'
import { sqlite } from 'syncline/sqlite'
import { z } from ${JSON.stringify(import.meta.resolve('zod'))}
const wait = (name) => existsSync(name) && new Promise((done) => setTimeout(done, 600_000))
const crm = defineConnector({
  name: 'crm',
  config: z.object({}),
  syncs: {
    deaf: { fields: { id: 'integer' }, run: async (_connection, { log }) => {
      log('it was asked')
      await wait('stuck')
      return [{ id: 1 }]
    } },
  },
})
const stuck = defineConnector({
  name: 'stuck',
  config: z.object({}),
  open: async (_config, { log }) => {
    log('it was asked')
    return await new Promise((done) => setTimeout(done, 600_000))
  },
})
export default defineConfig({
  connections: { crm: crm({}), stuck: stuck({}), copy: sqlite({ file: './copy.db' }) },
  syncs: { deaf: { from: 'crm.deaf', to: 'copy.deaf', schedule: 'manual' }, ...(existsSync('opening') ? { all: { from: 'stuck', to: 'copy', collections: ['*'] } } : {}) },
  permit: async () => { await wait('undecided'); return true },
})`

function asked(service: Running): number {
  return service.stderr.split('it was asked').length - 1
}

/** Ends the command with a signal, and kills it when it takes for ever: then its code is null. */
async function stopped(service: Running, signal: NodeJS.Signals = 'SIGTERM'): Promise<Ended> {
  service.kill(signal)
  const late = new AbortController()
  sleep(PATIENCE_MS, undefined, { signal: late.signal }).then(
    () => service.kill('SIGKILL'),
    () => {},
  )
  try {
    return await service.end()
  } finally {
    late.abort()
  }
}

function project(...files: readonly string[]): ServiceProject {
  const made = new ServiceProject(config)
  for (const file of files) writeFileSync(join(made.folder, file), '')
  return made
}

describe('a stop does not wait for functions that do not end', () => {
  test('a run and a plan of a handler: it ends with 0, nothing is written, and the next start runs the sync', async () => {
    using it = project('stuck')
    const service = it.start('start', '--port', '0')
    await service.event('ready')
    await eventually(() => /slk_\S+/.test(service.stderr), 'the first key')
    const url = String(service.lines.find(({ event }) => event === 'ready')?.url)
    const api = new Api(url, /slk_\S+/.exec(service.stderr)?.[0] ?? '')
    assert.equal((await api.post('/api/syncs/deaf/run')).status, 202)
    await eventually(() => asked(service) === 1, 'the run')
    const plan = api.post('/api/syncs/deaf/plan').catch(() => null)
    await eventually(() => asked(service) === 2, 'the plan')
    assert.equal((await stopped(service)).code, 0)
    await plan
    assert.deepEqual(it.query('.syncline/state.db', "select id from job where status = 'running'"), [])
    assert.deepEqual(it.query('copy.db', 'select id from deaf'), [])
    rmSync(join(it.folder, 'stuck'))
    const next = it.start('start', '--no-server')
    await next.event('run.finished', ({ status }) => status === 'succeeded')
    assert.equal((await stopped(next, 'SIGINT')).code, 0)
    assert.deepEqual(
      it.query('copy.db', 'select id from deaf').map(({ id }) => id),
      [1],
    )
  })

  test('a `permit` that does not decide', async () => {
    using it = project('undecided')
    const service = it.start('start', '--no-server')
    await service.event('ready')
    assert.equal((await it.run('trigger', 'deaf')).code, 0)
    await eventually(
      () => it.query('.syncline/state.db', "select id from job where status = 'running'").length === 1,
      'the job to be taken',
    )
    assert.equal((await stopped(service)).code, 0)
    assert.equal(asked(service), 0)
  })

  test('a connection that does not open while it starts', async () => {
    using it = project('opening')
    const service = it.start('start', '--no-server')
    await eventually(() => asked(service) === 1, 'the connection')
    const { code, stderr } = await stopped(service)
    assert.equal(code, 0)
    assert.match(stderr, /something does not end: it is left behind/)
  })

  test('a second signal ends it at once', async () => {
    using it = project('undecided')
    const service = it.start('start', '--no-server')
    await service.event('ready')
    assert.equal((await it.run('trigger', 'deaf')).code, 0)
    await eventually(
      () => it.query('.syncline/state.db', "select id from job where status = 'running'").length === 1,
      'the job to be taken',
    )
    service.kill('SIGTERM')
    await eventually(() => service.stderr.includes('Finishing the current batch'), 'the first signal')
    assert.equal((await stopped(service, 'SIGINT')).code, 130)
  })
})
