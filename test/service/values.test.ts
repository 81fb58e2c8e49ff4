/** Values of rows that JSON has no words for, in the answers that show rows to a person. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually } from './project.ts'
import { Served, succeeds } from './served.ts'

const large = '9007199254740993'
const syncs = {
  numbers: { from: 'shop.numbers', to: 'copy', schedule: 'manual' },
  blobs: { from: 'shop.blobs', to: 'copy', schedule: 'manual' },
  refused: { from: 'shop.refused', to: 'copy', schedule: 'manual' },
  both: { between: ['crm.both', 'shop.both'], match: ['id'], onConflict: 'ask', schedule: 'manual' },
}

test('large integers, infinities and bytes are told as text, and fail no plan, verify or conflict', async () => {
  await using it = new Served({ syncs })
  const both = `create table both (id integer primary key, b blob); insert into both values (${large}, x'01')`
  it.project.change(
    'shop.db',
    `create table numbers (id integer primary key, n real); insert into numbers values (${large}, 1e999);
    create table refused (id integer primary key, n integer); insert into refused values (${large}, 'x'), (9007199254740994, 'x');
    create table blobs (id blob primary key); insert into blobs values (x'01ff'); ${both}`,
  )
  it.project.change('crm.db', both)
  const api = await it.ready()
  const plan = await api.post('/api/syncs/numbers/plan')
  assert.deepEqual(plan.body.samples, [
    {
      key: { id: large },
      kind: 'insert',
      fields: { id: { from: null, to: large }, n: { from: null, to: 'Infinity' } },
    },
  ])
  const verified = await api.post('/api/syncs/blobs/verify')
  assert.deepEqual(verified.body.keys, { missing: [{ id: '\\x01ff' }], extra: [], different: [], unreadable: [] })
  await succeeds(api, 'both')
  it.project.change('shop.db', "update both set b = x'02'")
  it.project.change('crm.db', "update both set b = x'03'")
  const planned = await api.post('/api/syncs/both/plan')
  assert.equal(planned.status, 200, planned.text)
  await succeeds(api, 'both')
  const conflicts = await api.get('/api/conflicts')
  const [{ key, fields } = {}] = conflicts.body.items ?? []
  assert.deepEqual(key, { left: { id: large }, right: { id: large } })
  assert.deepEqual(Object(fields).b, {
    ...{ base: '\\x01', left: '\\x03', right: '\\x02' },
    ...{ rule: 'ask', outcome: 'open', status: 'open' },
  })
  const { id } = (await api.post('/api/syncs/refused/run')).body
  await eventually(async () => (await api.get(`/api/jobs/${id}`)).body.endedAt !== null, 'the run')
  const letters = await api.get('/api/syncs/refused/dead-letters?limit=1')
  assert.deepEqual([letters.status, letters.body.items?.[0]?.key], [200, { id: large }], letters.text)
  assert.ok(letters.body.next !== null)
  const more = await api.get(`/api/syncs/refused/dead-letters?limit=1&after=${letters.body.next}`)
  assert.deepEqual([more.body.items?.[0]?.key, more.body.next], [{ id: '9007199254740994' }, null])
  const different = await api.post('/api/syncs/both/verify')
  assert.equal(different.status, 200, different.text)
})
