/** Declared types of random SQLite tables, and values for them as SQL literals. */
import type { Kind } from './canonical.ts'
import type { Random } from './random.ts'
import { bigint, decimal, filler, hex, json, keyText, text, uuid } from './values.ts'

export interface SqliteType {
  readonly declared: string
  readonly kind: Kind
  readonly value: (random: Random) => string
  /** Whether a STRICT table may have it. */
  readonly strict: boolean
  /** SQL condition over the column `c` that holds for values of the right storage class. */
  readonly right: string
  /** What a rebuilt table may declare instead, with every value kept. */
  readonly wider?: SqliteType
}

const make = (
  declared: string,
  kind: Kind,
  value: SqliteType['value'],
  strict = false,
  wider?: SqliteType,
): SqliteType => ({
  declared,
  kind,
  value,
  strict,
  right: rightClass(kind),
  ...(wider === undefined ? {} : { wider }),
})

const anyText = make('TEXT', 'text', (random) => literal(text(random)), true)
const numeric = make('NUMERIC', 'decimal', number)

export const columnTypes: readonly SqliteType[] = [
  anyText,
  anyText,
  make('INTEGER', 'integer', (random) => String(bigint(random)), true),
  make('INT', 'integer', (random) => String(bigint(random)), true),
  make('BIGINT', 'integer', (random) => String(bigint(random)), false, numeric),
  make('VARCHAR(20)', 'text', (random) => literal(text(random)), false, anyText),
  make('CHARACTER(10)', 'text', (random) => literal(text(random))),
  make('REAL', 'float', real, true),
  make('DOUBLE PRECISION', 'float', real),
  make('BLOB', 'bytes', (random) => `x'${hex(random)}'`, true),
  numeric,
  make('DECIMAL(10,2)', 'decimal', number),
  make('BOOLEAN', 'boolean', (random) => random.pick(['0', '1', 'true', 'false'])),
  make('JSON', 'json', (random) => literal(json(random))),
  make('UUID', 'uuid', (random) => literal(random.chance(0.2) ? uuid(random).toUpperCase() : uuid(random))),
  make('DATE', 'text', (random) => literal(random.pick(['2025-01-31', '1066-10-14', 'yesterday']))),
  make('DATETIME', 'text', (random) => literal(random.pick(['2025-01-31 10:00:00', '2025-01-31T10:00:00Z', '']))),
  make('', 'text', (random) => literal(text(random))),
]

/** For key fields: each is declared so that equal keys are spelled equally. */
export const keyTypes: readonly SqliteType[] = [
  make('INTEGER', 'integer', smallOrBig, true),
  make('INTEGER', 'integer', smallOrBig, true),
  make('INT', 'integer', smallOrBig, true),
  make('TEXT', 'text', (random) => literal(keyText(random)), true),
  make('TEXT', 'text', (random) => literal(keyText(random)), true),
  make('TEXT COLLATE NOCASE', 'text', (random) => literal(keyText(random)), true),
  make('VARCHAR(40)', 'text', (random) => literal(keyText(random))),
  make('UUID', 'uuid', (random) => literal(uuid(random))),
  make('BLOB', 'bytes', (random) => `x'${hex(random, 4)}'`, true),
  make('NUMERIC', 'decimal', (random) =>
    random.pick([
      String(random.between(-300, 300)),
      String(random.between(-99, 99) / 4),
      String(bigint(random)),
      '1e20',
      '1e-7',
      '123456.75e10',
    ]),
  ),
  make(
    'REAL',
    'float',
    (random) => random.pick([String(random.between(-300, 300) / 8), '0.1', '1e300', '9e999', '-9e999']),
    true,
  ),
  make('DATE', 'text', (random) =>
    literal(`20${random.between(10, 99)}-0${random.between(1, 9)}-${random.between(10, 28)}`),
  ),
]

export const smallKeyTypes: readonly SqliteType[] = [
  make('BOOLEAN', 'boolean', (random) => random.pick(['0', '1'])),
  make('INTEGER', 'integer', (random) => String(random.between(-9, 9)), true),
  make('TEXT', 'text', (random) => literal(keyText(random)), true),
]

export const gradeType = make('TEXT', 'text', (random) => literal(random.pick(['a', 'B', 'ä', 'z', ''])), true)
export const fillerType = make('TEXT', 'text', (random) => literal(filler(random)), true)
export const levelType = make('INTEGER', 'integer', (random) => String(random.between(0, 9)), true)

/** A value of another storage class than its column declares; SQLite takes it, and its row has to be refused. */
export function strayValue(random: Random, kind: Kind): string {
  if (kind === 'integer' || kind === 'boolean' || kind === 'decimal')
    return random.pick([
      `'no number'`,
      `x'31'`,
      ...(kind === 'integer' ? ['1.5'] : []),
      ...(kind === 'boolean' ? ['2'] : []),
    ])
  if (kind === 'float') return random.pick([`'no number'`, `x'31'`])
  if (kind === 'bytes') return random.pick([`'text'`, '1.5'])
  return `x'00ff'`
}

/** As an SQL literal; by way of its bytes where a character would end the statement. */
export function literal(value: string): string {
  return value.includes('\0')
    ? `CAST(x'${Buffer.from(value).toString('hex')}' AS TEXT)`
    : `'${value.replaceAll("'", "''")}'`
}

function rightClass(kind: Kind): string {
  switch (kind) {
    case 'boolean':
      return 'c IN (0, 1)'
    case 'integer':
      return `typeof(c) = 'integer'`
    case 'float':
      return `typeof(c) = 'real'`
    case 'decimal':
      return `typeof(c) IN ('integer', 'real')`
    case 'bytes':
      return `typeof(c) = 'blob'`
    case 'json':
      return `typeof(c) IN ('integer', 'real') OR (typeof(c) = 'text' AND json_valid(c))`
    default:
      return `typeof(c) = 'text'`
  }
}

function smallOrBig(random: Random): string {
  return random.chance(0.7) ? String(random.between(-2000, 2000)) : String(bigint(random))
}

function real(random: Random): string {
  return random.pick([
    String((random.next() - 0.5) * 1000),
    String(random.between(-50, 50)),
    '0.1',
    '-0.0',
    '9e999',
    '-9e999',
    '1.7976931348623157e308',
    '5e-324',
    '1e21',
    '9007199254740993.0',
  ])
}

function number(random: Random): string {
  const drawn = decimal(random)
  return random.pick([
    String(bigint(random)),
    String(random.between(-9999, 9999) / 100),
    /[a-z]/i.test(drawn) ? '0' : drawn,
    '1e21',
    '1e-7',
  ])
}
