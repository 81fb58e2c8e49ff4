import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { convert, fromFunction, isType } from './convert.ts'
import { SyncError } from './error.ts'
import { canonicalDecimal, equal, type Type, types, type Value } from './value.ts'

const refused = (error: unknown) => error instanceof SyncError && error.code === 'VALUE_REFUSED'

/** The converted value, or 'refused'. */
function tryConvert(value: Value, from: Type, to: Type): { readonly value: Value } | 'refused' {
  try {
    return { value: convert(value, from, to) }
  } catch (error) {
    assert.ok(refused(error))
    return 'refused'
  }
}

const samples: Readonly<Record<Type, fc.Arbitrary<Value>>> = {
  boolean: fc.boolean(),
  integer: fc.oneof(
    fc.maxSafeInteger(),
    fc.integer({ min: -2, max: 2 }),
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 63n - 1n }),
  ),
  float: fc.oneof(fc.double(), fc.integer(), fc.constantFrom(1e21, 1e-7, 5e-324, 2 ** 53)),
  decimal: fc.oneof(
    fc.stringMatching(/^-?\d{1,25}(\.\d{1,25})?$/),
    fc.integer({ min: 300, max: 330 }).map((zeros) => `1${'0'.repeat(zeros)}`),
    fc.integer({ min: 300, max: 330 }).map((zeros) => `0.${'0'.repeat(zeros)}123456789012345`),
    fc.constantFrom('NaN', 'Infinity', '-Infinity'),
  ),
  text: fc.oneof(fc.string(), fc.constantFrom('1', 'true', '2024-02-29', '12:00', '\\x00ff', '{}', '1.50')),
  bytes: fc.uint8Array(),
  uuid: fc.uuid(),
  date: fc.constantFrom('2024-02-29', '0044-03-15 BC', 'infinity', '10000-01-01'),
  time: fc.constantFrom('00:00:00.000000', '23:59:59.999999', '24:00:00.000000'),
  timestamp: fc.constantFrom('2024-02-29T00:00:00.000000', '2024-02-29T12:00:00.000001', 'infinity'),
  instant: fc.constantFrom('2024-02-29T00:00:00.000000Z', '2024-02-29T12:00:00.000001Z', '-infinity'),
  json: fc.jsonValue().map((value) => JSON.stringify(value)),
}

