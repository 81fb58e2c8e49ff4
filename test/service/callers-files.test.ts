/** Files that callers of the API name are worked on in processes that can be ended: the service goes on whatever is in them. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Api } from './api.ts'
import { eventually, type Running, ServiceProject } from './project.ts'
import { succeeds } from './served.ts'

const config = (step: string) => ({
  connections: {
    shop: { connector: 'sqlite', file: './shop.db' },
    copy: { connector: 'sqlite', file: './copy.db' },
    mine: { connector: 'sqlite', file: './mine.db' },
  },
  projects: { red: ['mine'] },
  integrations: { files: { connector: 'sqlite', root: './callers', work: { step } } },
  syncs: { orders: { from: 'shop.orders', to: 'copy', schedule: 'manual' } },
})

/** A project whose caller has a file with a view that never ends, and a sync of it. */
class Callers implements AsyncDisposable {
  readonly project: ServiceProject
  service: Running
  #key = ''

  constructor(step: string) {
    this.project = new ServiceProject(config(step))
    mkdirSync(join(this.project.folder, 'callers'))
    this.project.change('shop.db', `create table orders (id integer primary key); insert into orders values (1), (2)`)
    this.project.change(
      'callers/own.db',
      `create table items (id integer primary key); insert into items values (1), (2), (3);
      create view forever as with recursive c(n) as (select 1 union all select n + 1 from c) select n from c`,
    )
    this.service = this.project.start('start', '--port', '0')
  }

