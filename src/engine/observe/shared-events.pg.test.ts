import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { createDatabase } from '../../../tools/database.ts'
import type { EngineEvent } from '../../core/event.ts'
import { zeroCounts } from '../../core/run.ts'
import { openPostgresStore } from '../../store/postgres/store.ts'
import type { Store } from '../../store/store.ts'
import type { Topic } from '../../store/topic.ts'
import { systemClock } from '../clock.ts'
import { Events } from './events.ts'
import { SharedEvents } from './shared-events.ts'

/** One process's events; `asked` counts what it asks of the store. */
function processOn(store: Store) {
  const events = new Events(() => {})
  const asked = { heard: 0, tell: 0 }
  const lines: string[] = []
  const counted = ({ hear, heard, tell }: Topic, self: Topic): Topic => ({
    hear: (signal) => hear.call(self, signal),
    heard: async () => {
      asked.heard++
      return await heard.call(self)
    },
    tell: async (text) => {
      asked.tell++
      await tell.call(self, text)
    },
  })
  const topic = store.topic === undefined ? null : counted(store.topic, store.topic)
  const options = { clock: systemClock, log: (line: string) => void lines.push(line), catchUp: async () => {} }
  return { events, asked, lines, shared: new SharedEvents({ events, topic: async () => topic, ...options }) }
}

const ended = (at: number): EngineEvent => ({
  event: 'job.ended',
  sync: `s${at}`,
  job: `${at}`,
  status: 'é',
  run: null,
})

async function until(holds: () => boolean): Promise<void> {
  for (const deadline = performance.now() + 20_000; !holds(); await sleep(20))
    if (performance.now() > deadline) throw new Error('waited in vain')
}

test('a burst is told at once, to each process once and in order, its own at once; where nobody hears, nothing is sent', async () => {
  await using database = await createDatabase()
  await using here = await openPostgresStore(database.url)
  await using there = await openPostgresStore(database.url)
  await using elsewhere = await openPostgresStore(`${database.url}?schema=other`)
  const [mine, theirs, foreign] = [here, there, elsewhere].map(processOn)
  assert.ok(mine !== undefined && theirs !== undefined && foreign !== undefined)
  mine.events.emit(ended(-1))
  await until(() => mine.asked.heard === 1)
  const heard: EngineEvent[][] = [[], [], []]
  using own = mine.shared.subscribe((event) => heard[0]?.push(event))
  using others = theirs.shared.subscribe((event) => heard[1]?.push(event))
  using strangers = foreign.shared.subscribe((event) => heard[2]?.push(event))
  await Promise.all([own, others, strangers].map(({ hearing }) => hearing))
  const burst = Array.from({ length: 5000 }, (_, at) => ended(at))
  for (const event of burst) mine.events.emit(event)
  assert.deepEqual(heard[0], burst)
  await until(() => heard[1]?.length === burst.length)
  assert.deepEqual(heard[1], burst)
  theirs.events.emit(ended(1))
  await until(() => heard[0]?.length === burst.length + 1)
  assert.deepEqual(
    [mine.asked, theirs.asked],
    [
      { heard: 2, tell: 1 },
      { heard: 1, tell: 1 },
    ],
  )
  assert.deepEqual([heard[1]?.length, heard[2]], [burst.length + 1, []])
  assert.deepEqual([...mine.lines, ...theirs.lines], [])
  for (const { shared } of [mine, theirs, foreign]) await shared[Symbol.asyncDispose]()
})

test('a run’s progress is told to others now and then; what is left at the end is told', async () => {
  await using database = await createDatabase()
  await using here = await openPostgresStore(database.url)
  await using there = await openPostgresStore(database.url)
  const [mine, theirs] = [processOn(here), processOn(there)]
  const heard: string[] = []
  using others = theirs.shared.subscribe(({ event }) => heard.push(event))
  await others.hearing
  const progress = { event: 'run.progress', sync: 's', run: 'r', phase: 'copy', total: null, ...zeroCounts } as const
  for (let at = 0; at < 50; at++) mine.events.emit(progress)
  mine.events.emit(ended(1))
  await mine.shared[Symbol.asyncDispose]()
  await until(() => heard.includes('job.ended'))
  assert.deepEqual(heard, ['run.progress', 'job.ended'])
  await theirs.shared[Symbol.asyncDispose]()
})

test('hearing begins again when the server ends its connection', async () => {
  await using database = await createDatabase()
  await using here = await openPostgresStore(database.url)
  await using there = await openPostgresStore(database.url)
  const [mine, theirs] = [processOn(here), processOn(there)]
  let heard = 0
  using others = theirs.shared.subscribe(() => heard++)
  await others.hearing
  const admin = new pg.Client({ connectionString: database.url })
  await admin.connect()
  await admin.query(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'syncline events'`)
  await admin.end()
  for (let at = 0; heard === 0; at++) {
    mine.events.emit(ended(at))
    await sleep(100)
    assert.ok(at < 200, 'heard nothing any more')
  }
  for (const { shared } of [mine, theirs]) await shared[Symbol.asyncDispose]()
})

test('what somebody else sends on the channel is skipped, whatever it is', async () => {
  await using database = await createDatabase()
  await using here = await openPostgresStore(database.url)
  await using there = await openPostgresStore(database.url)
  const [mine, theirs] = [processOn(here), processOn(there)]
  const heard: EngineEvent[] = []
  using others = theirs.shared.subscribe((event) => heard.push(event))
  await others.hearing
  const stranger = new pg.Client({ connectionString: database.url })
  await stranger.connect()
  const channel = `syncline_${createHash('sha256').update('syncline').digest('hex').slice(0, 32)}`
  const texts = ['{}', '{', '"{"', '"{}"', '"null"', '"[null, 1, {}]"', '"[{\\"event\\": 1}]"']
  for (const text of texts) await stranger.query('select pg_notify($1, $2)', [channel, `0123456789abcdef 1/1 ${text}`])
  await stranger.end()
  mine.events.emit(ended(1))
  await until(() => heard.length > 0)
  assert.deepEqual([heard, theirs.lines], [[ended(1)], []])
  for (const { shared } of [mine, theirs]) await shared[Symbol.asyncDispose]()
})
