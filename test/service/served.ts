/** The service with its server, on a small project, as a real process. */
import assert from 'node:assert/strict'
import { Api } from './api.ts'
import { eventually, type Running, ServiceProject } from './project.ts'

const connections = {
  shop: { connector: 'sqlite', file: './shop.db', track: 'triggers' },
  copy: { connector: 'sqlite', file: './copy.db' },
  crm: { connector: 'sqlite', file: './crm.db' },
}
const syncs = {
  orders: { from: 'shop.orders', to: 'copy', schedule: 'manual' },
  contacts: {
    between: ['crm.contacts', 'shop.contacts'],
    match: ['email'],
    fields: { email: 'email', name: 'name' },
    onConflict: 'right',
    schedule: 'manual',
  },
}

const projects = { red: ['shop', 'copy'], blue: ['crm', 'copy'] }

export class Served implements AsyncDisposable {
  readonly project: ServiceProject
  readonly service: Running
  url = ''
  key = ''

  constructor(
    over: { readonly syncs?: unknown; readonly config?: unknown } = {},
    environment: Readonly<Record<string, string>> = {},
  ) {
    this.project = new ServiceProject(over.config ?? { connections, syncs, projects, ...over }, environment)
    this.project.change(
      'shop.db',
      `create table orders (id integer primary key, total text); insert into orders values (1, 'a'), (2, 'b');
      create table contacts (id integer primary key, email text, name text); insert into contacts values (1, 'a@x', 'Ada')`,
    )
    this.project.change(
      'crm.db',
      `create table contacts (id integer primary key, email text, name text); insert into contacts values (7, 'a@x', 'Ada'), (8, 'b@x', 'Bo')`,
    )
    this.service = this.project.start('start', '--port', '0')
  }

  async ready(): Promise<Api> {
    await this.service.event('ready')
    await eventually(() => /slk_\S+/.test(this.service.stderr), 'the first key')
    this.url = String(this.service.lines.find(({ event }) => event === 'ready')?.url)
    this.key = /slk_\S+/.exec(this.service.stderr)?.[0] ?? ''
    return new Api(this.url, this.key)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.service.kill('SIGINT')
    const { code } = await this.service.end()
    this.project[Symbol.dispose]()
    assert.equal(code, 0)
  }
}

/** Runs a sync by the API, and waits until it has succeeded. */
export async function succeeds(api: Api, sync: string): Promise<void> {
  const { body, text } = await api.post(`/api/syncs/${encodeURIComponent(sync)}/run`)
  const job = async () => (await api.get(`/api/jobs/${body.id}`)).body
  await eventually(async () => ['succeeded', 'failed'].includes(String((await job()).status)), `the run ${text}`)
  assert.equal((await job()).status, 'succeeded', JSON.stringify(await job()))
}
