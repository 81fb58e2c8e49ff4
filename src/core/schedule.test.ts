import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  firstInstant,
  formatSchedule,
  nextInstant,
  parseSchedule,
  type Schedule,
  type ScheduleText,
} from './schedule.ts'

const at = (text: string) => Date.parse(text)

/** The first `count` instants after `from`, in UTC without the seconds. */
function instants(schedule: Schedule, from: string, count: number): string[] {
  const found: string[] = []
  for (let now = at(from); found.length < count; ) {
    const next = nextInstant(schedule, now, now)
    if (next === null) break
    found.push(new Date(next).toISOString().slice(0, 16))
    now = next
  }
  return found
}

function cron(cron: string, zone: string): Schedule {
  const schedule = parseSchedule({ cron, zone })
  assert.ok(typeof schedule !== 'string', String(schedule))
  return schedule
}

describe('hazard 25: clocks that are set forward and back', () => {
  const cases: readonly (readonly [name: string, schedule: Schedule, from: string, expected: readonly string[]])[] = [
    [
      'a skipped time runs at the next instant',
      cron('30 2 * * *', 'Europe/Berlin'),
      '2025-03-29T12:00Z',
      ['2025-03-30T01:00', '2025-03-31T00:30', '2025-04-01T00:30'],
    ],
    [
      'a doubled time runs once, the first time',
      cron('30 2 * * *', 'Europe/Berlin'),
      '2025-10-25T12:00Z',
      ['2025-10-26T00:30', '2025-10-27T01:30'],
    ],
    [
      'every hour is every hour when the clocks go back',
      cron('0 * * * *', 'Europe/Berlin'),
      '2025-10-25T22:30Z',
      ['2025-10-25T23:00', '2025-10-26T00:00', '2025-10-26T01:00', '2025-10-26T02:00'],
    ],
    [
      'every half hour is so when they go forward',
      cron('*/30 * * * *', 'Europe/Berlin'),
      '2025-03-30T00:20Z',
      ['2025-03-30T00:30', '2025-03-30T01:00', '2025-03-30T01:30', '2025-03-30T02:00'],
    ],
    [
      'New York, back',
      cron('30 1 * * *', 'America/New_York'),
      '2025-11-01T12:00Z',
      ['2025-11-02T05:30', '2025-11-03T06:30'],
    ],
    [
      'New York, forward',
      cron('30 2 * * *', 'America/New_York'),
      '2025-03-08T12:00Z',
      ['2025-03-09T07:00', '2025-03-10T06:30'],
    ],
    [
      'half an hour is skipped on Lord Howe Island',
      cron('15 2 * * *', 'Australia/Lord_Howe'),
      '2025-10-04T00:00Z',
      ['2025-10-04T15:30', '2025-10-05T15:15'],
    ],
    [
      'midnight is skipped in Beirut',
      cron('0 0 * * *', 'Asia/Beirut'),
      '2025-03-29T12:00Z',
      ['2025-03-29T22:00', '2025-03-30T21:00'],
    ],
    ['a leap day', cron('0 0 29 2 *', 'UTC'), '2025-03-08T12:00Z', ['2028-02-29T00:00', '2032-02-29T00:00']],
    [
      'an interval does not look at clocks',
      { kind: 'interval', everyMs: 3_600_000 },
      '2025-03-30T00:30Z',
      ['2025-03-30T01:30', '2025-03-30T02:30'],
    ],
  ]
  for (const [name, schedule, from, expected] of cases) {
    test(name, () => assert.deepEqual(instants(schedule, from, expected.length), expected))
  }

  test('in every zone, once a day is due once in each of the days around a change of the clocks', () => {
    for (const zone of ['Europe/Berlin', 'America/New_York', 'America/Santiago', 'Africa/Casablanca', 'Asia/Kolkata']) {
      for (let hour = 0; hour < 24; hour++) {
        for (const day of ['2025-03-08', '2025-03-29', '2025-04-05', '2025-09-06', '2025-10-25', '2025-11-01']) {
          const found = instants(cron(`20 ${hour} * * *`, zone), `${day}T00:00Z`, 4).map((text) => at(`${text}Z`))
          for (const [index, instant] of found.entries()) {
            const before = found[index - 1]
            if (before === undefined) continue
            const hours = (instant - before) / 3_600_000
            assert.ok(hours >= 23 && hours <= 25, `${zone} ${hour}:20 after ${day}: ${hours} h`)
          }
        }
      }
    }
  })
})

