import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, test } from 'node:test'
import type { LimitStore } from '../../store/limits.ts'
import { testContext } from '../../testing/connector-harness.ts'
import { ManualClock, settle } from '../../testing/manual-clock.ts'
import { systemClock } from '../clock.ts'
import { handlerContext, retryAfterMs } from './handler-context.ts'
import { Limiter, type MakeBucket } from './rate-limiter.ts'

const START = 1_000_000
const never = new AbortController().signal

/** A bucket on the test's clock: so many points in each window. */
function windows(clock: ManualClock): MakeBucket {
  return (_name, points, seconds) => {
    const used = new Map<string, number>()
    return {
      take: async (connection) => {
        const window = Math.floor(clock.now() / (seconds * 1000))
        const id = `${connection} ${window}`
        const count = (used.get(id) ?? 0) + 1
        if (count > points) return (window + 1) * seconds * 1000 - clock.now()
        used.set(id, count)
        return 0
      },
    }
  }
}

describe('limits', () => {
  test('calls beyond the limit wait for the next window, and each connection has its own', async () => {
    const clock = new ManualClock(START)
    const limiter = new Limiter(clock, () => 0, windows(clock))
    const made: string[] = []
    const call = async (connection: string) => {
      using _turn = await limiter.turn(connection, { perSecond: 3 }, never)
      made.push(`${connection} ${clock.now() - START}`)
    }
    const calls = Array.from({ length: 7 }, () => call('a'))
    const other = call('b')
    await clock.advance(5000)
    await Promise.all([...calls, other])
    assert.deepEqual(made.toSorted(), ['a 0', 'a 0', 'a 0', 'a 1000', 'a 1000', 'a 1000', 'a 2000', 'b 0'])
  })

  test('no more calls at the same time than allowed; one that is given up does not keep its place', async () => {
    const clock = new ManualClock(START)
    const limiter = new Limiter(clock, () => 0, windows(clock))
    const turn = (signal = never) => limiter.turn('a', { concurrent: 2 }, signal)
    const [first, second] = [await turn(), await turn()]
    const stop = new AbortController()
    const given = turn(stop.signal).catch(() => 'given up')
    let third = false
    const waiting = turn().then((held) => {
      third = true
      return held
    })
    await settle()
    assert.deepEqual(
      limiter.states().map(({ waiting, active }) => [waiting, active]),
      [[2, 2]],
    )
    stop.abort()
    assert.equal(await given, 'given up')
    assert.equal(third, false)
    first[Symbol.dispose]()
    first[Symbol.dispose]()
    const held = await waiting
    assert.deepEqual(
      limiter.states().map(({ waiting, active }) => [waiting, active]),
      [[0, 2]],
    )
    held[Symbol.dispose]()
    second[Symbol.dispose]()
    assert.deepEqual(
      limiter.states().map(({ waiting, active }) => [waiting, active]),
      [[0, 0]],
    )
  })

  test('limits that have changed hold from the next call on; those who wait go on under them', async () => {
    const clock = new ManualClock(START)
    const limiter = new Limiter(clock, () => 0, windows(clock))
    const first = await limiter.turn('a', { concurrent: 1 }, never)
    const waiting = limiter.turn('a', { concurrent: 1 }, never)
    const third = await limiter.turn('a', { concurrent: 3 }, never)
    const second = await waiting
    const counts = () => limiter.states().map(({ waiting: asking, active }) => [asking, active])
    assert.deepEqual(counts(), [[0, 3]])
    const fourth = limiter.turn('a', { concurrent: 1 }, never)
    first[Symbol.dispose]()
    second[Symbol.dispose]()
    await settle()
    assert.deepEqual(counts(), [[1, 1]])
    third[Symbol.dispose]()
    ;(await fourth)[Symbol.dispose]()
    ;(await limiter.turn('a', { perSecond: 1 }, never))[Symbol.dispose]()
    const late = limiter.turn('a', { perSecond: 1 }, never)
    await settle()
    // What waits for its second is not being made.
    assert.deepEqual(counts(), [[1, 0]])
    await clock.advance(1000)
    ;(await late)[Symbol.dispose]()
  })

  test('a connection that nobody has used for a while has no line, one that is waited for or left alone has', async () => {
    const clock = new ManualClock(START)
    const limiter = new Limiter(clock, () => 0, windows(clock))
    const use = async (connection: string) => (await limiter.turn(connection, {}, never))[Symbol.dispose]()
    const names = () => limiter.states().map(({ connection }) => connection)
    const held = await limiter.turn('held', { concurrent: 1 }, never)
    for (let at = 0; at < 100; at++) await use(`c${at}`)
    await use('paused')
    await limiter.pause('paused', 7_200_000)
    await clock.advance(3_600_000)
    await use('now')
    assert.deepEqual(names(), ['held', 'paused', 'now'])
    held[Symbol.dispose]()
    await clock.advance(7_200_000)
    await use('later')
    assert.deepEqual(names(), ['later'])
  })

  test('who shares a store asks it one at a time for each connection, in the order of coming; who gives up is not waited for', async () => {
    const clock = new ManualClock(START)
    let [asking, most, asks, left] = [0, 0, 0, 3]
    const store: LimitStore = {
      take: async () => {
        asks++
        most = Math.max(most, ++asking)
        await settle()
        asking--
        if (left === 0) return { kind: 'wait', ms: 1000, paused: false }
        left--
        return { kind: 'taken' }
      },
      free: async () => {},
      pause: async () => {},
      exchange: async () => [],
    }
    const limiter = new Limiter(
      clock,
      () => 0,
      windows(clock),
      async () => store,
    )
    const waits: number[] = []
    limiter.onWait((_connection, ms) => waits.push(ms))
    const order: number[] = []
    const stop = new AbortController()
    const calls = Array.from({ length: 1000 }, async (_, at) => {
      const signal = at === 3 || at === 5 ? stop.signal : never
      const turn = await limiter.turn('a', { perSecond: 3 }, signal).catch(() => null)
      if (turn !== null) order.push(at)
      turn?.[Symbol.dispose]()
    })
    while (asks < 4) await settle()
    await settle()
    assert.deepEqual([order, most, asks, waits], [[0, 1, 2], 1, 4, []])
    stop.abort()
    left = 997
    await clock.advance(1000)
    await Promise.all(calls)
    assert.deepEqual(order.slice(3), [4, ...Array.from({ length: 994 }, (_, at) => at + 6)])
    assert.deepEqual([most, waits.length], [1, 995])
  })

  test('the counting of the library holds on a real clock: no window of a second gets more than its points', async () => {
    const { setTimeout: sleep } = await import('node:timers/promises')
    const clock = {
      now: () => Date.now(),
      sleep: (ms: number, signal: AbortSignal) => sleep(ms, undefined, { signal }),
    }
    const limiter = new Limiter(clock, Math.random)
    const made: number[] = []
    const call = async () => {
      using _turn = await limiter.turn('a', { perSecond: 5 }, never)
      made.push(Date.now())
    }
    await Promise.all(Array.from({ length: 11 }, call))
    const [first = 0] = made
    assert.ok(made.filter((at) => at < first + 900).length <= 5)
    assert.ok(made.filter((at) => at < first + 1900).length <= 10)
  })
})

