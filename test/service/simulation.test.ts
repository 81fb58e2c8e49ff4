/**
 * Workers and schedulers on one store, on a clock that the test moves: processes crash before and after any call of the store, freeze past
 * their leases, and new ones come; the machine's clock jumps by up to two days and back. `SYNCLINE_SIMULATION_SEED` replays one world, `SYNCLINE_SIMULATION_RUNS` says how many there are.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Scheduler } from '../../src/engine/queue/scheduler.ts'
import { type JobResult, Workers } from '../../src/engine/queue/worker.ts'
import type { Claim } from '../../src/store/jobs.ts'
import { openMemoryStore } from '../../src/store/sqlite/store.ts'
import type { Store } from '../../src/store/store.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { Random } from '../oracle/random.ts'

const runs = Number(
  process.env.SYNCLINE_SIMULATION_RUNS === undefined
    ? 60
    : Math.ceil(Number(process.env.SYNCLINE_SIMULATION_RUNS) / 100),
)
const first = Number(process.env.SYNCLINE_SIMULATION_SEED ?? 1)
const LEASE_MS = 8_000
const DAY_MS = 24 * 3_600_000
const SYNCS = ['a', 'b', 'c', 'd', 'e']
const started = Date.UTC(2025, 0, 1)

interface Process {
  readonly name: string
  dead: boolean
  frozenUntil: number
  readonly stop: AbortController
  readonly ended: Promise<unknown>
}

class World {
  readonly clock = new ManualClock(started)
  readonly store: Store = openMemoryStore()
  readonly random: () => number
  readonly #chance: Random
  readonly violations: string[] = []
  readonly crashedAt = new Map<string, number>()
  /** Who executes a sync, with the generation of its lease: the newest is the only one that may write. */
  readonly #fence = new Map<string, number>()
  readonly #executing = new Map<string, { readonly by: Omit<Process, 'ended'>; readonly signal: AbortSignal }>()
  readonly executed: { readonly sync: string; readonly at: number }[] = []
  readonly asked: { readonly sync: string; readonly at: number }[] = []
  #processes: Process[] = []
  #names = 0
  /** How far the machine's clock is off, and when it was set last. */
  #skewMs = 0
  #setAt = Number.NEGATIVE_INFINITY
  crashing = true

  constructor(seed: number) {
    this.#chance = new Random(seed)
    this.random = () => this.#chance.next()
  }

  /** A new process: its store calls may kill it, its clock stands still while it is frozen. */
  spawn(): void {
    const name = `p${++this.#names}`
    const stop = new AbortController()
    const it = { name, dead: false, frozenUntil: 0, stop }
    const store = {
      jobs: this.#hooked(it, 'jobs', this.store.jobs),
      schedules: this.#hooked(it, 'schedules', this.store.schedules),
    }
    const clock = {
      // A frozen process does not know how late it is: it reads the clock only when it goes on.
      now: () => this.machineNow(),
      sleep: async (ms: number, signal: AbortSignal) => {
        await this.clock.sleep(ms, signal)
        await this.#thaw(it)
      },
    }
    const workers = new Workers({
      ...{ store, clock, random: this.random, worker: name, concurrency: 2, leaseMs: LEASE_MS, log: () => {} },
      execute: (claim, signal) => this.#execute(it, claim, signal),
      emit: () => {},
    })
    const scheduler = new Scheduler({ store, clock, onFired: () => workers.wake(), log: () => {} })
    const ended = Promise.all([workers.run(stop.signal), scheduler.run(stop.signal)])
    ended.catch((error: unknown) => this.violations.push(`${name} ended: ${String(error)}`))
    this.#processes.push(Object.assign(it, { ended }))
  }

  /** What the machine's clock shows. Timers do not go by it. */
  machineNow(): number {
    return this.clock.now() + this.#skewMs
  }

  /** Somebody, or a time server, sets the machine's clock. */
  setClock(skewMs: number): void {
    if (skewMs !== this.#skewMs) this.#setAt = this.clock.now()
    this.#skewMs = skewMs
  }

  async ask(): Promise<void> {
    const sync = this.#chance.pick(SYNCS)
    const at = this.clock.now()
    await this.store.jobs.enqueue(
      {
        sync,
        priority: this.#chance.pick(['high', 'default', 'low'] as const),
        reason: 'command',
        dueMs: this.machineNow(),
        attempt: 1,
      },
      this.machineNow(),
    )
    this.asked.push({ sync, at })
  }

  freeze(): void {
    const living = this.living()
    const victim = living[Math.floor(this.random() * living.length)]
    if (victim !== undefined) victim.frozenUntil = this.clock.now() + 1000 + this.random() * 3 * LEASE_MS
  }

  living(): readonly Process[] {
    return this.#processes.filter(({ dead }) => !dead)
  }

  async close(): Promise<void> {
    for (const { stop, dead } of this.#processes) if (!dead) stop.abort()
    await this.clock.advance(60_000)
  }

  async #thaw(it: Pick<Process, 'frozenUntil' | 'dead'>): Promise<void> {
    while (it.frozenUntil > this.clock.now())
      await this.clock.sleep(it.frozenUntil - this.clock.now(), new AbortController().signal)
    if (it.dead) await new Promise(() => {})
  }

  /** Every call may be the last one: before it was done, or after it was done and before anybody heard of it. */
  #hooked<Part extends object>(it: Pick<Process, 'dead' | 'frozenUntil'>, part: string, target: Part): Part {
    return new Proxy(target, {
      get: (_, name) => {
        const method: unknown = Reflect.get(target, name)
        if (typeof method !== 'function') return method
        return async (...args: unknown[]) => {
          await this.#mayCrash(it, `before ${part}.${String(name)}`)
          const result: unknown = await method.apply(target, args)
          await this.#mayCrash(it, `after ${part}.${String(name)}`)
          return result
        }
      },
    })
  }

  async #mayCrash(it: Pick<Process, 'dead' | 'frozenUntil'>, place: string): Promise<void> {
    await this.#thaw(it)
    if (this.crashing && this.random() < 0.002)
      this.setClock(this.random() < 0.5 ? 0 : Math.round((this.random() - 0.5) * 4 * DAY_MS))
    // Looking is most of what they do.
    const looks = /claim|nextDue|due|heartbeat/.test(place)
    if (!this.crashing || this.random() >= (looks ? 0.008 : 0.04)) return
    it.dead = true
    this.crashedAt.set(place, (this.crashedAt.get(place) ?? 0) + 1)
    await new Promise(() => {})
  }

  /** A run: claims the fence of its target, takes its time, and writes if nobody claimed it since. */
  async #execute(it: Omit<Process, 'ended'>, claim: Claim, signal: AbortSignal): Promise<JobResult> {
    const { sync, generation } = claim
    const at = this.clock.now()
    const before = this.#fence.get(sync) ?? 0
    if (generation <= before) this.violations.push(`${it.name} got generation ${generation} of ${sync} after ${before}`)
    this.#fence.set(sync, generation)
    const other = this.#executing.get(sync)
    // Only who was dead or frozen, or whose clock was set, may have lost the lease without knowing: the fence keeps it from writing.
    if (
      other !== undefined &&
      this.#setAt < at - 2 * LEASE_MS &&
      !other.signal.aborted &&
      !other.by.dead &&
      other.by.frozenUntil < at - LEASE_MS
    )
      this.violations.push(`${it.name} runs ${sync} while ${other.by.name} does`)
    this.#executing.set(sync, { by: it, signal })
    try {
      return await this.#work(it, claim, signal, at)
    } finally {
      if (this.#executing.get(sync)?.signal === signal) this.#executing.delete(sync)
    }
  }

  async #work(
    it: Omit<Process, 'ended'>,
    { sync, generation }: Claim,
    signal: AbortSignal,
    at: number,
  ): Promise<JobResult> {
    try {
      await this.clock.sleep(this.random() * 2 * LEASE_MS, signal)
    } catch {
      return { kind: 'interrupted', run: null }
    }
    await this.#thaw(it)
    if (this.#fence.get(sync) !== generation)
      return { kind: 'ended', status: 'failed', run: null, error: null, retry: false }
    const outcome = this.random()
    if (outcome < 0.15) return { kind: 'postponed', untilMs: this.machineNow() + 2000 }
    this.executed.push({ sync, at })
    const failed = this.crashing && outcome < 0.5
    return { kind: 'ended', status: failed ? 'failed' : 'succeeded', run: null, error: null, retry: failed }
  }
}

