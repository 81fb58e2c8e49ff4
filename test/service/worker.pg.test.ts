import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { openPostgresStore } from '../../src/store/postgres/store.ts'
import { createDatabase } from '../../tools/database.ts'
import { ServiceProject } from './project.ts'

function project(environment: Readonly<Record<string, string>> = {}): ServiceProject {
  const made = new ServiceProject(
    {
      connections: {
        shop: { connector: 'sqlite', file: './shop.db' },
        copy: { connector: 'sqlite', file: './copy.db' },
      },
      syncs: { orders: { from: 'shop.orders', to: 'copy', schedule: 'manual' } },
    },
    environment,
  )
  made.change(
    'shop.db',
    'create table orders (id integer primary key, n integer); insert into orders values (1, 1), (2, 2)',
  )
  return made
}

describe('syncline worker', () => {
  test('on the embedded store it says what one wants instead', async () => {
    using it = project()
    const { code, stderr } = await it.run('worker')
    assert.equal(code, 2)
    assert.match(stderr, /syncline start/)
  })

  test('a store that there is not is refused by every command, without its password', async () => {
    using it = project({ SYNCLINE_STORE: 'mysql://me:s3cret@db/state' })
    for (const command of ['worker', 'run', 'status', 'jobs']) {
      const { code, stderr, lines } = await it.run(command)
      assert.equal(code, 2, command)
      assert.ok(!`${stderr}${JSON.stringify(lines)}`.includes('s3cret'))
    }
  })

  test('it runs what another process triggers, and gives back what is left when it is stopped', async () => {
    await using state = await createDatabase()
    using it = project()
    // As people keep it: beside the config.
    writeFileSync(join(it.folder, '.env'), `SYNCLINE_STORE=${state.url}\n`)
    const worker = it.start('worker')
    await worker.event('ready')
    assert.equal((await it.run('trigger', 'orders')).code, 0)
    await worker.event('run.finished', ({ status }) => status === 'succeeded')
    assert.equal((await it.run('verify')).code, 0)
    const { lines } = await it.run('status')
    assert.equal(lines[0]?.status, 'succeeded')
    worker.kill('SIGTERM')
    assert.equal((await worker.end()).code, 0)
    await using store = await openPostgresStore(state.url)
    assert.deepEqual(await store.jobs.count(), { queued: 0, running: 0 })
  })
})

test('a command beside workers leaves alone what one of them runs', async () => {
  await using state = await createDatabase()
  using it = project({ SYNCLINE_STORE: state.url })
  await using store = await openPostgresStore(state.url)
  const lease = await store.leases.take('orders', 'a worker', Date.now(), 60_000)
  const refused = await it.run('run')
  const finished = refused.lines.find(({ event }) => event === 'run.finished')
  assert.deepEqual([refused.code, finished?.status], [1, 'failed'])
  assert.match(JSON.stringify(finished?.error), /LEASE_LOST/)
  assert.equal((await it.run('reset', 'orders')).code, 1)
  await store.leases.free('orders', lease)
  assert.equal((await it.run('run')).code, 0)
  assert.equal((await it.run('reset', 'orders')).code, 0)
})

test('what undo wrote is in the history as a run that succeeded', async () => {
  await using state = await createDatabase()
  using it = new ServiceProject(
    {
      connections: { crm: { connector: 'sqlite', file: './crm.db' }, shop: { connector: 'sqlite', file: './shop.db' } },
      syncs: { people: { between: ['crm.people', 'shop.people'], match: ['email'] } },
    },
    { SYNCLINE_STORE: state.url },
  )
  for (const file of ['crm.db', 'shop.db'])
    it.change(
      file,
      "create table people (id integer primary key, email text, name text); insert into people values (1, 'a', 'Ann')",
    )
  assert.equal((await it.run('run')).code, 0)
  it.change('crm.db', "update people set name = 'Anna'")
  const { lines } = await it.run('run')
  const run = String(lines.find(({ event }) => event === 'run.finished')?.run)
  assert.equal((await it.run('undo', run, '--yes')).code, 0)
  assert.deepEqual(it.query('shop.db', 'select name from people'), it.query('shop.db', "select 'Ann' as name"))
  const history = (await it.run('history')).lines
  assert.deepEqual(
    history.map(({ status, updated }) => [status, updated]),
    [
      ['succeeded', 1],
      ['succeeded', 1],
      ['succeeded', 0],
    ],
  )
})
