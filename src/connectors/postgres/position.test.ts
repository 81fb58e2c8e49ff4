import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { SyncError } from '../../core/error.ts'
import type { Table } from './catalog.ts'
import { changedSql, type Now, type Position, parsePosition } from './position.ts'

const position: Position = {
  v: 1,
  source: '7000/1/5/16384',
  parts: [['16384', '16390']],
  columns: '123',
  horizon: '1000',
}
const table: Table = {
  schema: { name: 'public.t', system: 'postgres', fields: [], key: [] },
  oid: '16384',
  kind: 'r',
  inherited: false,
  declaredKey: [],
  identities: [],
  loose: [],
}

function now(over: Partial<Position> = {}, xmax = 2000n): Now {
  return { position: { ...position, ...over }, parts: [], xmin: xmax, xmax, running: [] }
}

function assertUnusable(cursor: string, at: Now, reason: RegExp): void {
  assert.throws(
    () => parsePosition(cursor, at, table),
    (error) => error instanceof SyncError && error.code === 'CURSOR_UNUSABLE' && reason.test(error.message),
  )
}

const EPOCH = 2n ** 32n

describe('hazard 7: transaction numbers of 64 bits against row headers of 32', () => {
  const horizons: readonly (readonly [horizon: bigint, xid: string])[] = [
    [1000n, '1000'],
    [EPOCH - 1n, '4294967295'],
    [EPOCH + 5n, '5'],
    [3n * EPOCH + 1000n, '1000'],
    [2n ** 63n + 7n, '7'],
  ]
  for (const [horizon, xid] of horizons) {
    test(`hazard 7: horizon ${horizon} is ${xid} in a row header`, () => {
      assert.match(changedSql({ ...position, horizon: String(horizon) }), new RegExp(`'${xid}'::xid`))
    })
  }

  test('hazard 7: reading on across an epoch is possible', () => {
    const cursor = JSON.stringify({ ...position, horizon: String(EPOCH - 10n) })
    assert.equal(parsePosition(cursor, now({}, EPOCH + 10n), table).horizon, String(EPOCH - 10n))
  })

  test('hazard 7: beyond the distance that 32 bits can compare, everything is read again', () => {
    const cursor = JSON.stringify(position)
    assertUnusable(cursor, now({}, 1000n + 2n ** 31n), /too many transactions/)
    assertUnusable(cursor, now({}, 1000n + EPOCH), /too many transactions/)
    assert.ok(parsePosition(cursor, now({}, 1000n + 1_000_000_000n), table))
  })
})

describe('a cursor that can’t be used', () => {
  test('is ahead of the server: it went back in time', () =>
    assertUnusable(JSON.stringify(position), now({}, 999n), /back in time/))
  test('is of another server, database or table', () =>
    assertUnusable(JSON.stringify(position), now({ source: '7000/2/5/16384' }), /another server/))
  test('is of the table before it was rewritten or truncated', () =>
    assertUnusable(JSON.stringify(position), now({ parts: [['16384', '16999']] }), /rewritten or truncated/))
  test('is of a table with other partitions', () =>
    assertUnusable(JSON.stringify(position), now({ parts: [...position.parts, ['17000', '17000']] }), /partitions/))
  test('is of other columns of the same names', () =>
    assertUnusable(JSON.stringify(position), now({ columns: '124' }), /columns changed/))
  test('is of another version', () => assertUnusable('{"v":2}', now(), /version/))
})