async function play(seed: number): Promise<World> {
  const world = new World(seed)
  const { store, clock, random } = world
  await store.schedules.put({ sync: 'a', schedule: { kind: 'interval', everyMs: 15_000 }, origin: 'config' }, started)
  await store.schedules.put(
    { sync: 'b', schedule: { kind: 'cron', cron: '*/20 * * * * *', zone: 'UTC' }, origin: 'config' },
    started,
  )
  await store.schedules.put({ sync: 'c', schedule: { kind: 'after', sync: 'a' }, origin: 'config' }, null)
  for (let process = 0; process < 3; process++) world.spawn()
  for (let step = 0; step < 40; step++) {
    await clock.advance(random() * 6000)
    if (random() < 0.3) await world.ask()
    if (random() < 0.1) world.freeze()
    while (world.living().length < 3) world.spawn()
  }
  world.crashing = false
  world.setClock(0)
  if (world.living().length === 0) world.spawn()
  const quiet = clock.now()
  // What failed again and again is held back for up to five minutes.
  await clock.advance(480_000)
  await check(world, quiet)
  await world.close()
  return world
}

/** What was asked for was executed, nothing is stuck, and schedules went on. */
async function check(world: World, quiet: number): Promise<void> {
  const { store, clock, violations, executed, asked } = world
  for (const { sync, at } of asked)
    if (!executed.some((run) => run.sync === sync && run.at >= at))
      violations.push(`${sync}, asked for at ${at}, never ran`)
  for (const job of await store.jobs.list({ status: 'running', limit: 100 }))
    if (job.state.status === 'running' && job.state.leaseUntil <= clock.now())
      violations.push(`job ${job.id} of ${job.sync} is stuck`)
  for (const job of await store.jobs.list({ status: 'queued', limit: 100 }))
    if (job.dueAt < clock.now() - 120_000) violations.push(`job ${job.id} of ${job.sync} waits since ${job.dueAt}`)
  for (const sync of ['a', 'b', 'c'])
    if (executed.filter((run) => run.sync === sync && run.at > quiet).length < 3)
      violations.push(`${sync} was forgotten`)
}

test(`${runs} worlds of workers and schedulers that crash and freeze at any call: nothing asked for is lost, nothing is stuck`, async () => {
  const places = new Map<string, number>()
  for (let seed = first; seed < first + (process.env.SYNCLINE_SIMULATION_SEED === undefined ? runs : 1); seed++) {
    const world = await play(seed)
    assert.deepEqual(world.violations, [], `seed ${seed}`)
    for (const [place, times] of world.crashedAt) places.set(place, (places.get(place) ?? 0) + times)
  }
  if (process.env.SYNCLINE_SIMULATION_SEED !== undefined) return
  console.log(
    [...places]
      .toSorted()
      .map(([place, times]) => `${place} ×${times}`)
      .join(', '),
  )
  for (const call of [
    'jobs.claim',
    'jobs.finish',
    'jobs.heartbeat',
    'jobs.postpone',
    'schedules.due',
    'schedules.fire',
    'schedules.note',
  ])
    for (const when of ['before', 'after']) assert.ok(places.has(`${when} ${call}`), `no crash ${when} ${call}`)
})
