import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { compareTimes, normalizeTime } from './time.ts'

type TimeType = Parameters<typeof normalizeTime>[0]

describe('what people write, in our spelling', () => {
  const table: readonly (readonly [type: TimeType, text: string, normal: string | null])[] = [
    ['date', '2024-02-29', '2024-02-29'],
    ['date', ' 0044-03-15 bc ', '0044-03-15 BC'],
    ['date', '10000-01-01', '10000-01-01'],
    ['date', 'Infinity', 'infinity'],
    ['date', '-infinity', '-infinity'],
    ['date', '2024-02-29T00:00:00.000000Z', '2024-02-29'],
    ['date', '2024-02-29 12:00', null],
    ['date', '2023-02-29', null],
    ['date', '1900-02-29', null],
    ['date', '2000-02-29', '2000-02-29'],
    ['date', '0001-02-29 BC', '0001-02-29 BC'],
    ['date', '2024-13-01', null],
    ['date', '2024-00-10', null],
    ['date', '2024-04-31', null],
    ['date', '24-04-30', null],
    ['date', 'tomorrow', null],
    ['time', '13:05', '13:05:00.000000'],
    ['time', '13:05:09.25', '13:05:09.250000'],
    ['time', '24:00', '24:00:00.000000'],
    ['time', '24:00:00.000001', null],
    ['time', '25:00', null],
    ['time', '12:60', null],
    ['time', '12:00:61', null],
    ['time', '12:00:00.1234567', null],
    ['time', '12:00:00.1234560', '12:00:00.123456'],
    ['timestamp', '2024-02-29 13:05', '2024-02-29T13:05:00.000000'],
    ['timestamp', '2024-02-29', '2024-02-29T00:00:00.000000'],
    ['timestamp', '2024-02-29T13:05:09.25Z', '2024-02-29T13:05:09.250000'],
    ['timestamp', '2024-02-29 13:05+02', null],
    ['timestamp', '2024-02-29 25:00', null],
    ['timestamp', '2024-02-30 12:00', null],
    ['timestamp', '0044-03-15 12:00 BC', '0044-03-15T12:00:00.000000 BC'],
    ['instant', '2024-02-29 13:05', '2024-02-29T13:05:00.000000Z'],
    ['instant', '2024-02-29T13:05:09.123456+02:00', '2024-02-29T11:05:09.123456Z'],
    ['instant', '2024-02-29T23:05:09-0130', '2024-03-01T00:35:09.000000Z'],
    ['instant', '2024-02-29 13:05:09+00', '2024-02-29T13:05:09.000000Z'],
    ['instant', '9999-12-31T23:00:00-02:00', null],
    ['instant', '0001-01-01T00:00:00+02:00', null],
    ['instant', '10000-01-01T00:00:00+02:00', null],
    ['instant', '10000-01-01T00:00:00Z', '10000-01-01T00:00:00.000000Z'],
    ['instant', 'infinity', 'infinity'],
    ['instant', '2024-02-29T24:00:00Z', null],
  ]
  for (const [type, text, normal] of table) {
    test(normal === null ? `'${text}' is no ${type}` : `'${text}' as ${type} is '${normal}'`, () => {
      assert.equal(normalizeTime(type, text), normal)
    })
  }

  test('what is in our spelling stays as it is', () => {
    for (const [type, , normal] of table) if (normal !== null) assert.equal(normalizeTime(type, normal), normal)
  })
})

describe('the order of time', () => {
  const ascending = [
    '-infinity',
    '10000-01-01T00:00:00.000000Z BC',
    '0045-01-01T00:00:00.000000Z BC',
    '0044-03-15T12:00:00.000000Z BC',
    '0044-03-15T12:00:00.000001Z BC',
    '0001-01-01T00:00:00.000000Z',
    '0999-12-31T23:59:59.999999Z',
    '1000-01-01T00:00:00.000000Z',
    '2024-02-29T12:00:00.000000Z',
    '2024-02-29T12:00:00.500000Z',
    '9999-12-31T23:59:59.999999Z',
    '10000-01-01T00:00:00.000000Z',
    '294276-12-31T23:59:59.999999Z',
    'infinity',
  ]
  test('runs from minus infinity through the years before Christ and beyond 9999 to infinity', () => {
    for (const [i, a] of ascending.entries())
      for (const [j, b] of ascending.entries())
        assert.equal(Math.sign(compareTimes(a, b)), Math.sign(i - j), `${a} ${b}`)
  })

  test('is that of the clock for times of day', () => {
    assert.ok(compareTimes('09:59:59.999999', '12:00:00.000000') < 0)
    assert.ok(compareTimes('24:00:00.000000', '23:59:59.999999') > 0)
  })
})
