import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createDatabase } from '../../../tools/database.ts'
import { Breaker, type Tries } from '../../engine/calls/circuit-breaker.ts'
import type { CircuitStore } from '../circuits.ts'
import { openPostgresStore } from './store.ts'

/** What a breaker asks the store, counted. */
function counted(circuits: CircuitStore | undefined) {
  assert.ok(circuits !== undefined)
  const asked = { lists: 0, writes: 0 }
  const store: CircuitStore = {
    list: () => {
      asked.lists++
      return circuits.list()
    },
    replace: (...change) => {
      asked.writes++
      return circuits.replace(...change)
    },
  }
  return { asked, breaker: new Breaker(store) }
}

const none: Tries = new Map()

describe('circuits that processes share', () => {
  test('three failures in a row are those of all; one process tells that it opened, and all leave the connection alone', async () => {
    await using database = await createDatabase()
    await using first = await openPostgresStore(database.url)
    await using second = await openPostgresStore(database.url)
    const [one, other] = [new Breaker(first.circuits), new Breaker(second.circuits)]
    const told = [await one.failed('crm', none, 1000), await other.failed('crm', none, 1000)]
    // Its view is older than what the other one wrote.
    told.push(await one.failed('crm', none, 1500), await other.failed('crm', none, 1600))
    assert.deepEqual(told, [null, null, 6500, null])
    for (const breaker of [one, other]) {
      assert.equal(await breaker.readyAt(['crm'], 3000), 6500)
      assert.deepEqual(await breaker.enter(['crm'], 3000), { kind: 'wait', untilMs: 6500 })
      assert.equal(await breaker.readyAt(['shop'], 3000), 0)
    }
    // Who comes later knows it, too.
    assert.equal(await new Breaker(second.circuits).readyAt(['crm'], 3000), 6500)
  })

  test('when the pause is over one of all tries; when that one gets through all may, and one tells of it', async () => {
    await using database = await createDatabase()
    await using first = await openPostgresStore(database.url)
    await using second = await openPostgresStore(database.url)
    const breakers = [first, second].flatMap(({ circuits }) => [new Breaker(circuits), new Breaker(circuits)])
    const [one, other] = breakers
    assert.ok(one !== undefined && other !== undefined)
    for (let times = 0; times < 3; times++) await one.failed('crm', none, 1000)
    const enter = (atMs: number) => Promise.all(breakers.map((breaker) => breaker.enter(['crm'], atMs)))
    const admissions = await enter(6000)
    const waits = admissions.flatMap((one) => (one.kind === 'wait' ? [one.untilMs] : []))
    assert.deepEqual(waits, [11_000, 11_000, 11_000])
    // It fails again: the pause is twice as long, and one tries after it.
    const [tries] = admissions.flatMap((one) => (one.kind === 'admitted' ? [one.tries] : []))
    assert.equal(await other.failed('crm', tries ?? none, 7000), 17_000)
    assert.deepEqual(
      (await enter(16_999)).map(({ kind }) => kind),
      ['wait', 'wait', 'wait', 'wait'],
    )
    assert.equal((await enter(17_000)).filter(({ kind }) => kind === 'admitted').length, 1)
    const closed = await Promise.all(breakers.map((breaker) => breaker.succeeded('crm', 18_000)))
    assert.deepEqual(closed.toSorted(), [false, false, false, true])
    for (const admission of await enter(19_000)) assert.deepEqual(admission, { kind: 'admitted', tries: none })
  })

  test('work with two connections, of one of which somebody else has the try, gives the other one back', async () => {
    await using database = await createDatabase()
    await using store = await openPostgresStore(database.url)
    const [one, other] = [new Breaker(store.circuits), new Breaker(store.circuits)]
    for (const connection of ['a', 'b'])
      for (let times = 0; times < 3; times++) await one.failed(connection, none, 1000)
    assert.equal(await one.readyAt(['a', 'b'], 6000), 6000)
    assert.equal((await other.enter(['b'], 6100)).kind, 'admitted')
    assert.deepEqual(await one.enter(['a', 'b'], 6200), { kind: 'wait', untilMs: 11_100 })
    assert.deepEqual(await other.enter(['a'], 6300), { kind: 'admitted', tries: new Map([['a', 3]]) })
  })

  test('failures of many at once open it once, for no longer than three would', async () => {
    await using database = await createDatabase()
    await using first = await openPostgresStore(database.url)
    await using second = await openPostgresStore(database.url)
    const breakers = [first, second].map(({ circuits }) => new Breaker(circuits))
    const failing = breakers.flatMap((breaker) => Array.from({ length: 8 }, () => breaker.failed('crm', none, 1000)))
    assert.deepEqual(
      (await Promise.all(failing)).filter((until) => until !== null),
      [6000],
    )
    assert.deepEqual(await first.circuits?.list(), [{ connection: 'crm', failures: 3, openUntil: 6000 }])
  })

  test('a success of one process between failures of another keeps it from being left alone', async () => {
    await using database = await createDatabase()
    await using first = await openPostgresStore(database.url)
    await using second = await openPostgresStore(database.url)
    const [one, other] = [new Breaker(first.circuits), new Breaker(second.circuits)]
    for (let round = 0; round < 3; round++) {
      const atMs = 10_000 * round
      assert.deepEqual([await one.failed('crm', none, atMs), await one.failed('crm', none, atMs)], [null, null])
      assert.equal(await other.succeeded('crm', atMs + 2000), false)
    }
    assert.deepEqual(await second.circuits?.list(), [])
  })

  test('jobs of connections that did not fail ask the store once a second at most, and write nothing', async () => {
    await using database = await createDatabase()
    await using store = await openPostgresStore(database.url)
    const { asked, breaker } = counted(store.circuits)
    for (let job = 0; job < 100; job++) {
      assert.equal(await breaker.readyAt(['crm', 'shop'], 1000 + job), 0)
      assert.equal((await breaker.enter(['crm', 'shop'], 1000 + job)).kind, 'admitted')
      for (const connection of ['crm', 'shop']) assert.equal(await breaker.succeeded(connection, 1000 + job), false)
    }
    assert.deepEqual(asked, { lists: 1, writes: 0 })
    await Promise.all(Array.from({ length: 8 }, () => breaker.enter(['crm'], 2100)))
    assert.deepEqual(asked, { lists: 2, writes: 0 })
  })

  test('what nobody tried for a month is forgotten when another connection fails', async () => {
    await using database = await createDatabase()
    await using store = await openPostgresStore(database.url)
    const breaker = new Breaker(store.circuits)
    const month = 30 * 86_400_000
    await breaker.failed('gone', none, 1000)
    await breaker.failed('shop', none, 1000 + month)
    await breaker.failed('crm', none, 1001 + month)
    assert.deepEqual((await store.circuits?.list())?.map(({ connection }) => connection).toSorted(), ['crm', 'shop'])
  })
})
