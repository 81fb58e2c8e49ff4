/** The loop of `watch`: which sync runs when. Syncs run one after the other. */
import type { Expansion } from '../../config/expand.ts'
import type { RunRecord } from '../../core/run.ts'
import { type Address, defaults } from '../../core/sync.ts'
import { type AnySync, isTwoWay, placesOf } from '../../core/two-way.ts'
import { optionsOf } from '../../engine/one-way/open.ts'
import type { Project } from '../../engine/project.ts'

/** Between two looks for new collections. */
const LOOK_EVERY_MS = 30_000
/** The same, when a source could not be read. */
const LOOK_AGAIN_MS = 5_000
/** A sync that keeps failing, or is held, is tried at least this often. */
const SLOWEST_MS = 60_000
/** Between two runs of one sync, however many changes its source announces. */
const PAUSE_MS = 100

interface Watched {
  sync: AnySync
  dueAtMs: number
  /** When its last run ended. */
  endedAtMs: number
  failures: number
  /** Not run before then, unless it is released; null: not held. */
  heldUntilMs: number | null
  listening: boolean
}

type Outcome = Pick<RunRecord, 'status'>

export class Watch {
  readonly #project: Project
  readonly #runSync: (sync: AnySync) => Promise<Outcome>
  readonly #expand: () => Promise<Expansion>
  readonly #watched = new Map<string, Watched>()
  #lookAtMs = 0
  #wake = new AbortController()

  constructor(project: Project, runSync: (sync: AnySync) => Promise<Outcome>, expand: () => Promise<Expansion>) {
    this.#project = project
    this.#runSync = runSync
    this.#expand = expand
  }

  /** Looks which syncs there are, and returns how many. A mistake in the config throws. */
  async start(): Promise<number> {
    await this.#look()
    return this.#watched.size
  }

  /** Runs what is due until the context's signal is aborted. */
  async run(): Promise<void> {
    const { clock, signal } = this.#project.context
    while (!signal.aborted) {
      for (const watched of this.#watched.values()) {
        if (signal.aborted) return
        if (isDue(watched, clock.now())) await this.#attempt(watched)
      }
      if (this.#lookAtMs <= clock.now()) await this.#look().catch(() => {})
      await this.#rest()
    }
  }

  async #look(): Promise<void> {
    const { clock } = this.#project.context
    this.#lookAtMs = clock.now() + LOOK_EVERY_MS
    const { syncs, failures } = await this.#expand()
    if (failures.length > 0) this.#lookAtMs = clock.now() + LOOK_AGAIN_MS
    for (const sync of syncs) {
      const known = this.#watched.get(sync.id)
      if (known === undefined) {
        this.#watched.set(sync.id, { sync, dueAtMs: 0, endedAtMs: 0, failures: 0, heldUntilMs: null, listening: false })
      } else known.sync = sync
    }
  }

  async #attempt(watched: Watched): Promise<void> {
    const { sync } = watched
    const { clock } = this.#project.context
    if (watched.heldUntilMs !== null && clock.now() < watched.heldUntilMs) {
      watched.dueAtMs = clock.now() + everyMs(sync)
      if ((await this.#project.store.runs.released(sync.id)) === null) return
    }
    // Before the run, so that what changes during it is not missed.
    this.#listen(watched)
    watched.dueAtMs = Number.POSITIVE_INFINITY
    const { status } = await this.#runSync(sync)
    const now = clock.now()
    watched.endedAtMs = now
    watched.failures = status === 'failed' ? watched.failures + 1 : 0
    watched.heldUntilMs = status === 'held' ? now + SLOWEST_MS : null
    const interval = everyMs(sync)
    const delay = Math.max(interval, Math.min(SLOWEST_MS, interval * 2 ** (watched.failures - 1)))
    const dueAtMs = now + (watched.failures > 0 ? delay : interval)
    // A change that was announced meanwhile counts, after a pause.
    watched.dueAtMs = Number.isFinite(watched.dueAtMs) ? now + PAUSE_MS : dueAtMs
  }

  /** Marks the sync as due when its source announces a change. Announcements may get lost: the interval covers that. */
  #listen(watched: Watched): void {
    if (watched.listening) return
    watched.listening = true
    this.#announcements(watched)
      .catch(() => {})
      .finally(() => {
        watched.listening = false
      })
  }

  async #announcements({ sync }: Watched): Promise<void> {
    const sides = isTwoWay(sync) ? placesOf(sync) : [sync.from]
    await Promise.all(sides.map((place) => this.#announcementsOf(sync, place)))
  }

  async #announcementsOf(sync: AnySync, place: Address): Promise<void> {
    const { connection, context } = this.#project
    const source = await connection(place.connection)
    const collection = await source.collection(place.collection, isTwoWay(sync) ? {} : optionsOf(sync))
    // A system that announces nothing leaves `listening` on: there is no need to ask again.
    if (collection.watch === undefined) return await stopped(context.signal)
    for await (const _ of collection.watch(context.signal)) {
      const watched = this.#watched.get(sync.id)
      if (watched === undefined) return
      watched.dueAtMs = Math.min(watched.dueAtMs, Math.max(context.clock.now(), watched.endedAtMs + PAUSE_MS))
      this.#wake.abort()
    }
  }

  /** Waits until something is due or announced. */
  async #rest(): Promise<void> {
    const { clock, signal } = this.#project.context
    const due = Math.min(this.#lookAtMs, ...[...this.#watched.values()].map(({ dueAtMs }) => dueAtMs))
    const waitMs = Math.max(PAUSE_MS, due - clock.now())
    const wake = this.#wake
    await clock.sleep(waitMs, AbortSignal.any([signal, wake.signal])).catch(() => {})
    this.#wake = new AbortController()
  }
}

/** Waiting longer than any wait there is means that the clock was set back. */
function isDue({ dueAtMs, sync }: Watched, nowMs: number): boolean {
  return dueAtMs <= nowMs || dueAtMs - nowMs > Math.max(everyMs(sync), SLOWEST_MS)
}

/** `watch` runs every sync, whatever its schedule; those that say no interval at the usual one. */
function everyMs({ schedule }: AnySync): number {
  return 'everyMs' in schedule ? schedule.everyMs : defaults.schedule.everyMs
}

function stopped(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
