/** Column types of random Postgres tables, and values for them in Postgres' own spelling. */
import type { Kind } from './canonical.ts'
import type { Random } from './random.ts'
import { bigint, clock, date, decimal, filler, float, hex, json, keyText, text, timestamp, uuid } from './values.ts'

export interface PostgresType {
  /** As written in CREATE TABLE. */
  readonly native: string
  readonly kind: Kind
  readonly value: (random: Random) => string
  /** A type that holds every value of this one. */
  readonly wider?: PostgresType
}

/** Types that the tables use; enums, domains and composites are made in both databases or only at the source. */
export const typesSql = `
  CREATE TYPE mood AS ENUM ('sad', 'Ok', 'ok', 'happy ''n'' "glad"', 'ä😀');
  CREATE SCHEMA "odd schema";
  CREATE TYPE "odd schema"."Odd Type" AS (x integer, "y z" text, at timestamptz);
  CREATE DOMAIN positive AS integer CHECK (value > 0);
  CREATE DOMAIN label AS varchar(20);
  CREATE DOMAIN nested_label AS label CHECK (value <> 'never');`

const type = (native: string, kind: Kind, value: PostgresType['value'], wider?: PostgresType): PostgresType => ({
  native,
  kind,
  value,
  ...(wider === undefined ? {} : { wider }),
})

const bigInteger = type('bigint', 'integer', (random) => String(bigint(random)))
const integer = type(
  'integer',
  'integer',
  (random) => String(random.pick([random.between(-100, 100), 2147483647, -2147483648])),
  bigInteger,
)
const smallint = type(
  'smallint',
  'integer',
  (random) => String(random.pick([random.between(-100, 100), 32767, -32768])),
  integer,
)
const double = type('double precision', 'float', float)
const real = type(
  'real',
  'float',
  (random) =>
    random.pick([
      '0',
      '-0',
      '0.1',
      '1.5',
      'NaN',
      'Infinity',
      '-Infinity',
      '3.4028235e38',
      '1e-45',
      String(random.between(-999, 999) / 8),
    ]),
  double,
)
const anyText = type('text', 'text', (random) => text(random))
const longer = type('varchar(60)', 'text', (random) => cut(text(random), 60), anyText)
const shorter = type('varchar(20)', 'text', (random) => cut(text(random), 20), longer)
// Non-key decimals keep their spelling to the last zero, so they are compared as text.
const numeric = type('numeric', 'text', decimal)
const wide = type('numeric(14,2)', 'text', money, numeric)
const narrow = type('numeric(12,2)', 'text', money, wide)

/** Every type, by how often it is drawn. */
export const columnTypes: readonly PostgresType[] = [
  ...[smallint, integer, bigInteger, real, double, anyText, anyText, shorter, longer, numeric, wide, narrow],
  type('boolean', 'boolean', (random) => random.pick(['t', 'f'])),
  type('oid', 'integer', (random) => random.pick(['0', '4294967295', String(random.between(1, 99_999))])),
  type(
    'numeric(38,10)',
    'text',
    (random) => `${random.pick(['', '-'])}${random.digits(random.between(1, 28))}.${random.digits(10)}`,
  ),
  type('char(8)', 'text', (random) => cut(text(random).replaceAll('\0', ''), 8)),
  type('name', 'text', (random) => cut(text(random), 12)),
  type('bytea', 'bytes', (random) => `\\x${hex(random)}`),
  type('uuid', 'uuid', uuid),
  type('date', 'date', date),
  type('time', 'time', (random) => random.pick([clock(random), '24:00:00', '00:00:00'])),
  type(
    'time with time zone',
    'text',
    (random) => `${clock(random)}${random.pick(['+00', '-03:30', '+05:45', '+15:59'])}`,
  ),
  type('timestamp', 'timestamp', (random) => timestamp(random)),
  type('timestamp(3)', 'timestamp', (random) => timestamp(random)),
  type('timestamptz', 'instant', (random) => timestamp(random, random.pick(['+00', '-08', '+05:45']))),
  type('json', 'json', (random) => json(random)),
  type('jsonb', 'json', (random) => json(random)),
  type('integer[]', 'text', (random) =>
    random.pick(['{}', '{1,2,3}', '{NULL,-5}', '{{1,2},{3,4}}', '[0:1]={7,8}', `{${random.between(0, 99)}}`]),
  ),
  type('text[]', 'text', (random) => arrayOf([text(random), 'NULL', '', text(random)].slice(0, random.between(0, 4)))),
  type('timestamptz[]', 'text', (random) =>
    arrayOf([timestamp(random, '+00'), 'infinity'].slice(0, random.between(0, 2))),
  ),
  type('mood', 'text', mood),
  type('mood[]', 'text', (random) => arrayOf([mood(random), mood(random)].slice(0, random.between(0, 2)))),
  type('positive', 'integer', (random) => String(random.between(1, 2147483647))),
  type('nested_label', 'text', (random) => cut(text(random), 20)),
  type(
    '"odd schema"."Odd Type"',
    'text',
    (random) =>
      `(${random.between(0, 9)},${quoted(text(random))},${random.pick(['', '2020-01-01 00:00:00+00', 'infinity'])})`,
  ),
  type('int4range', 'text', (random) => random.pick(['empty', '(,)', '[1,5]', `[${random.between(0, 50)},99)`])),
  type('numrange', 'text', (random) => random.pick(['[1.0,2.50]', '(,0)', 'empty'])),
  type('tstzrange', 'text', (random) =>
    random.pick(['["2020-01-01 00:00:00+00","2021-01-01 00:00:00+00")', '[,infinity]', 'empty']),
  ),
  type('datemultirange', 'text', (random) => random.pick(['{}', '{[2020-01-01,2020-02-01),[2021-01-01,)}'])),
  type('interval', 'text', (random) =>
    random.pick([
      '1 day',
      '24:00:00',
      '-1 year 2 mons -3 days +04:05:06.789',
      '00:00:00.000001',
      `${random.between(-99, 99)} mons`,
    ]),
  ),
  type('inet', 'text', (random) =>
    random.pick(['10.0.0.1', '10.0.0.1/8', '::1', '2001:db8::/32', `192.168.0.${random.between(0, 255)}`]),
  ),
  type('cidr', 'text', (random) => random.pick(['10.0.0.0/8', '2001:db8::/32'])),
  type('macaddr', 'text', (random) => `08:00:2b:01:02:${String(random.between(10, 99))}`),
  type('bit(5)', 'text', (random) => random.pick(['00000', '10101', '11111'])),
  type('bit varying(9)', 'text', (random) => random.pick(['', '1', '000111'])),
  type('point', 'text', (random) => `(${random.between(-9, 9)},${random.pick(['0.1', 'NaN', 'Infinity', '1e+300'])})`),
  type('money', 'text', (random) => money(random)),
  type('tsvector', 'text', (random) => random.pick(["'a':1 'b':2A", "'quo''te':3", ''])),
]

