/**
 * Rows, filters, and which rows pass: what a `where` means, wherever it is evaluated. The evaluation in process and every
 * connector's push-down give these answers.
 */
import type { Where } from '../core/filter.ts'
import type { Row, Type } from '../core/value.ts'

export interface FilterCase {
  readonly title: string
  readonly where: Where
  /** Ids of the rows that pass, ascending. */
  readonly ids: readonly number[]
  /** Types that the case needs a column of. */
  readonly needs: readonly Type[]
}

export const filterFields: readonly { readonly name: string; readonly type: Type }[] = [
  { name: 'id', type: 'integer' },
  { name: 'name', type: 'text' },
  { name: 'n', type: 'integer' },
  { name: 'price', type: 'decimal' },
  { name: 'ratio', type: 'float' },
  { name: 'flag', type: 'boolean' },
  { name: 'day', type: 'date' },
  { name: 'clock', type: 'time' },
  { name: 'ts', type: 'timestamp' },
  { name: 'at', type: 'instant' },
  { name: 'uid', type: 'uuid' },
  { name: 'doc', type: 'json' },
  { name: 'raw', type: 'bytes' },
]

const bytes = (...values: number[]) => Uint8Array.from(values)
const uid = (digit: number) => `0a1b2c3d-0000-4000-8000-00000000000${digit}`

/** In the order of `filterFields`. Row 7 is NULL wherever it can be. */
export const filterRows: readonly Row[] = [
  [
    1,
    'Apple',
    1,
    '1.50',
    0.5,
    true,
    '2024-02-29',
    '00:00:00.000000',
    '2024-02-29T12:00:00.000000',
    '2024-02-29T12:00:00.000000Z',
    uid(1),
    '{"a": 1, "b": [2]}',
    bytes(0),
  ],
  [
    2,
    'apple',
    2,
    '1.5',
    0.1,
    false,
    '2024-03-01',
    '12:00:00.000000',
    '2024-02-29T12:00:00.000001',
    '2024-02-29T12:00:00.000001Z',
    uid(2),
    '{"b":[2.0],"a":1}',
    bytes(0, 255),
  ],
  [
    3,
    'Äpfel',
    10,
    '10',
    -1,
    null,
    '10000-01-01',
    '12:00:00.500000',
    '10000-01-01T00:00:00.000000',
    '10000-01-01T00:00:00.000000Z',
    uid(3),
    'null',
    bytes(),
  ],
  [
    4,
    '\ue000',
    9,
    '9',
    Infinity,
    true,
    '0044-03-15 BC',
    '23:59:59.999999',
    '0044-03-15T00:00:00.000000 BC',
    '0044-03-15T00:00:00.000000Z BC',
    uid(4),
    '"x"',
    bytes(128),
  ],
  [
    5,
    '😀',
    9007199254740993n,
    '123456789012345678901234567890.5',
    -Infinity,
    false,
    'infinity',
    '09:30:00.000000',
    'infinity',
    'infinity',
    uid(5),
    '1.50',
    bytes(127, 1),
  ],
  [6, '', -5, '-0.05', 0, true, '-infinity', '01:00:00.000000', '-infinity', '-infinity', uid(6), '[]', bytes(1)],
  [7, null, null, null, null, null, null, null, null, null, null, null, null],
  [
    8,
    'O\'Neil \\ %_"',
    0,
    '0',
    100,
    false,
    '1999-12-31',
    '00:00:00.000001',
    '1999-12-31T23:59:59.999999',
    '1999-12-31T23:59:59.999999Z',
    uid(8),
    '{"a":{"b":null}}',
    bytes(39, 92),
  ],
  [
    9,
    'apple ',
    9007199254740992n,
    '-10',
    2.5,
    true,
    '0001-01-01',
    '00:30:00.000000',
    '0001-01-01T00:00:00.000000',
    '0001-01-01T00:00:00.000000Z',
    uid(9),
    '{"a":1,"b":[2,3]}',
    bytes(0, 0),
  ],
]

const all = [1, 2, 3, 4, 5, 6, 7, 8, 9]

