/** Spellings of points in time: normalising what people write, and order beyond four-digit years. */

/**
 * Turns a person's or a driver's spelling of a date, time, timestamp or instant into ours; null when it is none, or when
 * the type can't hold all of it: a date no time of day, a timestamp no zone but UTC.
 */
export function normalizeTime(type: 'date' | 'time' | 'timestamp' | 'instant', text: string): string | null {
  const trimmed = text.trim()
  if (type !== 'time' && /^[+-]?infinity$/i.test(trimmed)) return trimmed.startsWith('-') ? '-infinity' : 'infinity'
  if (type === 'time') return normalizeClock(trimmed)
  const match =
    /^(\d{4,})-(\d\d)-(\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)\s*(Z|[+-]\d\d(?::?\d\d)?)?)?( BC)?$/i.exec(trimmed)
  if (match === null) return null
  const [, year = '', month = '', day = '', clock, zone, era = ''] = match
  const time = normalizeClock(clock ?? '00:00:00')
  if (time === null || time.startsWith('24') || !dayExists(era === '' ? Number(year) : 1 - Number(year), month, day))
    return null
  const date = `${year}-${month}-${day}`
  const offset = zone === undefined ? 0 : zoneMinutes(zone)
  if (type !== 'instant' && offset !== 0) return null
  if (type === 'date') return time === '00:00:00.000000' ? date + era.toUpperCase() : null
  if (type === 'timestamp') return `${date}T${time}${era.toUpperCase()}`
  if (offset === 0) return `${date}T${time}Z${era.toUpperCase()}`
  if (era !== '' || year.length > 4) return null
  const shifted = Date.parse(`${date}T${time.slice(0, 8)}Z`) - offset * 60_000
  // Into another year of four digits it can't be shifted: year 0 and year 10000 are spelled otherwise.
  const utc = Number.isNaN(shifted) ? '' : new Date(shifted).toISOString()
  return utc.length !== 24 || utc.startsWith('0000') ? null : `${utc.slice(0, 19)}${time.slice(8)}Z`
}

/** Time order of two normalised spellings of one type, also before year 1, after year 9999 and at infinity. */
export function compareTimes(a: string, b: string): number {
  if (a === b) return 0
  if (plain(a) && plain(b)) return a < b ? -1 : 1
  const x = era(a)
  const y = era(b)
  if (x.rank !== y.rank) return x.rank - y.rank
  if (x.year !== y.year) return (x.year - y.year) * (x.rank < 0 ? -1 : 1)
  return x.rest < y.rest ? -1 : x.rest > y.rest ? 1 : 0
}

function plain(text: string): boolean {
  return (text[2] === ':' || text[4] === '-') && !text.endsWith('BC')
}

/** rank: -infinity −2, before Christ −1, after 0, infinity 1. */
function era(text: string): { rank: number; year: number; rest: string } {
  if (text === 'infinity') return { rank: 1, year: 0, rest: '' }
  if (text === '-infinity') return { rank: -2, year: 0, rest: '' }
  const dash = text.indexOf('-')
  const rest = text.slice(dash).replace(/ BC$/, '')
  return { rank: text.endsWith(' BC') ? -1 : 0, year: Number(text.slice(0, dash)), rest }
}

function normalizeClock(text: string): string | null {
  const match = /^([01]\d|2[0-4]):([0-5]\d)(?::([0-5]\d)(?:\.(\d{1,6})0*)?)?$/.exec(text)
  if (match === null) return null
  const time = `${match[1]}:${match[2]}:${match[3] ?? '00'}.${(match[4] ?? '').padEnd(6, '0')}`
  return time > '24:00:00.000000' ? null : time
}

/** Whether the Gregorian calendar, also before its time, has this day. The year before year 1 is 0. */
function dayExists(year: number, month: string, day: string): boolean {
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
  const days = [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][Number(month) - 1] ?? 0
  return Number(day) >= 1 && Number(day) <= days
}

function zoneMinutes(zone: string): number {
  if (/^z$/i.test(zone)) return 0
  const digits = zone.slice(1).replace(':', '')
  const minutes = Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2) || '0')
  return zone.startsWith('-') ? -minutes : minutes
}