/** Types for key fields. Values of one type that are equal are spelled equally, numeric apart. */
export const keyTypes: readonly PostgresType[] = [
  integer,
  bigInteger,
  bigInteger,
  type('text', 'text', keyText),
  type('text', 'text', keyText),
  type('text COLLATE "C"', 'text', keyText),
  type('varchar(40)', 'text', keyText),
  type('char(6)', 'text', (random) => cut(keyText(random).replaceAll(' ', '_'), 6)),
  type('uuid', 'uuid', uuid),
  type('numeric', 'decimal', (random) =>
    random.pick([decimal(random), `${random.between(-50, 50)}${random.pick(['', '.0', '.5', '.50'])}`]),
  ),
  type('date', 'date', date),
  type('timestamp', 'timestamp', (random) => timestamp(random)),
  type('timestamptz', 'instant', (random) => timestamp(random, '+00')),
  type('time', 'time', clock),
  type('bytea', 'bytes', (random) => `\\x${hex(random, 4)}`),
  // Equal values with more than one spelling.
  type('interval', 'text', (random) =>
    random.pick([
      `${random.between(1, 20)} days`,
      `${24 * random.between(1, 20)}:00:00`,
      `${random.between(1, 40)} mons`,
    ]),
  ),
  type('numrange', 'text', (random) => `[${random.between(0, 40)}${random.pick(['', '.0', '.00'])},50)`),
  type('inet', 'text', (random) => `10.${random.between(0, 255)}.${random.between(0, 255)}.1`),
]

/** For the second field of a composite key. */
export const smallKeyTypes: readonly PostgresType[] = [
  type('boolean', 'boolean', (random) => random.pick(['t', 'f'])),
  type('mood', 'text', mood),
  type('smallint', 'integer', (random) => String(random.between(-9, 9))),
  type('text', 'text', keyText),
]

/** For the column that filters look at. */
export const gradeType = type('text', 'text', (random) => random.pick(['a', 'B', 'ä', 'z', '']))
export const fillerType = type('text', 'text', filler)
export const stampType = type('timestamptz', 'instant', () => 'now')
export const levelType = type('integer', 'integer', (random) => String(random.between(0, 9)))

function money(random: Random): string {
  return `${random.pick(['', '-'])}${random.between(0, 999_999)}.${String(random.between(0, 99)).padStart(2, '0')}`
}

function mood(random: Random): string {
  return random.pick(['sad', 'Ok', 'ok', `happy 'n' "glad"`, 'ä😀'])
}

function quoted(value: string): string {
  return `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`
}

function arrayOf(values: readonly string[]): string {
  return `{${values.map((value) => (value === 'NULL' ? value : quoted(value))).join(',')}}`
}

/** By code points, and not in the middle of one. */
function cut(value: string, length: number): string {
  return [...value].slice(0, length).join('')
}
