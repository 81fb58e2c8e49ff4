import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { createDatabase } from '../../../tools/database.ts'
import { Limiter } from '../../engine/calls/rate-limiter.ts'
import { systemClock } from '../../engine/clock.ts'
import type { Store } from '../store.ts'
import { Database } from './database.ts'
import { PostgresLimitStore } from './limits.ts'
import { openPostgresStore } from './store.ts'

const never = new AbortController().signal

function limiterOf(store: Store): Limiter {
  return new Limiter(systemClock, Math.random, undefined, async () => store.limits ?? null)
}

/** A process that makes calls under limits, each of which lasts a moment, and prints when each was made. */
const program = `
  import { systemClock } from ${JSON.stringify(join(import.meta.dirname, '..', '..', 'engine', 'clock.ts'))}
  import { Limiter } from ${JSON.stringify(join(import.meta.dirname, '..', '..', 'engine', 'calls', 'rate-limiter.ts'))}
  import { openPostgresStore } from ${JSON.stringify(join(import.meta.dirname, 'store.ts'))}
  const [url, limits, calls] = process.argv.slice(1)
  const store = await openPostgresStore(url)
  const limiter = new Limiter(systemClock, Math.random, undefined, async () => store.limits)
  const call = async () => {
    using _turn = await limiter.turn('crm', JSON.parse(limits), new AbortController().signal)
    console.log(Date.now())
  }
  await Promise.all(Array.from({ length: Number(calls) }, call))
  await store[Symbol.asyncDispose]()
`

