/** Random values: the awkward ones more often than the ordinary ones. */
import type { Random } from './random.ts'

/** Pieces of text that have broken copies, quoting, ordering or decoding somewhere. */
const pieces = [
  ...[
    'a',
    'B',
    'z',
    'Zebra',
    'ä',
    'É',
    'ß',
    'İ',
    'e\u0301',
    ' ',
    '  ',
    '\t',
    '\n',
    '\r\n',
    '\\',
    '\\N',
    '\\.',
    '\\x41',
    '\\n',
    "'",
    '"',
    '""',
    '`',
    ',',
  ],
  ...[
    '\u{e000}',
    '\u{f8ff}',
    '\u{fffd}',
    '\u{ffff}',
    '\u{10000}',
    '😀',
    '👩‍👩‍👧',
    '\u{10ffff}',
    '\u0001',
    '\u001f',
    '\u007f',
    '\u200f',
    '\u2028',
    '\u00a0',
  ],
  ...[
    'NULL',
    'null',
    'NaN',
    '0',
    '-0',
    '1e5',
    '{',
    '}',
    '[]',
    '(',
    ')',
    ';--',
    '$1',
    '%s',
    '\b',
    '\f',
    '\v',
    '日本語',
    'ﬁ',
  ],
]

export function text(random: Random, longest = 8): string {
  if (random.chance(0.08)) return ''
  if (random.chance(0.02)) return random.pick(['\\N', '\\.', 'NULL', '\\']).repeat(random.between(1, 2))
  if (random.chance(0.01) && longest >= 8) return 'long '.repeat(random.between(500, 3000))
  return Array.from({ length: random.between(1, longest) }, () => random.pick(pieces)).join('')
}

/** Enough text that a table has many pages, and a run many batches. */
export function filler(random: Random): string {
  return random.pick(['filler ', '📦\t', '\\']).repeat(random.between(20, 150))
}

/** Text that differs from others by case, accents or plane: byte order, UTF-16 order and collations disagree on it. */
export function keyText(random: Random): string {
  const letters = [
    'a',
    'A',
    'b',
    'B',
    'ä',
    'z',
    'Z',
    '_',
    '-',
    '\u{d7ff}',
    '\u{e000}',
    '\u{fb01}',
    '\u{ffff}',
    '\u{10000}',
    '😀',
    '\u{10ffff}',
    ' ',
    "'",
    '\\',
  ]
  const head = Array.from({ length: random.between(1, 3) }, () => random.pick(letters)).join('')
  return random.chance(0.5) ? head : `${head}${random.between(0, 999)}`
}

export function bigint(random: Random): bigint {
  const edge = random.pick([
    0n,
    1n,
    -1n,
    2n ** 31n,
    2n ** 53n - 1n,
    2n ** 53n,
    2n ** 53n + 1n,
    -(2n ** 53n) - 1n,
    2n ** 62n,
    2n ** 63n - 1n,
    -(2n ** 63n),
  ])
  if (random.chance(0.3)) return edge
  if (random.chance(0.5)) return BigInt(random.between(-1000, 1000))
  const near = edge + BigInt(random.between(-500, 500))
  return near > 2n ** 63n - 1n || near < -(2n ** 63n) ? edge : near
}

export function float(random: Random): string {
  return random.weighted([
    [4, String((random.next() - 0.5) * 1000)],
    [2, String(random.between(-50, 50))],
    [1, '-0'],
    [1, 'NaN'],
    [1, random.pick(['Infinity', '-Infinity'])],
    [
      1,
      random.pick([
        '1.7976931348623157e308',
        '5e-324',
        '0.1',
        '1e21',
        '1e-7',
        '9007199254740993',
        '123456789012345680000',
      ]),
    ],
  ])
}

export function decimal(random: Random): string {
  return random.weighted([
    [4, `${random.pick(['', '-'])}${random.between(0, 99_999)}.${String(random.between(0, 99)).padStart(2, '0')}`],
    [2, `${random.between(0, 9)}.${random.pick(['0', '00', '10', '100', '5', '50'])}`],
    [1, `${random.digits(random.between(20, 60))}.${random.digits(random.between(1, 30))}`],
    [1, `0.${'0'.repeat(random.between(1, 20))}${random.digits(3)}`],
    [1, '0'],
    [1, random.pick(['NaN', 'Infinity', '-Infinity'])],
  ])
}

export function hex(random: Random, longest = 12): string {
  return Array.from({ length: random.between(0, longest) }, () =>
    random.between(0, 255).toString(16).padStart(2, '0'),
  ).join('')
}

export function uuid(random: Random): string {
  const part = (length: number) => Array.from({ length }, () => random.between(0, 15).toString(16)).join('')
  return `${part(8)}-${part(4)}-${part(4)}-${part(4)}-${part(12)}`
}

/** A date as Postgres writes it: also before Christ, beyond year 9999 and at infinity. */
export function date(random: Random): string {
  const day = `${pad(random.between(1, 12))}-${pad(random.between(1, 28))}`
  return random.weighted([
    [7, `${random.between(1900, 2100)}-${day}`],
    [1, `${pad(random.between(1, 4700), 4)}-${day} BC`],
    [1, `${random.between(10_000, 290_000)}-${day}`],
    [1, random.pick(['infinity', '-infinity', '0001-01-01', '9999-12-31', '2024-02-29', '4713-01-01 BC'])],
  ])
}

export function clock(random: Random): string {
  const whole = `${pad(random.between(0, 23))}:${pad(random.between(0, 59))}:${pad(random.between(0, 59))}`
  return `${whole}${random.pick(['', '.5', '.25', '.000001', '.999999', '.120000'])}`
}

/** A point in time as Postgres writes it; `zone` is put behind the clock. */
export function timestamp(random: Random, zone = ''): string {
  const day = date(random)
  if (day.endsWith('infinity')) return day
  const [plain, era = ''] = day.split(' ')
  return `${plain} ${clock(random)}${zone}${era === '' ? '' : ` ${era}`}`
}

export function json(random: Random, depth = 2): string {
  if (depth === 0 || random.chance(0.5)) {
    return random.pick([
      'null',
      'true',
      'false',
      '0',
      '-1.50',
      '1e3',
      '12345678901234567890.123',
      '""',
      JSON.stringify(jsonText(random)),
      '{}',
      '[]',
    ])
  }
  const parts = Array.from({ length: random.between(0, 3) }, () => json(random, depth - 1))
  if (random.chance(0.4)) return `[${parts.join(random.pick([',', ', ']))}]`
  return `{${parts.map((part, at) => `${JSON.stringify(`${random.pick(['b', 'a', 'é', '\u{ffff}', '😀', '__proto__'])}${at}`)}: ${part}`).join(', ')}}`
}

function jsonText(random: Random): string {
  return text(random, 3).slice(0, 200)
}

function pad(number: number, width = 2): string {
  return String(number).padStart(width, '0')
}
