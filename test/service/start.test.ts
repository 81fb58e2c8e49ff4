import assert from 'node:assert/strict'
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually, ServiceProject } from './project.ts'

const TABLES = 6
const connections = {
  shop: { connector: 'sqlite', file: './shop.db', track: 'triggers' },
  copy: { connector: 'sqlite', file: './copy.db' },
}

function project(
  syncs: unknown = { all: { from: 'shop', to: 'copy', collections: ['t*'], every: '300ms' } },
): ServiceProject {
  const made = new ServiceProject({ connections, syncs })
  made.change('shop.db', 'pragma journal_mode = wal')
  for (let table = 0; table < TABLES; table++) {
    made.change(
      'shop.db',
      `create table t${table} (id integer primary key, n integer);
       with recursive i (i) as (select 1 union all select i + 1 from i where i < 2000) insert into t${table} select i, 0 from i`,
    )
  }
  return made
}

describe('the service', () => {
  test('killed with -9 again and again while people write: nothing is lost or doubled, and no schedule is forgotten', async () => {
    using it = project()
    let writes = 0
    const write = () => {
      const table = `t${writes++ % TABLES}`
      it.change(
        'shop.db',
        `insert into ${table} (n) values (${writes}); update ${table} set n = n + 1 where id % 97 = ${writes % 97};
         delete from ${table} where id = ${writes}`,
      )
    }
    for (let round = 0; round < 8; round++) {
      const service = it.start('start')
      await service.event('ready')
      const until = performance.now() + 100 + 137 * round
      while (performance.now() < until) {
        write()
        await sleep(5)
      }
      service.kill('SIGKILL')
      await service.end()
    }
    const service = it.start('start')
    await service.event('ready')
    const after = Date.now()
    await eventually(() => {
      const done = it.query(
        '.syncline/state.db',
        `select distinct sync from run where status = 'succeeded' and started_at > ${after}`,
      )
      return done.length === TABLES
    }, 'every sync to have run')
    await eventually(async () => (await it.run('verify')).code === 0, 'equality')
    const left = it.query(
      '.syncline/state.db',
      `select id from job where status = 'running' and worker not like '%:${service.child.pid}'`,
    )
    assert.deepEqual(left, [])
    service.kill('SIGINT')
    assert.equal((await service.end()).code, 0)
  })

  test('hazard 28: it ends by itself after Ctrl-C, and what it ran is given back', async () => {
    using it = project()
    const service = it.start('start')
    await service.event('run.finished')
    service.kill('SIGINT')
    assert.equal((await service.end()).code, 0)
    assert.deepEqual(it.query('.syncline/state.db', "select id from job where status = 'running'"), [])
    const lease = it.query('.syncline/state.db', 'select sync from lease where holder is not null')
    assert.deepEqual(lease, [])
  })

  test('hazard 27: after a restart every schedule is there and runs; a paused one stays paused', async () => {
    using it = project()
    const first = it.start('start')
    await first.event('run.finished', ({ sync }) => sync === 'all/t5')
    assert.equal((await it.run('pause', 'all/t3')).code, 0)
    first.kill('SIGKILL')
    await first.end()
    const second = it.start('start')
    for (const table of [0, 1, 2, 4, 5]) await second.event('job.ended', ({ sync }) => sync === `all/t${table}`)
    assert.ok(!second.lines.some(({ event, sync }) => event === 'sync.starting' && sync === 'all/t3'))
    assert.equal((await it.run('resume', 'all/t3')).code, 0)
    await second.event('job.ended', ({ sync }) => sync === 'all/t3')
  })

  test('a person beside it puts a sync into the queue, and is told of one that there is not', async () => {
    using it = project({
      a: { from: 'shop.t0', to: 'copy', schedule: 'manual' },
      b: { from: 'shop.t1', to: 'copy', schedule: { after: 'a' } },
    })
    const service = it.start('start')
    await service.event('ready')
    const { code, lines } = await it.run('trigger', 'a')
    assert.deepEqual([code, lines[0]?.event, lines[0]?.sync], [0, 'job', 'a'])
    await service.event('run.finished', ({ sync }) => sync === 'b')
    assert.equal((await it.run('trigger', 'nothing')).code, 2)
    assert.equal((await it.run('pause', 'nothing')).code, 2)
    assert.equal((await it.run('cancel', '12345')).code, 2)
    const { lines: jobs } = await it.run('jobs', 'a')
    assert.deepEqual(
      jobs.map(({ event }) => event),
      ['schedule', 'job'],
    )
    assert.equal(jobs[1]?.status, 'succeeded')
  })

  test('a saved config is taken up; one with a mistake is told of, and the old one goes on', async () => {
    using it = project({ a: { from: 'shop.t0', to: 'copy', every: '200ms' } })
    const service = it.start('start')
    await service.event('run.finished', ({ sync }) => sync === 'a')
    it.configure({ connections, syncs: { a: { from: 'shop.nowhere' } } })
    const before = service.lines.length
    await eventually(
      () => service.lines.slice(before).filter(({ event }) => event === 'job.ended').length > 3,
      'the old config',
    )
    it.configure({ connections, syncs: { b: { from: 'shop.t1', to: 'copy', every: '200ms' } } })
    await service.event('run.finished', ({ sync }) => sync === 'b')
    const { lines } = await it.run('jobs')
    assert.deepEqual(
      lines.filter(({ event }) => event === 'schedule').map(({ sync }) => sync),
      ['b'],
    )
    service.kill('SIGINT')
    const { stderr } = await service.end()
    assert.match(stderr, /is not taken up/)
  })

  test('a second process does not run the same project, and is told who does', async () => {
    using it = project()
    const service = it.start('start')
    await service.event('ready')
    const { code, lines } = await it.run('start')
    assert.equal(code, 1)
    const [line] = lines.filter(({ event }) => event === 'error')
    assert.match(JSON.stringify(line), new RegExp(`PROJECT_LOCKED.*${service.child.pid}`))
  })

  test('a run that the guard holds goes on as soon as it is released', async () => {
    using it = project({ a: { from: 'shop.t0', to: 'copy', every: '1h' } })
    const service = it.start('start', '--no-server')
    await service.event('run.finished', ({ status }) => status === 'succeeded')
    it.change('shop.db', 'delete from t0 where id > 100')
    assert.equal((await it.run('trigger', 'a')).code, 0)
    await service.event('run.finished', ({ status }) => status === 'held')
    const held = service.lines.find(({ status }) => status === 'held')
    assert.equal((await it.run('release', String(held?.run))).code, 0)
    await service.event('run.finished', ({ deleted }) => deleted === 1900)
    service.kill('SIGINT')
    assert.equal((await service.end()).code, 0)
  })

  test('a source that is not there at the start takes no schedule away: what was paused stays paused', async () => {
    using it = project()
    const first = it.start('start', '--no-server')
    await first.event('job.ended')
    assert.equal((await it.run('pause', 'all/t3')).code, 0)
    first.kill('SIGINT')
    await first.end()
    renameSync(join(it.folder, 'shop.db'), join(it.folder, 'away.db'))
    const second = it.start('start', '--no-server')
    await second.event('ready')
    const { lines } = await it.run('jobs')
    assert.deepEqual(
      lines.filter(({ sync }) => sync === 'all/t3').map(({ paused }) => paused),
      [true],
    )
    second.kill('SIGINT')
    await second.end()
  })

  test('a connection that a saved config adds, and a variable that a saved .env changes, are taken up', async () => {
    using it = project({ a: { from: 'shop.t0', to: 'copy', every: '200ms' } })
    writeFileSync(join(it.folder, '.env'), 'OTHER=./one.db\n')
    for (const [file, n] of [
      ['one.db', 1],
      ['two.db', 2],
    ] as const)
      it.change(file, `create table t9 (id integer primary key); insert into t9 values (${n})`)
    const service = it.start('start', '--no-server')
    await service.event('job.ended')
    const more = { ...connections, other: { connector: 'sqlite', file: { env: 'OTHER' } } }
    it.configure({ connections: more, syncs: { b: { from: 'other', to: 'copy', collections: ['*'], every: '200ms' } } })
    const held = () =>
      it.query('copy.db', "select * from sqlite_schema where name = 't9'").length === 0
        ? []
        : it.query('copy.db', 'select id from t9').map(({ id }) => id)
    await eventually(() => held()[0] === 1, 'the first file')
    writeFileSync(join(it.folder, '.env'), 'OTHER=./two.db\n')
    await eventually(() => held().includes(2), 'the second file')
    service.kill('SIGINT')
    assert.equal((await service.end()).code, 0)
  })
})
