import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { describeChange, diffSchema, type Field, type Schema, widens } from './schema.ts'
import type { Type } from './value.ts'

function field(name: string, type: Type, native = ''): Field {
  return { name, type, native, nullable: true, writable: true }
}

function schema(...fields: Field[]): Schema {
  return { name: 'orders', system: 'postgres', fields, key: ['id'] }
}

const id = field('id', 'integer', 'bigint')

describe('what must change in a target', () => {
  test('no target yet: create it', () => {
    assert.deepEqual(diffSchema(null, schema(id)), [{ kind: 'create', schema: schema(id) }])
  })

  test('nothing, when it holds what it should', () => {
    assert.deepEqual(diffSchema(schema(id), schema(id)), [])
  })

  test('nothing, when only the order of fields differs', () => {
    const note = field('note', 'text', 'text')
    assert.deepEqual(diffSchema(schema(note, id), schema(id, note)), [])
  })

  test('a new field is added', () => {
    const note = field('note', 'text', 'text')
    assert.deepEqual(diffSchema(schema(id), schema(id, note)), [{ kind: 'add', field: note }])
  })

  test('a dropped field becomes an orphan, and is told once', () => {
    const note = field('note', 'text', 'text')
    assert.deepEqual(diffSchema(schema(id, note), schema(id)), [{ kind: 'orphan', field: note }])
    assert.deepEqual(diffSchema(schema(id, note), schema(id), ['note']), [])
  })

  test('a wider type widens, another is incompatible', () => {
    const was = field('n', 'integer', 'integer')
    const wider = field('n', 'integer', 'bigint')
    const other = field('n', 'boolean', 'boolean')
    assert.deepEqual(diffSchema(schema(id, was), schema(id, wider)), [{ kind: 'widen', field: wider, was }])
    assert.deepEqual(diffSchema(schema(id, was), schema(id, other)), [{ kind: 'incompatible', field: other, was }])
  })

  test('a length that SQLite declares and does not enforce is no change', () => {
    const files = (native: string, type: Type = 'text'): Schema => ({
      ...schema(id, field('a', type, native)),
      system: 'sqlite',
    })
    assert.deepEqual(diffSchema(files('VARCHAR(20)'), files('TEXT')), [])
    assert.deepEqual(diffSchema(files('TEXT'), files('VARCHAR(20)')), [])
    const [change] = diffSchema(files('BIGINT', 'integer'), files('DECIMAL(10,2)', 'decimal'))
    assert.equal(change?.kind, 'widen')
  })

  test('another system’s spelling of the same type is no change', () => {
    const here: Schema = { ...schema(id), system: 'sqlite', fields: [field('id', 'integer', 'INTEGER')] }
    assert.deepEqual(diffSchema(here, schema(id)), [])
  })

  test('every change can be told in one line', () => {
    const was = field('n', 'integer', 'integer')
    const now = field('n', 'integer', 'bigint')
    assert.equal(describeChange({ kind: 'create', schema: schema(id) }), 'create orders (1 columns)')
    assert.match(describeChange({ kind: 'add', field: field('note', 'text') }), /^add column note \(text\)/)
    assert.equal(describeChange({ kind: 'widen', field: now, was }), 'widen column n from integer to bigint')
    assert.match(describeChange({ kind: 'orphan', field: now }), /n is gone at the source/)
    assert.match(describeChange({ kind: 'incompatible', field: now, was }), /n changed from integer to bigint/)
  })
})

describe('a type that holds every value of another', () => {
  const table: readonly (readonly [was: [Type, string], now: [Type, string], widens: boolean])[] = [
    [['integer', 'smallint'], ['integer', 'integer'], true],
    [['integer', 'smallint'], ['integer', 'bigint'], true],
    [['integer', 'bigint'], ['integer', 'integer'], false],
    [['integer', 'bigint'], ['decimal', 'numeric'], true],
    [['integer', 'bigint'], ['decimal', 'numeric(19,0)'], true],
    [['integer', 'bigint'], ['decimal', 'numeric(20,2)'], false],
    [['integer', 'bigint'], ['float', 'double precision'], false],
    [['integer', 'bigint'], ['text', 'text'], false],
    [['float', 'real'], ['float', 'double precision'], true],
    [['float', 'double precision'], ['float', 'real'], false],
    [['decimal', 'numeric(10,2)'], ['decimal', 'numeric(12,2)'], true],
    [['decimal', 'numeric(10,2)'], ['decimal', 'numeric(12,4)'], true],
    [['decimal', 'numeric(10,2)'], ['decimal', 'numeric(12,5)'], false],
    [['decimal', 'numeric(10,2)'], ['decimal', 'numeric(12,1)'], false],
    [['decimal', 'numeric(10,2)'], ['decimal', 'numeric'], true],
    [['decimal', 'numeric'], ['decimal', 'numeric(10,2)'], false],
    [['text', 'character varying(10)'], ['text', 'character varying(20)'], true],
    [['text', 'character varying(20)'], ['text', 'character varying(10)'], false],
    [['text', 'character varying(20)'], ['text', 'text'], true],
    [['text', 'text'], ['text', 'character varying(20)'], false],
    [['text', 'shop.status'], ['text', 'text'], true],
    [['text', 'text'], ['text', 'shop.status'], false],
    [['uuid', 'uuid'], ['text', 'text'], true],
    [['uuid', 'uuid'], ['text', 'character varying(10)'], false],
    [['timestamp', 'timestamp(3) without time zone'], ['timestamp', 'timestamp without time zone'], true],
    [['timestamp', 'timestamp without time zone'], ['timestamp', 'timestamp(3) without time zone'], false],
    [['timestamp', 'timestamp without time zone'], ['instant', 'timestamp with time zone'], false],
    [['json', 'json'], ['json', 'jsonb'], true],
    [['json', 'jsonb'], ['json', 'json'], false],
    [['date', 'date'], ['timestamp', 'timestamp without time zone'], false],
  ]
  for (const [[wasType, was], [nowType, now], expected] of table) {
    test(`${now} ${expected ? 'holds' : 'does not hold'} every ${was}`, () => {
      assert.equal(widens(field('x', wasType, was), field('x', nowType, now)), expected)
    })
  }
})
