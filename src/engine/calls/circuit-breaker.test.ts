import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Circuit } from '../../store/circuits.ts'
import { Breaker } from './circuit-breaker.ts'

/** Begins work with a connection, which fails. Returns until when it is left alone. */
async function fail(breaker: Breaker, connection: string, atMs: number): Promise<number | null> {
  const admission = await breaker.enter([connection], atMs)
  assert.equal(admission.kind, 'admitted')
  return admission.kind === 'admitted' ? await breaker.failed(connection, admission.tries, atMs) : null
}

describe('the breaker', () => {
  test('a connection that fails three times is left alone, longer each time, and no other with it', async () => {
    const breaker = new Breaker()
    assert.deepEqual([await fail(breaker, 'a', 1000), await fail(breaker, 'a', 1000)], [null, null])
    assert.equal(await breaker.readyAt(['a', 'b'], 1000), 0)
    assert.equal(await fail(breaker, 'a', 1000), 6000)
    assert.equal(await fail(breaker, 'a', 6000), 16_000)
    assert.equal(await breaker.readyAt(['a', 'b'], 6000), 16_000)
    assert.equal(await breaker.readyAt(['b'], 6000), 0)
    let [at, until] = [0, 16_000]
    for (let times = 0; times < 30; times++) [at, until] = [until, (await fail(breaker, 'a', until)) ?? 0]
    assert.equal(until - at, 300_000)
  })

  test('while one tries, the others go on waiting; when it gets through, all may', async () => {
    const breaker = new Breaker()
    for (let times = 0; times < 3; times++) await fail(breaker, 'a', 1000)
    assert.deepEqual(await breaker.enter(['a', 'b'], 5999), { kind: 'wait', untilMs: 6000 })
    const admissions = await Promise.all([1, 2, 3].map(() => breaker.enter(['a', 'b'], 6000)))
    assert.deepEqual(
      admissions.map((one) => (one.kind === 'wait' ? one.untilMs : [...one.tries])),
      [[['a', 3]], 11_000, 11_000],
    )
    assert.equal(await breaker.readyAt(['a'], 6000), 11_000)
    assert.equal(await breaker.readyAt(['b'], 6000), 0)
    assert.equal(await breaker.succeeded('a', 6000), true)
    assert.equal(await breaker.succeeded('a', 6000), false)
    assert.equal(await breaker.readyAt(['a'], 6000), 0)
    assert.deepEqual(await breaker.enter(['a'], 6000), { kind: 'admitted', tries: new Map() })
  })

  test('a connection that was changed may be tried at once, by one; of one that is gone nothing is known', async () => {
    const breaker = new Breaker()
    for (const name of ['a', 'b']) for (let times = 0; times < 6; times++) await fail(breaker, name, times * 100_000)
    await breaker.reconsider('a', true, 501_000)
    const admissions = await Promise.all([1, 2].map(() => breaker.enter(['a'], 501_000)))
    assert.deepEqual(
      admissions.map((one) => (one.kind === 'wait' ? one.untilMs : [...one.tries])),
      [[['a', 3]], 506_000],
    )
    assert.equal(await breaker.succeeded('a', 501_000), true, 'that it answers again is told')
    await breaker.reconsider('b', false, 501_000)
    assert.deepEqual(await breaker.enter(['b'], 501_000), { kind: 'admitted', tries: new Map() })
    await breaker.reconsider('nobody', true, 501_000)
  })

  test('one that gets through between two failures is not left alone', async () => {
    const breaker = new Breaker()
    for (let round = 0; round < 5; round++) {
      assert.deepEqual([await fail(breaker, 'a', 0), await fail(breaker, 'a', 0)], [null, null])
      assert.equal(await breaker.succeeded('a', 0), false)
    }
  })

  test('what was under way when it opened, and fails later, is told of by nobody and makes the pause no longer', async () => {
    const breaker = new Breaker()
    const admissions = await Promise.all(Array.from({ length: 8 }, () => breaker.enter(['a'], 1000)))
    const untils = admissions.map((one) => one.kind === 'admitted' && breaker.failed('a', one.tries, 1000))
    assert.deepEqual((await Promise.all(untils)).toSorted(), [6000, ...Array.from({ length: 7 }, () => null)])
    assert.equal(await breaker.readyAt(['a'], 1000), 6000)
    // Two that try, since the first takes longer than the pause: one failure more.
    const [first, second] = [await breaker.enter(['a'], 6000), await breaker.enter(['a'], 11_000)]
    assert.ok(first.kind === 'admitted' && second.kind === 'admitted')
    assert.equal(await breaker.failed('a', first.tries, 12_000), 22_000)
    assert.equal(await breaker.failed('a', second.tries, 13_000), null)
    assert.equal(await breaker.readyAt(['a'], 13_000), 22_000)
  })

  test('what a process itself learns while it looks in the store is not lost', async () => {
    const late = Promise.withResolvers<readonly Circuit[]>()
    const written: Circuit[] = []
    // The second answer is from before the failure, and arrives after it was written.
    const answers = [Promise.resolve([]), late.promise]
    const breaker = new Breaker({
      list: () => answers.shift() ?? Promise.resolve(written),
      replace: async (connection) => {
        written.push({ connection, failures: 3, openUntil: 7000 })
        return true
      },
    })
    assert.equal(await breaker.readyAt(['a'], 1000), 0)
    const looking = breaker.readyAt(['a'], 2000)
    await breaker.failed('a', new Map(), 1500)
    late.resolve([])
    assert.equal(await looking, 7000)
  })

  test('work with two connections takes the try of both or of none', async () => {
    const breaker = new Breaker()
    for (let times = 0; times < 3; times++) await fail(breaker, 'a', 1000)
    for (let times = 0; times < 3; times++) await fail(breaker, 'b', 3000)
    assert.deepEqual(await breaker.enter(['a', 'b'], 7000), { kind: 'wait', untilMs: 8000 })
    assert.equal(await breaker.readyAt(['a'], 7000), 6000)
    const admission = await breaker.enter(['b', 'a'], 8000)
    assert.deepEqual(admission, {
      kind: 'admitted',
      tries: new Map([
        ['a', 3],
        ['b', 3],
      ]),
    })
  })
})