async function processMaking(url: string, limits: object, calls: number): Promise<readonly number[]> {
  const args = ['--conditions=syncline-source', '--input-type=module', '-e', program, url]
  const child = spawn(process.execPath, [...args, JSON.stringify(limits), String(calls)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const text = String(Buffer.concat(await child.stdout.toArray()))
  return text.trim().split('\n').map(Number)
}

describe('limits that processes share', () => {
  test('hazard 19: processes together make no more calls in a second than one may', async () => {
    await using database = await createDatabase()
    await (await openPostgresStore(database.url))[Symbol.asyncDispose]()
    const made = await Promise.all([1, 2].map(() => processMaking(database.url, { perSecond: 5 }, 8)))
    const all = made.flat().toSorted((a, b) => a - b)
    assert.equal(all.length, 16)
    // 5, 5, 5 and 1: three windows of a second lie between the first and the last.
    assert.ok((all.at(-1) ?? 0) - (all[0] ?? 0) >= 2900, String(all))
    assert.ok(made.every((own) => own.length === 8))
  })

  test('no more calls at the same time than one may make, whoever makes them; all get their turn', async () => {
    await using database = await createDatabase()
    await using first = await openPostgresStore(database.url)
    await using second = await openPostgresStore(database.url)
    let [active, most, done] = [0, 0, 0]
    const call = async (limiter: Limiter) => {
      using _turn = await limiter.turn('crm', { concurrent: 2 }, never)
      most = Math.max(most, ++active)
      await sleep(20)
      active--
      done++
    }
    const limiters = [limiterOf(first), limiterOf(second)]
    await Promise.all(limiters.flatMap((limiter) => Array.from({ length: 6 }, () => call(limiter))))
    assert.deepEqual([most, done], [2, 12])
  })

  test('hazard 19: what one process is told to wait, all wait, and their state says so', async () => {
    await using database = await createDatabase()
    await using first = await openPostgresStore(database.url)
    await using second = await openPostgresStore(database.url)
    const [told, other] = [limiterOf(first), limiterOf(second)]
    await told.pause('crm', 60_000)
    const stop = new AbortController()
    let made = false
    const call = async () => {
      using _turn = await other.turn('crm', {}, stop.signal)
      made = true
    }
    const waiting = call().catch(() => 'given up')
    while (!made && other.states().every(({ pausedUntil }) => pausedUntil === null)) await sleep(5)
    assert.equal(made, false)
    assert.deepEqual(
      other.states().map(({ connection, waiting: calls }) => [connection, calls]),
      [['crm', 1]],
    )
    stop.abort()
    assert.equal(await waiting, 'given up')
    using _free = await other.turn('another', {}, never)
  })

  test('who makes no calls hears of those of all: what is made, what waits, and until when a system is left alone', async () => {
    await using database = await createDatabase()
    await using first = await openPostgresStore(database.url)
    await using second = await openPostgresStore(database.url)
    await using third = await openPostgresStore(database.url)
    const [one, other, none] = [limiterOf(first), limiterOf(second), limiterOf(third)]
    const names = ['idle', 'crm', 'shop']
    const told = async (limiter: Limiter) =>
      (await limiter.statesOfAll(names)).map(({ connection, active, waiting }) => [connection, active, waiting])
    const quiet = names.map((name) => [name, 0, 0])
    assert.deepEqual(await told(none), quiet)
    const calls = [await one.turn('crm', {}, never), await other.turn('crm', { perMinute: 9 }, never)]
    calls.push(await one.turn('shop', { concurrent: 1 }, never))
    const stop = new AbortController()
    const waiting = [one, other].map((limiter) => limiter.turn('shop', { concurrent: 1 }, stop.signal))
    const given = Promise.allSettled(waiting)
    const all = [quiet[0], ['crm', 2, 0], ['shop', 1, 2]]
    // What it does itself a process tells at once, what others do when they have told it.
    for (const limiter of [none, one, other]) while (!isDeepStrictEqual(await told(limiter), all)) await sleep(50)
    await other.pause('crm', 60_000)
    const pauses = (await none.statesOfAll(names)).map(({ pausedUntil }) => pausedUntil)
    assert.deepEqual([pauses[0], pauses[2]], [null, null])
    const leftMs = (pauses[1] ?? 0) - Date.now()
    assert.ok(leftMs > 0 && leftMs <= 60_000, String(leftMs))
    stop.abort()
    for (const call of calls) call[Symbol.dispose]()
    await given
    while (!isDeepStrictEqual(await told(none), quiet)) await sleep(50)
  })

  test('calls of a process that was killed are told of no longer', async () => {
    await using database = await createDatabase()
    await using store = await openPostgresStore(database.url)
    const script = program.replace('console.log(Date.now())', 'await new Promise(() => setInterval(() => {}, 1000))')
    const args = ['--conditions=syncline-source', '--input-type=module', '-e', script, database.url, '{}', '2']
    const child = spawn(process.execPath, args, { stdio: 'inherit' })
    const limiter = limiterOf(store)
    const active = async () => (await limiter.statesOfAll(['crm']))[0]?.active
    while ((await active()) !== 2) await sleep(50)
    child.kill('SIGKILL')
    await once(child, 'exit')
    while ((await active()) !== 0) await sleep(50)
  })

  test('waits are told with their length once the call may be made; what did not wait is not', async () => {
    await using database = await createDatabase()
    await using store = await openPostgresStore(database.url)
    const limiter = limiterOf(store)
    const waits: [string, number][] = []
    limiter.onWait((connection, ms) => waits.push([connection, ms]))
    for (let call = 0; call < 3; call++) (await limiter.turn('crm', { perSecond: 2 }, never))[Symbol.dispose]()
    assert.deepEqual(
      waits.map(([connection]) => connection),
      ['crm'],
    )
    assert.ok((waits[0]?.[1] ?? 0) > 0)
  })

  test('a turn whose process was killed is free when its lease is over; one that lasts longer is not', async () => {
    await using database = await createDatabase()
    await (await openPostgresStore(database.url))[Symbol.asyncDispose]()
    const script = `
      import { Database } from ${JSON.stringify(join(import.meta.dirname, 'database.ts'))}
      import { PostgresLimitStore } from ${JSON.stringify(join(import.meta.dirname, 'limits.ts'))}
      const database = new Database({ url: process.argv[1], schema: 'syncline', readOnly: false })
      const limits = new PostgresLimitStore(database, 600)
      console.log((await limits.take('crm', 'theirs', { concurrent: 1 })).kind)
      setInterval(() => {}, 1000)
    `
    const args = ['--conditions=syncline-source', '--input-type=module', '-e', script, database.url]
    const holder = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    assert.match(String(await once(holder.stdout, 'data')), /taken/)
    await using pool = new Database({ url: database.url, schema: 'syncline', readOnly: false })
    using limits = new PostgresLimitStore(pool)
    const ours = () => limits.take('crm', 'ours', { concurrent: 1 })
    // Longer than its lease lasts: it lives, and says so.
    await sleep(1500)
    const { kind } = await ours()
    holder.kill('SIGKILL')
    await once(holder, 'exit')
    assert.equal(kind, 'wait')
    while ((await ours()).kind !== 'taken') await sleep(20)
    await limits.free('ours')
  })
})