  async ready(): Promise<Api> {
    await this.service.event('ready')
    if (this.#key === '') await eventually(() => /slk_\S+/.test(this.service.stderr), 'the first key')
    this.#key = /slk_\S+/.exec(this.service.stderr)?.[0] ?? this.#key
    return new Api(String(this.service.lines.find(({ event }) => event === 'ready')?.url), this.#key)
  }

  async made(): Promise<Api> {
    const api = await this.ready()
    const connection = { name: 'own', integration: 'files', config: { file: './own.db' } }
    assert.equal((await api.post('/api/connections', connection)).status, 201)
    for (const [name, collection] of [
      ['forever', 'forever'],
      ['items', 'items'],
    ]) {
      const sync = {
        from: `own.${collection}`,
        to: `${name === 'items' ? 'copy' : 'mine'}.${name}`,
        key: [name === 'items' ? 'id' : 'n'],
        schedule: 'manual',
      }
      const { status, text } = await api.call('PUT', `/api/syncs/${name}`, sync)
      assert.equal(status, 201, text)
    }
    return api
  }

  async restart(): Promise<Api> {
    this.service.kill('SIGKILL')
    await this.service.end()
    this.service = this.project.start('start', '--port', '0')
    return await this.ready()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.service.kill('SIGINT')
    const { code } = await this.service.end()
    this.project[Symbol.dispose]()
    assert.equal(code, 0)
  }
}

/** The service answers while something goes on: no answer takes long. */
async function answers(api: Api, until: () => Promise<boolean>): Promise<void> {
  while (!(await until())) {
    const before = performance.now()
    assert.equal((await api.get('/api/health')).status, 200)
    assert.ok(performance.now() - before < 2000, 'the service stood still')
    await sleep(100)
  }
}

async function jobIs(api: Api, id: unknown, ...states: readonly string[]): Promise<boolean> {
  return states.includes(String((await api.get(`/api/jobs/${id}`)).body.status))
}

describe('point 50, hazard 40: a file that a caller named, with a view that never ends', () => {
  test('a run of it ends at its limit, by name, and all else goes on meanwhile, also syncs of the same file afterwards', async () => {
    await using it = new Callers('4s')
    const api = await it.made()
    const { body } = await api.post('/api/syncs/forever/run')
    await eventually(() => jobIs(api, body.id, 'running'), 'the run')
    await succeeds(api, 'orders')
    assert.ok(await jobIs(api, body.id, 'running'))
    await answers(api, () => jobIs(api, body.id, 'failed'))
    const job = (await api.get(`/api/jobs/${body.id}`)).body
    assert.match(JSON.stringify(job.error), /WORK_STOPPED.*own\.db did not end within 4 s and was stopped/)
    await succeeds(api, 'items')
    assert.equal(it.project.query('copy.db', 'select count(*) as n from items')[0]?.n, 3)
    assert.doesNotMatch(it.service.stderr, /stood still/)
  })

  test('plan and verify of it are answered that they were stopped, and other requests meanwhile', async () => {
    await using it = new Callers('2s')
    const api = await it.made()
    for (const asked of ['plan', 'verify']) {
      let answered = null as Awaited<ReturnType<Api['post']>> | null
      const asking = api.post(`/api/syncs/forever/${asked}`).then((answer) => {
        answered = answer
      })
      await answers(api, async () => answered !== null)
      await asking
      assert.deepEqual([answered?.status, answered?.body.code], [422, 'WORK_STOPPED'], answered?.text)
    }
    assert.equal((await api.post('/api/connections/own/check')).body.healthy, true)
  })

  test('jobs that wait for its target leave their hands to others, and can be cancelled', async () => {
    await using it = new Callers('1h')
    const api = await it.made()
    const endless = (await api.post('/api/syncs/forever/run')).body.id
    await eventually(() => jobIs(api, endless, 'running'), 'the run')
    const waiting: string[] = []
    for (let n = 0; n < 4; n++) {
      const sync = { from: 'own.items', to: `mine.copy${n}`, key: ['id'], schedule: 'manual' }
      const { status, text } = await api.call('PUT', `/api/syncs/waits${n}`, sync)
      assert.equal(status, 201, text)
      waiting.push(String((await api.post(`/api/syncs/waits${n}/run`)).body.id))
    }
    await succeeds(api, 'orders')
    await api.post(`/api/jobs/${waiting[0]}/cancel`)
    await eventually(() => jobIs(api, waiting[0], 'cancelled'), 'a waiting job is cancelled')
    await api.post(`/api/jobs/${endless}/cancel`)
    for (const id of waiting.slice(1)) await eventually(() => jobIs(api, id, 'succeeded'), 'those that waited')
  })

  test('however many of them a project has, a hand is left for others', async () => {
    await using it = new Callers('1h')
    const admin = await it.made()
    const { body } = await admin.post('/api/keys', { name: 'red', scope: 'admin', project: 'red' })
    const red = new Api(admin.url, String(body.key))
    const connection = { name: 'reds', integration: 'files', config: { file: './own.db' } }
    assert.equal((await red.post('/api/connections', connection)).status, 201)
    const jobs: unknown[] = []
    for (let n = 0; n < 6; n++) {
      const sync = { from: 'reds.forever', to: `reds.copy${n}`, key: ['n'], schedule: 'manual' }
      const { status, text } = await red.call('PUT', `/api/syncs/endless${n}`, sync)
      assert.equal(status, 201, text)
      jobs.push((await red.post(`/api/syncs/endless${n}/run`)).body.id)
    }
    await eventually(() => jobIs(admin, jobs[0], 'running'), 'the first')
    await sleep(1500)
    await succeeds(admin, 'orders')
    for (const job of jobs) await red.post(`/api/jobs/${job}/cancel`)
    await eventually(
      async () => {
        for (const job of jobs) if (!(await jobIs(admin, job, 'cancelled'))) return false
        return true
      },
      'their end',
      20_000,
    )
  })

  test('a run of it that somebody cancels ends soon', async () => {
    await using it = new Callers('1h')
    const api = await it.made()
    const { body } = await api.post('/api/syncs/forever/run')
    await eventually(() => jobIs(api, body.id, 'running'), 'the run')
    await sleep(500)
    assert.equal((await api.post(`/api/jobs/${body.id}/cancel`)).status, 200)
    await eventually(() => jobIs(api, body.id, 'cancelled'), 'its end', 8000)
  })

  test('of a service that is killed nothing is left that goes on, and the next one runs the others at once', {
    skip: existsSync('/proc/self/stat') ? false : 'this system has no /proc',
  }, async () => {
    await using it = new Callers('1h')
    const api = await it.made()
    const { body } = await api.post('/api/syncs/forever/run')
    await eventually(() => jobIs(api, body.id, 'running'), 'the run')
    await eventually(() => childrenOf(it.service).length > 0, 'its process')
    const left = childrenOf(it.service)
    const again = await it.restart()
    await eventually(() => !left.some((pid) => existsSync(`/proc/${pid}`)), 'the end of its process', 5000)
    await succeeds(again, 'orders')
    // The one that did not end is not run again at once.
    await eventually(() => it.service.stderr.includes(`job ${body.id} of forever did not end`), 'the line of the log')
    assert.match(it.service.stderr, /it is run again in 2 s/)
    await eventually(() => jobIs(again, body.id, 'running'), 'its next try')
  })
})

function childrenOf({ child }: Running): readonly string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      // The name in parentheses may hold anything; the parent is the second word after it.
      const [, parent] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
      return Number(parent) === child.pid
    } catch {
      return false
    }
  })
}
