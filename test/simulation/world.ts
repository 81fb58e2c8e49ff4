/**
 * A deterministic world for two-way syncs: two systems in memory with habits of their own, users who edit at any moment,
 * a network that loses responses, and processes that die or freeze at any await. People look at the sync meanwhile, and the
 * syncs of other worlds run at the same time on the same store. One seed replays everything. The engine and the store are the
 * shipped ones; all they get is injected.
 */
import type { SQLOutputValue } from 'node:sqlite'
import type { Collection, Connection, Context, Writer } from '../../src/connectors/connector.ts'
import { memoryConnector } from '../../src/connectors/memory.ts'
import { MemorySystem } from '../../src/connectors/memory-system.ts'
import { SyncError } from '../../src/core/error.ts'
import { keyText } from '../../src/core/key-text.ts'
import type { RunRecord } from '../../src/core/run.ts'
import { type AnySync, type SideName, sideNames, type TwoWaySync } from '../../src/core/two-way.ts'
import type { Row, Value } from '../../src/core/value.ts'
import type { Project } from '../../src/engine/project.ts'
import { deadLetters } from '../../src/engine/runs/dead-letters.ts'
import { resetSync, runSync } from '../../src/engine/runs/run-sync.ts'
import { conflictObject, keyNames } from '../../src/engine/two-way/conflict-object.ts'
import { whyRow } from '../../src/engine/two-way/explain.ts'
import { planTwoWay } from '../../src/engine/two-way/plan.ts'
import { repairPairs } from '../../src/engine/two-way/repair-pairs.ts'
import { type PairCommit, type PairReader, type PairRun, statusOf } from '../../src/store/pairs.ts'
import { emptyState, openMemoryStore } from '../../src/store/sqlite/store.ts'
import type { Store } from '../../src/store/store.ts'
import { Random } from '../oracle/random.ts'
import { schemaOf } from '../two-way/world.ts'
import { Model } from './model.ts'
import { drawSync, drawTraits, type Traits } from './traits.ts'
import { Turns } from './turns.ts'

/** Dependencies that a negative test swaps for worse ones. */
export interface Sabotage {
  readonly store?: (store: Store) => Store
  readonly collection?: (collection: Collection) => Collection
  readonly system?: (system: MemorySystem) => MemorySystem
}

/** Where a process was when it died or froze, and what it had in hand. */
export type Coverage = Map<string, Map<string, number>>

/** How a run under way ended, or did not. Null: it was no run, but a repair. */
type End =
  | { readonly kind: 'done'; readonly record: RunRecord | null }
  | { readonly kind: 'crashed' }
  | { readonly kind: 'frozen' }

interface Process {
  readonly id: number
  dead: boolean
  /** Set while it is frozen: lets it go on. */
  thaw: (() => void) | null
  /** Kinds of decisions in hand. */
  inHand: readonly string[]
  /** How it ends, or what stops it next. */
  ended: PromiseWithResolvers<End>
}

/** Rows of the sync in the tables of the store, and the project that the state is of. */
interface Backup {
  readonly project: string
  readonly rows: ReadonlyMap<string, readonly Readonly<Record<string, SQLOutputValue>>[]>
}

type SideBackup = Pick<MemorySystem, 'tables' | 'fences' | 'results' | 'seq'>

/** An await of the engine, by what it waits for. */
type Point = (name: string) => Promise<void>

/** A world that takes more awaits than this hangs. */
const MAX_STEPS = 100_000

/** What a run is held with, and what a person does then, when a state or a side is not what it was. */
const replaced: readonly (string | undefined)[] = ['SIDE_REPLACED', 'STATE_OLDER']

/** What a run may fail with in a wild world. */
const expectedErrors = ['GUARD_HELD', 'CONNECTION_LOST', 'DATABASE_LOCKED', 'LEASE_LOST', 'ROWS_REJECTED']

const TWO_DAYS_MS = 2 * 86_400_000

const collectionName = 'rows'
export const fieldNames = ['origin', 'email', 'a', 'b'] as const

/** A system that tells what is written to it. */
class WatchedSystem extends MemorySystem {
  readonly #tell: (row: Row | null) => void

  constructor(tell: (row: Row | null) => void) {
    super()
    this.#tell = tell
  }

  override put(name: string, ...rows: readonly Row[]): void {
    super.put(name, ...rows)
    for (const row of rows) this.#tell(row)
  }