describe('intervals', () => {
  const every: Schedule = { kind: 'interval', everyMs: 900_000 }

  test('stay in step, and what was missed is not made up for', () => {
    const due = at('2025-01-01T00:05Z')
    assert.equal(nextInstant(every, at('2025-01-01T00:05:30Z'), due), at('2025-01-01T00:20Z'))
    assert.equal(nextInstant(every, at('2025-01-01T09:59Z'), due), at('2025-01-01T10:05Z'))
  })

  test('the next instant is later than now and at most one interval away, also when the clock was set back', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), fc.integer({ min: 1, max: 1e9 }), (now, due, everyMs) => {
        const next = nextInstant({ kind: 'interval', everyMs }, now, due)
        assert.ok(next !== null && next > now && next <= now + everyMs)
      }),
    )
  })

  test('a new one is due at once, a new cron expression at its next time, others never', () => {
    const now = at('2025-01-01T00:05Z')
    assert.equal(firstInstant(every, now), now)
    assert.equal(firstInstant(cron('0 * * * *', 'UTC'), now), at('2025-01-01T01:00Z'))
    for (const kind of ['manual', 'webhook'] as const) assert.equal(firstInstant({ kind }, now), null)
    assert.equal(firstInstant({ kind: 'after', sync: 'a' }, now), null)
  })
})

describe('what people write', () => {
  const read: readonly (readonly [ScheduleText, string])[] = [
    ['15m', 'every 15m'],
    ['every 15 minutes', 'every 15m'],
    ['every_15_minutes', 'every 15m'],
    ['every_hour', 'every 1h'],
    ['hourly', 'every 1h'],
    ['90s', 'every 90s'],
    ['1.5h', 'every 90m'],
    [{ every: '2 days' }, 'every 2d'],
    ['0 6 * * 1-5', '0 6 * * 1-5 (UTC)'],
    [{ cron: '0 6 * * *', zone: 'Europe/Berlin' }, '0 6 * * * (Europe/Berlin)'],
    ['0 6 * * 1-5 (Europe/Berlin)', '0 6 * * 1-5 (Europe/Berlin)'],
    ['@daily', '@daily (UTC)'],
    ['@daily (America/Argentina/Buenos_Aires)', '@daily (America/Argentina/Buenos_Aires)'],
    ['manual', 'manual'],
    ['webhook', 'webhook'],
    ['continuous', 'continuous'],
    [{ after: 'orders' }, 'after orders'],
  ]
  for (const [written, expected] of read) {
    test(`${JSON.stringify(written)} is read`, () => {
      const schedule = parseSchedule(written)
      assert.ok(typeof schedule !== 'string', String(schedule))
      assert.equal(formatSchedule(schedule), expected)
    })
  }

  const refused: readonly (readonly [ScheduleText, RegExp])[] = [
    ['soon', /"soon" is no schedule: write a time like "15m"/],
    ['every', /is no schedule/],
    ['every 0 minutes', /is no schedule/],
    ['-5m', /is no schedule/],
    ['every 5 parsecs', /is no schedule/],
    ['61 * * * *', /can't be read/],
    [{ cron: '0 0 31 2 *' }, /never comes/],
    [{ cron: '0 6 * * *', zone: 'Berlin' }, /no time zone "Berlin"/],
    ['0 6 * * * (Berlin)', /no time zone "Berlin"/],
    ['0 6 * * * (Europe/Berlin) (UTC)', /can't be read/],
    ['(UTC)', /is no schedule/],
    [{ every: 'now' }, /is no schedule/],
  ]
  for (const [written, reason] of refused) {
    test(`${JSON.stringify(written)} is refused with a reason`, () => {
      const schedule = parseSchedule(written)
      assert.ok(typeof schedule === 'string')
      assert.match(schedule, reason)
    })
  }
})
