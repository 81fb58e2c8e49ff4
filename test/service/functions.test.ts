/** Functions of syncs that are made by the API: exports of the config file, and JSONata expressions. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Api } from './api.ts'
import { eventually } from './project.ts'
import { Served } from './served.ts'

const config = `
  export const limit = 12
  export const shout = (row: { total: string }) => row.total + '!'
  export default {
    connections: {
      shop: { connector: 'sqlite', file: './shop.db', track: 'triggers' },
      copy: { connector: 'sqlite', file: './copy.db' },
      crm: { connector: 'sqlite', file: './crm.db' },
    },
    syncs: {},
  }
`
const orders = (compute: unknown) => ({
  from: 'shop.orders',
  to: 'copy.shouted',
  fields: { id: 'id', total: { compute } },
  schedule: 'manual',
})

describe('functions of syncs made by the API', () => {
  test('an export and an expression compute; another text computes all rows anew', async () => {
    await using it = new Served({ config })
    const api = await it.ready()
    const totals = () => it.project.query('copy.db', 'select total from shouted order by id').map(({ total }) => total)
    assert.equal((await api.call('PUT', '/api/syncs/shouted', orders({ export: 'shout' }))).status, 201)
    assert.equal(await runOf(api, 'shouted'), 'succeeded')
    assert.deepEqual(totals(), ['a!', 'b!'])
    const changed = await api.call('PUT', '/api/syncs/shouted', orders({ jsonata: '$uppercase(total) & id' }))
    assert.equal(changed.status, 200, changed.text)
    assert.equal(await runOf(api, 'shouted'), 'succeeded')
    assert.deepEqual(totals(), ['A1', 'B2'])
    await api.call('PUT', '/api/syncs/shouted', orders({ jsonata: '$lowercase(total)' }))
    assert.equal(await runOf(api, 'shouted'), 'succeeded')
    assert.deepEqual(totals(), ['a', 'b'])
  })

  test('expressions translate and decide in a two-way sync', async () => {
    await using it = new Served({ config })
    const api = await it.ready()
    const made = await api.call('PUT', '/api/syncs/people', {
      between: ['crm.contacts', 'shop.contacts'],
      match: ['email', { field: 'email', by: { jsonata: '$lowercase($)' } }],
      fields: {
        email: 'email',
        name: { toRight: { jsonata: '$uppercase($)' }, toLeft: { jsonata: '$lowercase($)' } },
      },
      onConflict: { jsonata: 'left & "+" & right' },
      schedule: 'manual',
    })
    assert.equal(made.status, 201, made.text)
    assert.equal(await runOf(api, 'people'), 'succeeded')
    const names = (file: string) =>
      it.project.query(file, 'select name from contacts order by email').map(({ name }) => name)
    assert.equal(names('shop.db')[1], 'BO')
    it.project.change('crm.db', `update contacts set name = 'one' where email = 'b@x'`)
    it.project.change('shop.db', `update contacts set name = 'TWO' where email = 'b@x'`)
    assert.equal(await runOf(api, 'people'), 'succeeded')
    assert.deepEqual([names('crm.db')[1], names('shop.db')[1]], ['one+two', 'ONE+TWO'])
  })

  test('a bad expression, and a name that is not exported, are answered 422 with the place', async () => {
    await using it = new Served({ config })
    const api = await it.ready()
    const bad = await api.call('PUT', '/api/syncs/x', orders({ jsonata: '$uppercase(total' }))
    assert.deepEqual([bad.status, bad.body.code], [422, 'CONFIG_INVALID'])
    assert.match(String(bad.body.detail), /syncs\.x\.fields\.total\.compute\.jsonata: .*at character 16/)
    const unknown = await api.call('PUT', '/api/syncs/x', orders({ export: 'scream' }))
    assert.equal(unknown.status, 422)
    assert.match(String(unknown.body.detail), /exports no function "scream"; there are shout/)
    const limit = await api.call('PUT', '/api/syncs/x', orders({ export: 'limit' }))
    assert.match(String(limit.body.detail), /is no function/)
    assert.equal((await api.get('/api/syncs/x')).status, 404)
  })

  test('an endless expression ends its run, and the service goes on', async () => {
    await using it = new Served({ config })
    const api = await it.ready()
    const rows = Array.from({ length: 200 }, (_, at) => `(${at + 10}, 'x')`).join()
    it.project.change('shop.db', `insert into orders values ${rows}`)
    await api.call('PUT', '/api/syncs/endless', orders({ jsonata: '($f := function(){ $f() }; $f())' }))
    assert.equal(await runOf(api, 'endless'), 'failed')
    const [run] = (await api.get('/api/runs?sync=endless')).body.items ?? []
    assert.equal((run?.error as { code?: string } | undefined)?.code, 'EXPRESSION_STOPPED')
    await api.call('PUT', '/api/syncs/fine', { ...orders({ jsonata: 'total' }), to: 'copy.fine' })
    assert.equal(await runOf(api, 'fine'), 'succeeded')
  })
})

/** What became of a run that is asked for now. */
async function runOf(api: Api, sync: string): Promise<unknown> {
  const { id } = (await api.post(`/api/syncs/${sync}/run`)).body
  const status = async () => (await api.get(`/api/jobs/${id}`)).body.status
  await eventually(async () => !['queued', 'running'].includes(String(await status())), `the run of ${sync}`)
  return await status()
}