  override delete(name: string, ...keys: readonly (readonly Value[])[]): void {
    super.delete(name, ...keys)
    this.#tell(null)
  }
}

/** The shipped store, emptied each time: making its tables takes longer than a world lives. */
const database = emptyState()
const tables = ['run', 'lease', 'pairing', 'pair', 'unpaired', 'pending', 'intent', 'conflict', 'journal'] as const
function ofSync(table: (typeof tables)[number]): string {
  const found = table === 'pair' || table === 'unpaired' || table === 'pending' || table === 'intent'
  return found ? 'pairing = (select id from pairing where sync = ?)' : 'sync = ?'
}
function emptyStore(): Store {
  // What processes that died had in hand. The numbers of openings go on.
  const temporary = database
    .prepare("select name from sqlite_temp_master where type = 'table' and name <> 'opening'")
    .all()
  const names = [...tables, ...temporary.map(({ name }) => `temp.${name}`)]
  database.exec(names.map((name) => `delete from ${name}`).join(';'))
  return openMemoryStore(database)
}

/** Lets the worlds of these seeds live at once on one store, and returns what is wrong with the first that finds something. */
export async function liveTogether(
  seeds: readonly number[],
  coverage: Coverage,
  sabotage: Sabotage = {},
): Promise<{ readonly violation: string | null; readonly steps: number }> {
  const store = emptyStore()
  const turns = new Turns(new Random(seeds[0] ?? 0))
  const alone = seeds.length === 1
  const worlds = seeds.map((seed, at) => new World(seed, coverage, { store, turns, at, alone }, sabotage))
  const lives = worlds.map((world) => turns.start(() => world.live()))
  turns.begin()
  const violations = (await Promise.allSettled(lives)).flatMap((life, at) =>
    life.status === 'fulfilled' ? [] : [`seed ${seeds[at]}: ${messageOf(life.reason)}`],
  )
  return { violation: violations[0] ?? null, steps: worlds.reduce((sum, { steps }) => sum + steps, 0) }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** What worlds share that live at once. */
export interface Surroundings {
  readonly store: Store
  readonly turns: Turns
  /** Which of them this one is. */
  readonly at: number
  /** Whether there is no other. */
  readonly alone: boolean
}

export class World {
  readonly random: Random
  readonly traits: Traits
  readonly sync: TwoWaySync
  readonly systems: Readonly<Record<SideName, MemorySystem>>
  readonly store: Store
  readonly model: Model
  readonly coverage: Coverage
  readonly #sabotage: Sabotage
  /** Whose turn it is: one process runs at a time, until it ends, dies or freezes. */
  #turn: Process | null = null
  readonly #frozen: Process[] = []
  readonly #backups: { readonly state: Backup[]; readonly sides: Record<SideName, SideBackup[]> } = {
    state: [],
    sides: { left: [], right: [] },
  }
  /** Whether the state, or a side, was put back to what it was. */
  #restored = false
  #projectId = 'project'
  readonly #alone: boolean
  readonly #earlier: Record<SideName, MemorySystem['tables'] | null> = { left: null, right: null }
  #processes = 0
  #now: number
  readonly #turns: Turns
  /** Whether somebody is looking at the sync. */
  #watched = false
  #seen: unknown = null
  /** False: nobody edits, nothing fails. */
  #wild = true
  #counter = 0
  steps = 0

  /** Whether runs are those of a worker or a command, which hold the lease from before they begin. */
  readonly #leased: boolean

  constructor(seed: number, coverage: Coverage, { store, turns, at, alone }: Surroundings, sabotage: Sabotage = {}) {
    this.random = new Random(seed)
    this.#leased = seed % 2 === 1
    this.coverage = coverage
    this.#sabotage = sabotage
    this.traits = drawTraits(this.random)
    this.sync = drawSync(this.random, `rows${at}`)
    this.#turns = turns
    this.#alone = alone
    this.#now = Date.UTC(2026 + at, 0, 1)
    const system = (side: SideName) => {
      const plain = new WatchedSystem((row) => this.model.engineWrites(this.#turn?.id ?? null, side, row))
      const made = sabotage.system?.(plain) ?? plain
      made.create(
        schemaOf(
          collectionName,
          { id: 'integer', origin: 'text', email: 'text', a: 'text', b: 'text', stamp: 'instant' },
          ['id'],
        ),
      )
      made.pageRows = this.random.between(1, 6)
      made.assigned = side === 'left' ? 1000 : 2000
      made.normalize = (_collection, row) => this.#stored(side, row)
      made.fault = async (operation) => {
        // Inside a batch: some writes have taken effect, the others not yet.
        if (operation === 'write' || operation === 'written') await this.#point(`${side}.${operation}`)
      }
      return made
    }
    this.systems = { left: system('left'), right: system('right') }
    this.store = sabotage.store?.(store) ?? store
    this.model = new Model(this.systems, collectionName)
  }

  /** Lives through a few wild runs, then lets everything come to rest. Throws what the model finds. */
  async live(): Promise<void> {
    for (let i = this.random.between(2, 5); i > 0; i--) this.#userActs()
    const runs = this.random.between(2, 5)
    for (let i = 0; i < runs; i++) {
      const end = await this.#run()
      if (end.kind === 'done' && end.record !== null) await this.#afterRun(end.record)
      // The state is put back as a whole, so nobody else has any.
      if (this.#alone && this.traits.restores > 0) await this.#maybeRestore()
      if (this.random.chance(0.3)) this.#userActs()
      if (this.random.chance(0.4)) await this.#thawOne()
      if (this.random.chance(0.2)) await this.#personDecides()
      if (this.random.chance(0.4)) await this.#personSettles()
    }
    while (this.#frozen.length > 0) await this.#thawOne()
    await this.#rest()
    while (this.#watched) await this.#turns.pass()
    if (this.#seen !== null) throw this.#seen
  }

  /** With nobody editing: equal within two runs (one more for each release), and then nothing is written. */
  async #rest(): Promise<void> {
    this.#wild = false
    let writes = 1
    let runs = 0
    for (; runs < 6 && writes > 0; runs++) {
      const record = await this.#calmRun()
      writes = record.inserted + record.updated + record.deleted
      if (replaced.includes(record.error?.code)) {
        writes = 1
        runs--
        this.model.check(this.#counter++ < 1_000_000, 'a repair does not help')
      } else if (record.status === 'held') {
        await this.store.runs.release(record.id, this.#now)
        writes = 1
        runs--
        this.model.check(this.#counter++ < 1_000_000, 'a held run never goes on')
      } else
        this.model.check(record.status === 'succeeded', `a calm run ends ${record.status}: ${record.error?.message}`)
    }
    this.model.check(runs <= 3, `it takes ${runs} runs to come to rest`)
    for (let i = 0; i < 5; i++) {
      const record = await this.#calmRun()
      this.model.check(record.inserted + record.updated + record.deleted === 0, 'I1: a run at rest writes')
    }
    const memory = await this.store.pairs.read(this.sync.id)
    const waiting = await memory.waiting()
    const stuck = [...waiting.pairs, ...waiting.unpaired.filter(({ state }) => state !== 'ambiguous')]
    this.model.check(stuck.length === 0, `progress: rows are stuck: ${JSON.stringify(stuck)}`)
    this.model.check((await memory.intents()).length === 0, 'intents are left over')
    const pairs = await memory.after(0, 100_000)
    const unpaired = {
      left: new Set((await memory.unpaired('left', this.#keys('left'))).map(({ key }) => key)),
      right: new Set((await memory.unpaired('right', this.#keys('right'))).map(({ key }) => key)),
    }
    await memory[Symbol.asyncDispose]()
    const plan = await planTwoWay(this.sync, this.#project(null))
    this.model.check(plan.inserts + plan.updates + plan.deletes === 0, 'a plan at rest would write')
    const conflicts = await this.store.pairs.conflicts.list({ sync: this.sync.id, limit: 100_000 })
    this.model.atRest(pairs, unpaired, conflicts, (side, row) => this.#stored(side, row))
  }

  #keys(side: SideName): string[] {
    return [...this.systems[side].table(collectionName).rows.keys()]
  }

  async #calmRun(): Promise<RunRecord> {
    const end = await this.#run()
    if (end.kind !== 'done' || end.record === null) throw new Error('a calm run did not end')
    await this.#afterRun(end.record)
    return end.record
  }

  async #afterRun(record: RunRecord): Promise<void> {
    const { error } = record
    if (this.#restored && replaced.includes(error?.code)) {
      this.#count('held', String(error?.code))
      const { inserted, updated, deleted } = record
      this.model.check(inserted + updated + deleted === 0, `a run that ends ${error?.code} has written`)
      if (!this.#wild || this.random.chance(0.7)) await this.#personRepairs(error?.code)
      return
    }
    if (record.status === 'held' && this.#wild && this.random.chance(0.5))
      await this.store.runs.release(record.id, this.#now)
    const fine = error === null || expectedErrors.includes(error.code)
    this.model.check(fine, `a run failed: ${error?.code}: ${error?.message}`)
    this.model.check(error?.code !== 'LEASE_LOST', 'a run lost its lease to nobody')
  }

  /** Now and then a backup is made; now and then one is put back, or the state is gone. Whoever was frozen is ended before. */
  async #maybeRestore(): Promise<void> {
    const { random } = this
    // Of a run that was killed while it took the fences nobody knows how far they went: such a state is no good backup.
    const { claims } = database.prepare('select claims from pairing where sync = ?').get(this.sync.id) ?? {}
    // Nor is one of a state that was repaired and has not run since: it takes any fence.
    if (!claims && !this.model.forgetful && random.chance(0.5)) this.#backups.state.push(this.#backUpState())
    for (const side of sideNames) if (random.chance(0.5)) this.#backups.sides[side].push(this.#backUpSide(side))
    // What is put back before the first run after a repair nobody can tell from what the repair found.
    if (this.model.forgetful || !random.chance(this.traits.restores)) return
    this.#frozen.length = 0
    this.#restored = true
    const what = random.pick(['older state', 'lost state', 'left', 'right'] as const)
    this.#count('put back', what)
    if (what === 'left' || what === 'right') {
      const backup = this.#backups.sides[what].at(-1)
      if (backup === undefined) return
      const rows = this.systems[what].rows(collectionName)
      const unseen = [...this.systems[what].fences].join() === [...backup.fences].join()
      // What the last run looked up after it had read the side, and is undone, nothing tells of; see docs/guide/two-way.md.
      if (unseen && this.#cursorOf(what) <= backup.seq && backup.seq < this.systems[what].seq) return
      Object.assign(this.systems[what], backup)
      this.#earlier[what] = null
      this.model.sideReplaced(what, rows, this.#intents(), unseen)
      return
    }
    const conflicts = await this.store.pairs.conflicts.list({ sync: this.sync.id, limit: 100_000 })
    const backup =
      what === 'older state' ? this.#backups.state.at(-1) : { project: `${this.#projectId}+`, rows: new Map() }
    if (backup === undefined) return
    const intents = this.#intents()
    this.#putBackState(backup)
    this.model.stateReplaced(conflicts, intents)
  }

  /** How far a side was read. */
  #cursorOf(side: SideName): number {
    const row = database.prepare(`select ${side}_cursor as cursor from pairing where sync = ?`).get(this.sync.id)
    return row?.cursor ? Number(JSON.parse(String(row.cursor))[0]) : 0
  }

  #intents(): readonly string[] {
    const intents = database.prepare(`select body from intent where ${ofSync('intent')}`).all(this.sync.id)
    return intents.map(({ body }) => String(body))
  }

  #backUpSide(side: SideName): SideBackup {
    // A key that is given again after a restore belongs to another row: nothing could tell, see docs/guide/two-way.md.
    const { tables, fences, results, seq } = this.systems[side]
    return { tables, fences, results, seq }
  }

  #backUpState(): Backup {
    const rows = new Map(
      tables.map((table) => [
        table,
        database.prepare(`select * from ${table} where ${ofSync(table)}`).all(this.sync.id),
      ]),
    )
    return { project: this.#projectId, rows }
  }

  #putBackState({ project, rows }: Backup): void {
    this.#projectId = project
    // What belongs to the pairing is found by it: it goes last, and comes first.
    for (const table of [...tables].reverse())
      database.prepare(`delete from ${table} where ${ofSync(table)}`).run(this.sync.id)
    for (const table of tables)
      for (const row of rows.get(table) ?? []) {
        const names = Object.keys(row)
        const marks = names.map(() => '?').join(', ')
        database.prepare(`insert into ${table} (${names.join(', ')}) values (${marks})`).run(...Object.values(row))
      }
  }

  /** As the hint says. The rows of the simulation know where they come from. */
  async #personRepairs(code: string | undefined): Promise<void> {
    await this.#inProcess(async (project) => {
      const { leases, holder } = project.store
      const lease = await leases.take(this.sync.id, holder, this.#now, 60_000)
      try {
        // Without a match only a repair finds a row again that was deleted and has come back since, with another key.
        if (code === 'SIDE_REPLACED' && this.traits.matches)
          await resetSync(this.sync, project, { drop: false, keepPairs: true })
        else await repairPairs(this.sync, project, ['origin'], lease)
      } catch (error) {
        // Whoever asked for it sees that, and asks again.
        const fine = error instanceof SyncError && expectedErrors.includes(error.code)
        this.model.check(fine, `a repair failed: ${messageOf(error)}`)
      }
      this.model.pairsForgotten()
      await leases.free(this.sync.id, lease)
      return null
    })
  }

  /** One run in a process of its own, until it ends, dies or freezes. */
  async #run(): Promise<End> {
    const { process, end } = await this.#inProcess((project) =>
      this.#leased ? runLeased(this.sync, project) : runSync(this.sync, project),
    )
    if (end.kind === 'done' && end.record?.error === null) this.model.ended(process.id)
    return end
  }

  async #inProcess(
    work: (project: Project) => Promise<RunRecord | null>,
  ): Promise<{ readonly process: Process; readonly end: End }> {
    const process: Process = {
      id: ++this.#processes,
      dead: false,
      thaw: null,
      inHand: [],
      ended: Promise.withResolvers<End>(),
    }
    this.#turn = process
    work(this.#project(process)).then(
      (record) => process.ended.resolve({ kind: 'done', record }),
      (error: unknown) => process.ended.reject(error),
    )
    const end = await process.ended.promise
    if (end.kind === 'frozen') this.#frozen.push(process)
    return { process, end }
  }

  /** A frozen process goes on: by then another may have taken over. */
  async #thawOne(): Promise<void> {
    const process = this.#frozen.shift()
    if (process === undefined) return
    process.ended = Promise.withResolvers<End>()
    this.#turn = process
    process.thaw?.()
    const end = await process.ended.promise
    if (end.kind === 'frozen') this.#frozen.push(process)
    if (end.kind !== 'done' || end.record === null) return
    const { error } = end.record
    if (this.#restored && replaced.includes(error?.code)) return
    const fine = error === null || expectedErrors.includes(error.code)
    this.model.check(fine, `a thawed run failed: ${error?.code}: ${error?.message}`)
  }

  /** Every await of the engine passes through here: users act, responses get lost, processes die or freeze. */
  async #point(name: string): Promise<void> {
    this.steps++
    if (this.steps > MAX_STEPS) throw new Error('the world does not come to rest')
    this.#now += this.random.between(0, 5)
    if (this.random.chance(this.traits.jumps)) this.#jump()
    const process = this.#turn
    if (process?.dead === true) await new Promise(() => {})
    const { traits, random } = this
    if (random.chance(traits.looks)) this.#somebodyLooks()
    if (await this.#turns.pass()) this.#count('others went on', name.replace(/^(before|after) /, ''))
    if (process === null || !this.#wild) return
    if (random.chance(traits.edits)) this.#userActs()
    if (random.chance(traits.crashes)) {
      this.#note(`crash at ${name}`, process)
      process.dead = true
      process.ended.resolve({ kind: 'crashed' })
      await new Promise(() => {})
    }
    if (random.chance(traits.freezes) && this.#frozen.length === 0) {
      this.#note(`freeze at ${name}`, process)
      await new Promise<void>((resolve) => {
        process.thaw = resolve
        process.ended.resolve({ kind: 'frozen' })
      })
    }
    if (random.chance(traits.faults) && /^(left|right)\./.test(name)) {
      this.#note(`fault at ${name}`, process)
      throw random.chance(0.5)
        ? new SyncError('CONNECTION_LOST', 'the response got lost')
        : new SyncError('DATABASE_LOCKED', 'too many requests')
    }
  }

  /** The clock is set, by up to two days. */
  #jump(): void {
    this.#count('the clock jumps', this.#turn === null ? 'between runs' : 'within a run')
    this.#now += this.random.between(-TWO_DAYS_MS, TWO_DAYS_MS)
  }

  /** Somebody looks at the sync, also while it runs: each await of the look lets others go on. */
  #somebodyLooks(): void {
    if (this.#watched) return
    this.#watched = true
    const looks: Readonly<Record<string, (project: Project) => Promise<unknown>>> = {
      why: (project) => whyRow(this.sync, project, String(this.random.between(1001, 1004))),
      plan: (project) => planTwoWay(this.sync, project),
      'dead letters': (project) => deadLetters(this.sync, project),
      conflicts: async ({ store }) => {
        for (const record of await store.pairs.conflicts.list({ sync: this.sync.id, limit: 100 }))
          conflictObject(record, await keyNames(store.pairs, this.sync.id))
      },
    }
    const name = this.random.pick(Object.keys(looks))
    void this.#turns
      .start(async () => {
        this.#count('looks at a run', name)
        await looks[name]?.(this.#project(null))
      })
      .catch((error: unknown) => {
        if (!(error instanceof SyncError) || error.code !== 'ROW_UNKNOWN') this.#seen = error
      })
      .finally(() => {
        this.#watched = false
      })
  }

  #note(point: string, { inHand }: Process): void {
    for (const kind of inHand.length === 0 ? ['nothing'] : inHand) this.#count(point, kind)
  }

  #count(point: string, kind: string): void {
    const row = this.coverage.get(point) ?? new Map<string, number>()
    this.coverage.set(point, row)
    row.set(kind, (row.get(kind) ?? 0) + 1)
  }

  /** As a process has it; null: somebody who looks, to whom nothing happens. */
  #project(process: Process | null): Project {
    const point: Point =
      process === null
        ? async () => {
            await this.#turns.pass()
          }
        : (name: string) => this.#point(name)
    const context: Context = {
      signal: new AbortController().signal,
      clock: {
        now: () => this.#now,
        sleep: async (ms) => {
          this.#now += ms
          await point('sleep')
        },
      },
      random: () => this.random.next(),
      log: () => {},
    }
    const connection = async (name: string): Promise<Connection> => {
      const side = name as SideName
      const open = await memoryConnector.open({ system: this.systems[side] }, context)
      return {
        ...open,
        collection: async (of, options) => this.#collection(side, await open.collection(of, options), process, point),
      }
    }
    return {
      id: this.#projectId,
      store: this.#storeOf(process, point),
      context,
      connection,
      reconnect: async () => {},
      unreachable: new Set(),
      emit: () => {},
    }
  }

  /** The collection as this process reaches it over the network. */
  #collection(side: SideName, plain: Collection, process: Process | null, pointOf: Point): Collection {
    const collection = this.#sabotage.collection?.(plain) ?? plain
    const point = (name: string) => pointOf(`${side}.${name}`)
    const remember = () => {
      if (process !== null) this.#earlier[side] = this.systems[side].tables
    }
    return {
      ...collection,
      read: async function* (cursor, options) {
        await point('read')
        remember()
        for await (const page of collection.read(cursor, options)) {
          yield page
          await point('read page')
        }
      },
      lookup: {
        ...collection.lookup,
        fetch: async (keys, fields) => {
          await point('lookup')
          const chunk = await this.#maybeStale(side, () => collection.lookup.fetch(keys, fields))
          await point('lookup answer')
          return chunk
        },
      },
      writer: async (spec) => {
        await point('claim')
        if (process === null) throw new Error('somebody who looks takes a fence')
        const writer = (await collection.writer?.(spec)) as Writer
        this.model.claimed(process.id, side)
        await point('claimed')
        return {
          generation: writer.generation,
          write: async (id, writes, forget) => {
            process.inHand = writes.map(({ kind }) => `${kind} ${side}`)
            const results = await writer.write(id, writes, forget)
            await point('write answer')
            return results
          },
          recall: async (id) => {
            await point('recall')
            return await writer.recall(id)
          },
          forget: async () => {
            await point('forget')
            return await writer.forget()
          },
          [Symbol.asyncDispose]: async () => {},
        }
      },
    }
  }

  /** A replica may answer with what was there when this run read the side, but never with anything older. */
  async #maybeStale<T>(side: SideName, read: () => Promise<T>): Promise<T> {
    const system = this.systems[side]
    const earlier = this.#earlier[side]
    if (!this.#wild || earlier === null || !this.random.chance(this.traits.staleness)) return await read()
    const now = system.tables
    system.tables = earlier
    try {
      return await read()
    } finally {
      system.tables = now
    }
  }

  /** The store as this process reaches it: an await before and after each of its transactions. */
  #storeOf(process: Process | null, point: Point): Store {
    const { store } = this
    const around = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
      await point(`before store.${name}`)
      const result = await work()
      await point(`after store.${name}`)
      return result
    }
    const readerOf = (memory: PairReader): PairReader => ({
      state: () => memory.state(),
      byKeys: (side, keys) => memory.byKeys(side, keys),
      byIds: (ids) => memory.byIds(ids),
      after: (id, limit) => memory.after(id, limit),
      unpaired: (side, keys) => memory.unpaired(side, keys),
      waiting: () => (process === null ? around('waiting', () => memory.waiting()) : memory.waiting()),
      intents: () => around('intents', () => memory.intents()),
      [Symbol.asyncDispose]: () => memory[Symbol.asyncDispose](),
    })
    const runOf = (pairs: PairRun, process: Process): PairRun => ({
      work: pairs.work,
      pairAlike: (generation, layout) => around('pairAlike', () => pairs.pairAlike(generation, layout)),
      intend: (generation, intents) => {
        process.inHand = intents.flatMap(({ side, body }) =>
          (JSON.parse(body) as { writes: { kind: string }[] }).writes.map(({ kind }) => `${kind} ${side}`),
        )
        return around('intend', () => pairs.intend(generation, intents))
      },
      commit: async (generation, change) => {
        process.inHand = [...new Set([...process.inHand, ...kindsOf(change)])]
        const committed = await around('commit', () => pairs.commit(generation, change))
        process.inHand = []
        return committed
      },
      claiming: (generation) => around('claiming', () => pairs.claiming(generation)),
      claimed: (generation, fences) => around('claimed', () => pairs.claimed(generation, fences)),
      finish: (generation, state) => around('finish', () => pairs.finish(generation, state)),
      [Symbol.asyncDispose]: () => pairs[Symbol.asyncDispose](),
    })
    return {
      projectId: () => store.projectId(),
      lock: () => store.lock(),
      holder: store.holder,
      runs: {
        start: (run) => around('start', () => store.runs.start(run)),
        finish: (run) => around('end', () => store.runs.finish(run)),
        list: (filter) => store.runs.list(filter),
        get: (id) => store.runs.get(id),
        release: (id, atMs) => store.runs.release(id, atMs),
        released: (sync) => store.runs.released(sync),
      },
      leases: {
        take: (...args) => around('take', () => store.leases.take(...args)),
        renew: (...args) => around('renew', () => store.leases.renew(...args)),
        free: (...args) => around('free', () => store.leases.free(...args)),
      },
      jobs: store.jobs,
      schedules: store.schedules,
      records: store.records,
      pairs: {
        read: async (sync) => readerOf(await store.pairs.read(sync)),
        plan: (sync) => store.pairs.plan(sync),
        run: async (sync) => {
          if (process === null) throw new Error('somebody who looks opens a run')
          return runOf(await store.pairs.run(sync), process)
        },
        conflicts: store.pairs.conflicts,
        journal: store.pairs.journal,
        places: () => store.pairs.places(),
        counterparts: (sync, side, keys) => store.pairs.counterparts(sync, side, keys),
        reset: (sync, options) => around('reset', () => store.pairs.reset(sync, options)),
      },
      [Symbol.asyncDispose]: async () => {},
    }
  }

  /** What a system makes of what it is given: trims, shouts, cuts. What is so already stays so. */
  #stored(side: SideName, row: Row): Row {
    const habit = this.traits.habits[side]
    return row.map((value, at) => (at >= 3 && at <= 4 && typeof value === 'string' ? habit(value) : value))
  }

  /** Somebody inserts, edits or deletes a row on one side, or the same row on both. */
  #userActs(): void {
    const { random } = this
    const side = random.pick(sideNames)
    const rows = this.systems[side].rows(collectionName)
    const action =
      rows.length === 0
        ? 'insert'
        : random.weighted([
            [3, 'insert'],
            [8, 'edit'],
            [2, 'delete'],
            [2, 'race'],
            [1, 'both'],
            [2, 'copy'],
          ] as const)
    if (action === 'insert') this.#insert(side, `e${++this.#counter}`)
    else if (action === 'both') {
      const email = `e${++this.#counter}`
      for (const one of sideNames) this.#insert(one, email)
    } else {
      const row = random.pick(rows)
      if (action === 'copy') this.#copy(side, row)
      else if (action === 'delete') this.model.userDeletes(side, row)
      else this.#edit(side, row)
      const twin = this.systems[side === 'left' ? 'right' : 'left']
        .rows(collectionName)
        .find((other) => other[1] === row[1])
      if (action === 'race' && twin !== undefined) {
        const other = side === 'left' ? 'right' : 'left'
        if (random.chance(0.3)) this.model.userDeletes(other, twin)
        else this.#edit(other, twin)
      }
    }
  }

  /** Somebody brings a row to what the other side holds, by hand. */
  #copy(side: SideName, row: Row): void {
    const other = side === 'left' ? 'right' : 'left'
    const twin = this.systems[other].rows(collectionName).find((candidate) => candidate[1] === row[1])
    if (twin === undefined) return
    const differing = [3, 4].filter((at) => row[at] !== twin[at])
    const at = this.random.pick(differing.length > 0 ? differing : [3, 4])
    const copied = row.map((old, i): Value => (i === at ? (twin[at] ?? null) : old))
    this.model.userEdits(side, row, this.#stored(side, copied), at)
  }

  #insert(side: SideName, email: string): void {
    const system = this.systems[side]
    const id = ++system.assigned
    const row = [
      id,
      `o${++this.#counter}`,
      this.traits.matches ? email : null,
      this.#value(),
      this.#value(),
      this.#stamp(),
    ]
    this.model.userInserts(side, this.#stored(side, row))
  }

  #edit(side: SideName, row: Row): void {
    const at = this.random.pick([3, 4])
    const value = this.random.chance(0.1) ? null : this.#value()
    const edited = row.map((old, i): Value => (i === at ? value : i === 5 ? this.#stamp() : old))
    this.model.userEdits(side, row, this.#stored(side, edited), at)
  }

  /** A value that no other user ever writes, in a spelling that systems like to change. */
  #value(): string {
    const number = ++this.#counter
    return this.random.pick([`v${number}`, ` v${number} `, `V${number}`, `v${number}.25`])
  }

  /** Of a clock that shows minutes. */
  #stamp(): string {
    const minute = new Date(Math.floor(this.#now / 60_000) * 60_000).toISOString()
    return minute.replace('.000Z', '.000000Z')
  }

  /** Somebody mends the row of a conflict by hand, on both sides: then they agree, and the conflict is over by itself. */
  async #personSettles(): Promise<void> {
    const open = await this.store.pairs.conflicts.list({ sync: this.sync.id, status: ['open'], limit: 10 })
    const conflict = open.find(({ kind }) => kind === 'fields')
    const [left, right] = sideNames.map((side) =>
      this.systems[side].rows(collectionName).find(([id]) => keyText([id ?? null]) === conflict?.[side]),
    )
    if (left === undefined || right === undefined) return
    for (const at of [3, 4].filter((field) => left[field] !== right[field])) {
      // A number, which no system spells in another way.
      const said = `${++this.#counter}`
      for (const [side, row] of [
        ['left', left],
        ['right', right],
      ] as const) {
        const now = this.systems[side].rows(collectionName).find(([id]) => id === row[0]) ?? row
        this.model.userEdits(
          side,
          now,
          now.map((old, i): Value => (i === at ? said : old)),
          at,
        )
      }
    }
  }

  async #personDecides(): Promise<void> {
    const open = await this.store.pairs.conflicts.list({ sync: this.sync.id, status: ['open'], limit: 10 })
    const conflict = open.filter(({ kind }) => kind === 'fields' || kind === 'delete')[0]
    if (conflict === undefined) return
    const side = this.random.pick(sideNames)
    const fields = Object.fromEntries(
      Object.entries(conflict.fields).map(([name, field]) => [
        name,
        field.status === 'open' ? { ...field, status: 'decided' as const, take: { side } } : field,
      ]),
    )
    await this.store.pairs.conflicts.decide(conflict.id, fields, 'decided')
  }
}

function kindsOf(change: PairCommit): string[] {
  return [
    change.insert.length > 0 ? 'pair' : '',
    change.update.length > 0 ? 'settle' : '',
    change.remove.length > 0 ? 'close' : '',
    change.unpaired.length > 0 ? 'leave alone' : '',
    change.pending.length > 0 ? 'postpone' : '',
    ...change.conflicts.map(({ fields }) => `conflict ${statusOf(fields)}`),
  ].filter((kind) => kind !== '')
}

export function keyOfRow(row: Row): string {
  return keyText([row[0] ?? null])
}

/** A run under a lease that is held from before it begins until after its end. */
async function runLeased(sync: AnySync, project: Project): Promise<RunRecord> {
  const { leases, holder } = project.store
  const lease = await leases.take(sync.id, holder, project.context.clock.now(), 60_000)
  const record = await runSync(sync, project, { lease })
  await leases.free(sync.id, lease)
  return record
}