describe('hazard 19: a system that says "too many"', () => {
  test('is left alone by everybody until the time it named, and nothing fails', async () => {
    const seen: number[] = []
    let refusals = 2
    const server = createServer((_request, response) => {
      seen.push(Date.now())
      if (refusals-- > 0) response.writeHead(429, { 'retry-after': '1' }).end()
      else response.writeHead(200).end('ok')
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
    const { systemLike } = await realContext()
    const limiter = new Limiter(systemLike.clock, Math.random)
    const context = handlerContext(systemLike, 'a', { concurrent: 1 }, limiter)
    try {
      const answers = await Promise.all([1, 2, 3].map(async () => await (await context.fetch(url)).text()))
      assert.deepEqual(answers, ['ok', 'ok', 'ok'])
      const gaps = seen.slice(1).map((at, index) => at - (seen[index] ?? 0))
      assert.equal(seen.length, 5)
      assert.ok((gaps[0] ?? 0) >= 990 && (gaps[1] ?? 0) >= 990, String(gaps))
    } finally {
      server.close()
    }
  })

  test('that names a month is left alone for an hour', async () => {
    const server = createServer((_request, response) => response.writeHead(429, { 'retry-after': '3000000' }).end())
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const stop = new AbortController()
    const lines: string[] = []
    const log = (line: string) => {
      lines.push(line)
      setImmediate(() => stop.abort())
    }
    const context = { ...testContext(), clock: systemClock, signal: stop.signal, log }
    const limiter = new Limiter(systemClock, Math.random)
    const { fetch: call } = handlerContext(context, 'a', { concurrent: 1 }, limiter)
    try {
      await assert.rejects(call(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`))
      assert.deepEqual(lines, ['a asks to be left alone for 3600 s'])
    } finally {
      server.close()
    }
  })

  test('Retry-After is read in seconds and as a date', () => {
    assert.equal(retryAfterMs('3', 0), 3000)
    assert.equal(retryAfterMs('Thu, 01 Jan 1970 00:00:10 GMT', 4000), 6000)
    assert.equal(retryAfterMs('Thu, 01 Jan 1970 00:00:10 GMT', 40_000), 0)
    assert.equal(retryAfterMs('soon', 0), null)
    assert.equal(retryAfterMs(null, 0), null)
  })
})

async function realContext() {
  const { setTimeout: sleep } = await import('node:timers/promises')
  const clock = { now: () => Date.now(), sleep: (ms: number, signal: AbortSignal) => sleep(ms, undefined, { signal }) }
  return { systemLike: { ...testContext(), clock } }
}