function cases(
  needs: readonly Type[],
  ...rows: readonly (readonly [title: string, where: Where, ids: readonly number[]])[]
): FilterCase[] {
  return rows.map(([title, where, ids]) => ({ title, where, ids, needs }))
}

export const filterCases: readonly FilterCase[] = [
  ...cases(
    [],
    ['no condition lets all in', {}, all],
    ['a literal is equality', { name: 'apple' }, [2]],
    ['text is compared with its case and its blanks', { name: { in: ['APPLE', 'apple', 'apple '] } }, [2, 9]],
    ['quotes, backslashes and wildcards are plain characters', { name: 'O\'Neil \\ %_"' }, [8]],
    ['the empty text is not NULL', { name: '' }, [6]],
    ['several fields must all pass', { name: 'apple', n: 2 }, [2]],
    ['several operators on a field must all pass', { n: { '>=': 1, '<': 10 } }, [1, 2, 4]],
    ['text is ordered by bytes: capitals first', { name: { '<': 'a' } }, [1, 6, 8]],
    ['text is ordered by bytes: an accent is beyond z', { name: { '>': 'z' } }, [3, 4, 5]],
    ['text is ordered by bytes: U+E000 is below an emoji', { name: { '>=': '\ue000', '<': '😀' } }, [4]],
    ['an integer beyond 2^53 is compared exactly', { n: '9007199254740993' }, [5]],
    ['an integer beyond 2^53 is ordered exactly', { n: { '>': 9007199254740992n } }, [5]],
    ['an integer can be compared with a fraction', { n: { '>': 1.5, '<': '9.5' } }, [2, 4]],
    ['in', { n: { in: [1, 2, 77] } }, [1, 2]],
    ['in nothing lets none in', { n: { in: [] } }, []],
    ['not in nothing lets all in', { n: { 'not in': [] } }, all],
  ),
  ...cases(
    [],
    ['NULL is found by null', { name: null }, [7]],
    ['NULL is found by null: true', { name: { null: true } }, [7]],
    ['NULL is left out by null: false', { name: { null: false } }, [1, 2, 3, 4, 5, 6, 8, 9]],
    ['NULL is not unequal to anything', { n: { '!=': 1 } }, [2, 3, 4, 5, 6, 8, 9]],
    ['nothing equals NULL', { name: { '=': null } }, []],
    ['nothing is unequal to NULL', { name: { '!=': null } }, []],
    ['nothing is below NULL', { n: { '<': null } }, []],
    ['NULL in a list finds nothing more', { n: { in: [1, null] } }, [1]],
    ['NULL in a list of not in lets none in', { n: { 'not in': [1, null] } }, []],
    ['not in leaves NULL out', { n: { 'not in': [1, 2] } }, [3, 4, 5, 6, 8, 9]],
    ['not of unknown is unknown', { not: { n: 1 } }, [2, 3, 4, 5, 6, 8, 9]],
    ['not null', { not: { n: null } }, [1, 2, 3, 4, 5, 6, 8, 9]],
    ['unknown or true is true', { or: [{ n: { '>': 5 } }, { name: null }] }, [3, 4, 5, 7, 9]],
    [
      'unknown and false is false, whose not is true',
      { not: { and: [{ n: 1 }, { id: { '<': 7 } }] } },
      [2, 3, 4, 5, 6, 7, 8, 9],
    ],
    ['not (unknown or false) is unknown', { not: { or: [{ n: 1 }, { id: 1 }] } }, [2, 3, 4, 5, 6, 8, 9]],
  ),
  ...cases(
    [],
    ['and of nothing lets all in', { and: [] }, all],
    ['or of nothing lets none in', { or: [] }, []],
    ['or', { or: [{ id: 1 }, { id: { '>': 8 } }] }, [1, 9]],
    [
      'and, or and not nest',
      { and: [{ not: { or: [{ id: 1 }, { not: { n: { '>': 0 } } }] } }, { name: { null: false } }] },
      [2, 3, 4, 5, 9],
    ],
    ['fields beside or must pass as well', { id: { '<=': 5 }, or: [{ n: 1 }, { n: 9 }] }, [1, 4]],
    ['double negation', { not: { not: { id: 3 } } }, [3]],
  ),
  ...cases(
    ['boolean'],
    ['true', { flag: true }, [1, 4, 6, 9]],
    ['not true is false, and leaves NULL out', { flag: { '!=': true } }, [2, 5, 8]],
    ['false is below true', { flag: { '<': true } }, [2, 5, 8]],
  ),
  ...cases(
    ['decimal'],
    ['1.5 is 1.50', { price: '1.500' }, [1, 2]],
    ['1.5 is 15e-1', { price: { in: ['15e-1', 9] } }, [1, 2, 4]],
    ['decimals are ordered by size', { price: { '<': 10 } }, [1, 2, 4, 6, 8, 9]],
    ['negative decimals are ordered by size', { price: { '<': '-0.01', '>': -9.5 } }, [6]],
    ['long decimals are compared exactly', { price: { '>': '123456789012345678901234567890.4999' } }, [5]],
    ['long decimals are equal exactly', { price: '123456789012345678901234567890.50' }, [5]],
  ),
  ...cases(
    ['float'],
    ['0.1 is 0.1', { ratio: 0.1 }, [2]],
    ['infinity is above all', { ratio: { '>': 1 } }, [4, 8, 9]],
    ['minus infinity is below all', { ratio: { '<': -1 } }, [5]],
    ['zero has no sign here', { ratio: -0 }, [6]],
  ),
  ...cases(
    ['date'],
    ['a date', { day: '2024-02-29' }, [1]],
    [
      'dates are ordered by time, before year 1, beyond year 9999 and at infinity',
      { day: { '>': '2024-02-29' } },
      [2, 3, 5],
    ],
    ['dates before Christ come before', { day: { '<': '0001-01-01' } }, [4, 6]],
    ['infinity is a date', { day: { in: ['infinity', '-infinity'] } }, [5, 6]],
  ),
  ...cases(
    ['time'],
    ['a time without seconds', { clock: '12:00' }, [2]],
    ['times are ordered to the microsecond', { clock: { '<': '00:00:00.000002' } }, [1, 8]],
    ['a fraction of a second', { clock: { '>': '12:00:00.4', '<=': '12:00:00.5' } }, [3]],
  ),
  ...cases(
    ['timestamp'],
    ['a timestamp as a person writes it', { ts: '2024-02-29 12:00' }, [1]],
    ['a date as a timestamp is its midnight', { ts: { '<': '2000-01-01', '>': '1999-12-31' } }, [8]],
    ['timestamps are ordered by time', { ts: { '>': '2024-02-29T12:00:00' } }, [2, 3, 5]],
    ['timestamps before Christ come before', { ts: { '<': '0001-01-01' } }, [4, 6]],
  ),
  ...cases(
    ['instant'],
    ['an instant in another zone', { at: '2024-02-29T14:00:00+02:00' }, [1]],
    ['an instant in UTC', { at: { '>=': '2024-02-29T12:00:00.000001Z', '<': '2025-01-01' } }, [2]],
    ['instants are ordered by time', { at: { '<=': '0001-01-01T00:00:00Z' } }, [4, 6, 9]],
    ['instants beyond year 9999', { at: { '>': '9999-12-31T23:59:59Z' } }, [3, 5]],
  ),
  ...cases(
    ['uuid'],
    ['a uuid in capitals', { uid: uid(3).toUpperCase() }, [3]],
    ['uuids are ordered', { uid: { '>': uid(8) } }, [9]],
  ),
  ...cases(
    ['json'],
    ['json is equal by meaning', { doc: '{"b":[2],"a":1.0}' }, [1, 2]],
    ['a JSON null is not NULL', { doc: 'null' }, [3]],
    ['json is unequal by meaning', { doc: { '!=': '{"a":1,"b":[2]}' } }, [3, 4, 5, 6, 8, 9]],
  ),
  ...cases(
    ['bytes'],
    ['bytes in hexadecimal', { raw: '\\x00ff' }, [2]],
    ['no bytes', { raw: '' }, [3]],
    ['bytes are ordered as unsigned', { raw: { '>': '7f' } }, [4, 5]],
  ),
]