describe('convert', () => {
  for (const from of types) {
    for (const to of types) {
      // Text means what it is read as: 't' as a boolean is true, whose text is 'true'.
      if (from === 'text' || to === 'json' || (from === 'json' && to !== 'text')) continue
      test(`from ${from} to ${to} and back nothing is lost, or it is refused`, () => {
        fc.assert(
          fc.property(samples[from], (value) => {
            const there = tryConvert(value, from, to)
            if (there === 'refused') return
            const back = tryConvert(there.value, to, from)
            assert.ok(
              back !== 'refused' && meansTheSame(from, value, back.value),
              `${String(value)} → ${String(there.value)}`,
            )
          }),
        )
      })
    }
  }

  for (const to of types) {
    test(`text becomes ${to}, and that is a value of the type, or it is refused`, () => {
      fc.assert(
        fc.property(samples.text, (text) => {
          const there = tryConvert(text, 'text', to)
          if (there !== 'refused')
            assert.ok(equal(to, convert(convert(there.value, to, 'text'), 'text', to), there.value))
        }),
      )
    })
  }

  for (const from of types) {
    test(`${from} becomes JSON: the same number, or a string that spells it`, () => {
      fc.assert(
        fc.property(samples[from], (value) => {
          const json = String(convert(value, from, 'json'))
          const parsed: unknown = JSON.parse(json)
          if (from === 'text' || from === 'json') return
          if (typeof parsed === 'string') assert.equal(parsed, convert(value, from, 'text'))
          else assert.ok(meansTheSame(from, value, convert(json, 'json', from)))
        }),
      )
    })
  }

  const table: readonly (readonly [from: Type, to: Type, value: Value, converted: Value | 'refused'])[] = [
    ['integer', 'text', 9007199254740993n, '9007199254740993'],
    ['integer', 'float', 9007199254740993n, 'refused'],
    ['integer', 'decimal', 5, '5'],
    ['integer', 'boolean', 1, true],
    ['integer', 'boolean', 2, 'refused'],
    ['boolean', 'integer', true, 1],
    ['decimal', 'integer', '5.00', 5],
    ['decimal', 'integer', '5.01', 'refused'],
    ['decimal', 'float', '0.1', 0.1],
    ['decimal', 'float', '0.1000000000000000055', 'refused'],
    ['decimal', 'float', `1${'0'.repeat(400)}`, 'refused'],
    ['decimal', 'float', `0.${'0'.repeat(400)}1`, 'refused'],
    ['float', 'integer', 0.5, 'refused'],
    ['float', 'integer', Number.NaN, 'refused'],
    ['float', 'decimal', Infinity, 'Infinity'],
    ['text', 'uuid', '0A1B2C3D000040008000000000000001', '0a1b2c3d-0000-4000-8000-000000000001'],
    ['text', 'uuid', '0a1b2c3d', 'refused'],
    ['text', 'integer', ' 5', 'refused'],
    ['text', 'bytes', '\\x00FF', Uint8Array.of(0, 255)],
    ['text', 'json', '{"a":1}', '{"a":1}'],
    ['text', 'json', 'plain', '"plain"'],
    ['instant', 'date', '2024-02-29T12:00:00.000000Z', 'refused'],
    ['timestamp', 'date', '2024-02-29T00:00:00.000000', '2024-02-29'],
    ['timestamp', 'time', '2024-02-29T12:00:00.000000', 'refused'],
    ['date', 'timestamp', '2024-02-29', '2024-02-29T00:00:00.000000'],
    ['text', 'timestamp', '2024-02-29 12:00+02:00', 'refused'],
    ['decimal', 'date', 'Infinity', 'refused'],
    ['date', 'float', 'infinity', 'refused'],
    ['text', 'integer', null, null],
  ]
  for (const [from, to, value, converted] of table) {
    test(`${from} ${String(value).slice(0, 40)} as ${to} is ${String(converted)}`, () => {
      const result = tryConvert(value, from, to)
      assert.deepEqual(result === 'refused' ? result : result.value, converted)
    })
  }
})

describe('what a function returns', () => {
  const table: readonly (readonly [type: Type, returned: unknown, value: Value | 'refused'])[] = [
    ['text', 'a', 'a'],
    ['text', 5, '5'],
    ['text', 5n, '5'],
    ['text', true, 'true'],
    ['text', null, null],
    ['text', undefined, 'refused'],
    ['json', undefined, 'refused'],
    ['text', null, null],
    ['text', { a: 1 }, 'refused'],
    ['text', () => 1, 'refused'],
    ['integer', 5, 5],
    ['integer', 5.5, 'refused'],
    ['integer', 2n ** 60n, 2n ** 60n],
    ['float', Number.NaN, Number.NaN],
    ['decimal', 0.5, '0.5'],
    ['boolean', false, false],
    ['boolean', 'yes', true],
    ['boolean', 'NO', false],
    ['boolean', 'maybe', 'refused'],
    ['json', { b: [1, null] }, '{"b":[1,null]}'],
    ['bytes', Uint8Array.of(1), Uint8Array.of(1)],
    ['instant', new Date(0), '1970-01-01T00:00:00.000000Z'],
    ['date', new Date(0), '1970-01-01'],
    ['date', new Date(1), 'refused'],
    ['date', new Date(Number.NaN), 'refused'],
    ['uuid', 'no uuid', 'refused'],
  ]
  for (const [type, returned, value] of table) {
    test(`${spell(returned)} as ${type} is ${String(value)}`, () => {
      if (value === 'refused') assert.throws(() => fromFunction(type, returned, 'compute'), refused)
      else assert.deepEqual(fromFunction(type, returned, 'compute'), value)
    })
  }
})

test('types are known by name', () => {
  assert.ok(isType('instant'))
  assert.ok(!isType('varchar'))
})

function meansTheSame(type: Type, a: Value, b: Value): boolean {
  // A number’s sign of zero is not part of what it means elsewhere.
  if (type === 'float' && a === 0) return b === 0
  return equal(type, a, b) || (type === 'decimal' && canonicalDecimal(String(a)) === canonicalDecimal(String(b)))
}

function spell(value: unknown): string {
  return value instanceof Date
    ? `the date ${value.getTime()}`
    : typeof value === 'object'
      ? JSON.stringify(value)
      : String(value)
}
