import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fingerprint } from './fingerprint.ts'
import type { Field, Schema } from './schema.ts'
import { defaults, type Sync } from './sync.ts'

const sync: Sync = {
  id: 'orders',
  from: { connection: 'shop', collection: 'public.orders' },
  to: { connection: 'warehouse', collection: 'orders' },
  fields: null,
  where: null,
  key: null,
  cursor: null,
  mode: 'auto',
  deletes: 'propagate',
  adopt: false,
  ...defaults,
}
const id: Field = { name: 'id', type: 'integer', native: 'integer', nullable: false, writable: true }
const target: Schema = { name: 'orders', system: 'postgres', fields: [id], key: ['id'] }
const computed = (version: string | null, compute = () => 1): Sync => ({
  ...sync,
  fields: new Map([['label', { kind: 'compute', compute, type: 'text', version }]]),
})

const changing: readonly (readonly [what: string, from: Sync, to: Sync])[] = [
  ['the source', sync, { ...sync, from: { connection: 'shop', collection: 'public.invoices' } }],
  ['the fields', sync, { ...sync, fields: new Map([['id', { kind: 'from', from: 'id' }]]) }],
  [
    'a field’s type',
    { ...sync, fields: new Map([['id', { kind: 'from', from: 'id' }]]) },
    { ...sync, fields: new Map([['id', { kind: 'from', from: 'id', type: 'text' }]]) },
  ],
  ['a function’s version', computed('1'), computed('2')],
  ['the filter', sync, { ...sync, where: { status: 'paid' } }],
  ['a bigint in the filter', { ...sync, where: { id: 2n ** 60n } }, { ...sync, where: { id: 2n ** 60n + 1n } }],
  ['the key', sync, { ...sync, key: ['number'] }],
  ['what happens to deleted rows', sync, { ...sync, deletes: 'mark' }],
]
for (const [what, from, to] of changing) {
  test(`${what} changes the fingerprint`, () => assert.notEqual(fingerprint(from, target), fingerprint(to, target)))
}

const keeping: readonly (readonly [what: string, from: Sync, to: Sync])[] = [
  ['the guard', sync, { ...sync, guard: { maxDeletes: 1, maxDeleteShare: 0 } }],
  ['the batch size', sync, { ...sync, batch: { rows: 1, bytes: 1 } }],
  ['the schedule', sync, { ...sync, schedule: { kind: 'manual' } }],
  ['the body of a function of the same version', computed('1'), computed('1', () => 2)],
]
for (const [what, from, to] of keeping) {
  test(`${what} does not change the fingerprint`, () =>
    assert.equal(fingerprint(from, target), fingerprint(to, target)))
}

const fields: readonly (readonly [what: string, fields: readonly Field[]])[] = [
  ['another column', [id, { ...id, name: 'note', type: 'text' }]],
  ['another type of a column', [{ ...id, type: 'decimal' }]],
  ['another native type of a column', [{ ...id, native: 'bigint' }]],
]
for (const [what, changed] of fields) {
  test(`${what} changes the fingerprint (hazard 12)`, () => {
    assert.notEqual(fingerprint(sync, target), fingerprint(sync, { ...target, fields: changed }))
  })
}
