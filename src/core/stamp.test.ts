import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { SyncError } from './error.ts'
import type { Schema } from './schema.ts'
import { bindStamp } from './stamp.ts'
import type { SideName, StampForm, TwoWaySync } from './two-way.ts'
import type { Type, Value } from './value.ts'

type Column = readonly [type: Type, as?: StampForm | undefined, native?: string]

const schemaOf = ([type, , native = '']: Column): Schema => ({
  name: 't',
  system: 'memory',
  key: ['id'],
  fields: [{ name: 'at', type, native, nullable: true, writable: true }],
})

function compare(left: Column, right: Column) {
  const fieldOf = ([, as]: Column) => ({ field: 'at', as: as ?? null })
  const sync = { id: 't', stamp: { left: fieldOf(left), right: fieldOf(right) } } as unknown as TwoWaySync
  const newer = bindStamp(sync, schemaOf(left), schemaOf(right))
  assert.ok(newer !== null)
  return newer
}

const text: Column = ['text']
const instant: Column = ['instant']
const noon = '2024-06-01T12:00:00.000000Z'
const noonSeconds = 1717243200
const julianNoon = 2460463

describe('point 58: which row was changed last', () => {
  const table: readonly (readonly [left: Column, right: Column, a: Value, b: Value, later: SideName | null])[] = [
    // An instant against what SQLite's CURRENT_TIMESTAMP writes, on the same day.
    [instant, text, noon, '2024-06-01 12:00:02', 'right'],
    [instant, text, '2024-06-01T12:00:05.250000Z', '2024-06-01 12:00:02', 'left'],
    [instant, text, noon, '2024-06-01 11:59:58', 'left'],
    // Within the second that the text shows, nobody can tell.
    [instant, text, '2024-06-01T12:00:02.700000Z', '2024-06-01 12:00:02', null],
    [text, text, '2024-06-01T14:00:01+02:00', noon, 'left'],
    [text, text, '2024-06-01T13:59:58+02:00', noon, 'right'],
    [text, text, '2024-06-01T14:00:00+0200', '2024-06-01T11:30-00:30', null],
    [text, text, '2024-06-01', '2024-06-01T23:00:00Z', null],
    [text, text, '2024-06-02', '2024-06-01T12:00:00Z', null],
    [text, text, '2024-06-03', '2024-06-01T12:00:00Z', 'left'],
    [text, text, '2024-06-01T12:00:00.9Z', '2024-06-01T12:00:00.1Z', 'left'],
    [text, text, noon, noon, null],
    [text, text, '06/01/2024 12:00:01', noon, null],
    [text, text, '', noon, null],
    [text, text, null, noon, null],
    [text, text, '9', '10', null],
    [instant, instant, 'infinity', noon, 'left'],
    [
      ['instant', undefined, 'timestamp(0) with time zone'],
      instant,
      '2024-06-01T12:00:01.000000Z',
      '2024-06-01T12:00:00.600000Z',
      null,
    ],
    [['timestamp'], ['timestamp'], '2024-06-01T12:00:00.000001', '2024-06-01T12:00:00.000000', 'left'],
    [['timestamp', 'utc'], instant, '2024-06-01T12:00:00.000001', noon, 'left'],
    [['date'], ['date'], '2024-06-02', '2024-06-01', 'left'],
    [['date', 'utc'], instant, '2024-06-01', noon, null],
    // Numbers: versions, or what the config says.
    [['decimal'], ['decimal'], '9', '10', 'right'],
    [['integer'], ['integer'], 10n, 9, 'left'],
    [['float'], ['float'], noonSeconds + 0.5, noonSeconds + 0.25, 'left'],
    [['float'], ['float'], julianNoon + 0.5, julianNoon + 0.25, 'left'],
    [['integer', 'seconds'], instant, noonSeconds + 2, noon, 'left'],
    [['integer', 'seconds'], instant, noonSeconds, '2024-06-01T12:00:00.400000Z', null],
    [['float', 'seconds'], instant, noonSeconds + 0.5, '2024-06-01T12:00:00.400000Z', 'left'],
    [['integer', 'milliseconds'], text, noonSeconds * 1000 - 2000, noon, 'right'],
    [['integer', 'microseconds'], instant, noonSeconds * 1_000_000 + 1, noon, 'left'],
    [['float', 'julian-days'], instant, julianNoon + 1 / 86_400, noon, 'left'],
    [['text', 'seconds'], instant, String(noonSeconds - 60), noon, 'right'],
    [['text', 'version'], ['integer'], '10', 9, 'left'],
    [['integer', 'seconds'], instant, null, noon, null],
  ]
  for (const [left, right, a, b, later] of table)
    test(`${left.join(' ')} ${a} and ${right.join(' ')} ${b}: ${later ?? 'nobody can tell'}`, () => {
      assert.equal(compare(left, right)(a, b), later)
      const swapped = later === null ? null : later === 'left' ? 'right' : 'left'
      assert.equal(compare(right, left)(b, a), swapped)
    })

  const refused: readonly (readonly [left: Column, right: Column, says: RegExp])[] = [
    [['timestamp'], instant, /stamp\.left: at is a time without a zone/],
    [text, ['timestamp'], /stamp\.right: at is a time without a zone/],
    [['integer'], instant, /stamp\.left: at is a number/],
    [instant, ['boolean'], /stamp\.right: at is boolean/],
    [['integer', 'utc'], instant, /stamp\.left: at is integer, which is not read as utc/],
    [['instant', 'seconds'], instant, /stamp\.left: at is instant, which is not read as seconds/],
  ]
  for (const [left, right, says] of refused)
    test(`${left.join(' ')} against ${right.join(' ')} is refused`, () => {
      assert.throws(
        () => compare(left, right),
        (error) => error instanceof SyncError && error.code === 'CONFIG_INVALID' && says.test(error.message),
      )
    })
})
