/** Two systems in memory with a sync between them, and a person at the controls. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import type { Clock, Collection, Connection } from '../../src/connectors/connector.ts'
import { memoryConnector } from '../../src/connectors/memory.ts'
import { MemorySystem } from '../../src/connectors/memory-system.ts'
import type { StepEvent } from '../../src/core/event.ts'
import type { RunEvent, RunRecord } from '../../src/core/run.ts'
import type { Field, Schema } from '../../src/core/schema.ts'
import { defaults, type Sync } from '../../src/core/sync.ts'
import type { Key, Row, Type } from '../../src/core/value.ts'
import type { Verification } from '../../src/core/verification.ts'
import { type Plan, planSync } from '../../src/engine/one-way/plan.ts'
import { type VerifyOptions, verifySync } from '../../src/engine/one-way/verify.ts'
import type { Project } from '../../src/engine/project.ts'
import { resetSync, runSync } from '../../src/engine/runs/run-sync.ts'
import { openSqliteStore } from '../../src/store/sqlite/store.ts'
import type { Store } from '../../src/store/store.ts'
import { temporaryFolder } from '../../tools/database.ts'

/** Stands still unless somebody waits or lets time pass. */
export class TestClock implements Clock {
  readonly waits: number[] = []
  #now = 1_700_000_000_000

  now(): number {
    return this.#now
  }

  pass(ms: number): void {
    this.#now += ms
  }

  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    this.waits.push(ms)
    this.#now += ms
  }
}

export const orders: Schema = {
  name: 'orders',
  system: 'memory',
  fields: [field('id', 'integer'), field('status', 'text'), field('total', 'decimal')],
  key: ['id'],
}

export function field(name: string, type: Type, native: string = type): Field {
  return { name, type, native, nullable: name !== 'id', writable: true }
}

/** A sync of all of `orders`, as `over` wants it. */
export function syncOf(over: Partial<Sync> = {}): Sync {
  return {
    id: 'orders',
    from: { connection: 'left', collection: 'orders' },
    to: { connection: 'right', collection: 'orders' },
    fields: null,
    where: null,
    key: null,
    cursor: null,
    mode: 'auto',
    deletes: 'propagate',
    adopt: false,
    ...defaults,
    ...over,
  }
}

export class World implements AsyncDisposable {
  readonly left = new MemorySystem()
  readonly right = new MemorySystem()
  readonly clock = new TestClock()
  readonly events: RunEvent[] = []
  readonly steps: StepEvent[] = []
  readonly logged: string[] = []
  readonly interrupt = new AbortController()
  /** How the source says it can be followed. */
  feed: Collection['feed'] = 'complete'
  sync: Sync = syncOf()
  project: Project
  readonly #dispose: () => Promise<void>

  constructor(store: Store, dispose: () => Promise<void>) {
    this.#dispose = dispose
    this.left.create(orders)
    const context = {
      signal: this.interrupt.signal,
      clock: this.clock,
      random: () => 0.5,
      log: (message: string) => void this.logged.push(message),
    }
    this.project = {
      id: randomUUID(),
      store,
      context,
      connection: async (name) =>
        this.#connect(await memoryConnector.open({ system: name === 'left' ? this.left : this.right }, context)),
      reconnect: async () => {},
      unreachable: new Set(),
      emit: (event) => void this.events.push(event),
      emitStep: (event) => void this.steps.push(event),
    }
  }

  /** Orders of these ids; their other fields are the same until they are said. */
  put(...rows: readonly Row[]): void {
    this.left.put('orders', ...rows)
  }

  delete(...ids: readonly number[]): void {
    this.left.delete('orders', ...ids.map((id): Key => [id]))
  }

  run(over: Partial<Sync> = {}): Promise<RunRecord> {
    this.clock.pass(1000)
    return runSync({ ...this.sync, ...over }, this.project)
  }

  plan(over: Partial<Sync> = {}): Promise<Plan> {
    return planSync({ ...this.sync, ...over }, this.project)
  }

  verify(options: Omit<VerifyOptions, 'onProgress'> = { repair: false }): Promise<Verification> {
    this.clock.pass(1000)
    return verifySync(this.sync, this.project, { ...options, onProgress: () => {} })
  }

  release(run: RunRecord): Promise<RunRecord> {
    return this.project.store.runs.release(run.id, this.clock.now())
  }

  reset(drop: boolean): Promise<void> {
    return resetSync(this.sync, this.project, { drop })
  }

  /** The target's rows, in key order. */
  get target(): readonly Row[] {
    return this.right.rows(this.sync.to.collection)
  }

  /** How many rows the target has ever been written, one by one. */
  get writes(): number {
    return this.right.table(this.sync.to.collection).log.length
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#dispose()
  }

  #connect(connection: Connection): Connection {
    const { feed } = this
    if (feed === 'complete') return connection
    const collection: Connection['collection'] = async (name, options) => ({
      ...(await connection.collection(name, options)),
      feed,
      feedReason: 'it is so in this test',
    })
    return { ...connection, collection }
  }
}

export async function openWorld(): Promise<World> {
  const folder = await temporaryFolder()
  const store = await openSqliteStore(folder.path)
  return new World(store, async () => {
    await store[Symbol.asyncDispose]()
    await folder[Symbol.asyncDispose]()
  })
}

/** A test about a world of its own. */
export function inWorld(story: (world: World) => Promise<void>): () => Promise<void> {
  return async () => {
    await using world = await openWorld()
    await story(world)
  }
}

/** Orders 1 to `count`. */
export function someOrders(count: number): Row[] {
  return Array.from({ length: count }, (_, at): Row => [at + 1, 'new', `${at}.50`])
}

type Expected = Partial<
  Pick<
    RunRecord,
    'status' | 'read' | 'inserted' | 'updated' | 'deleted' | 'unchanged' | 'rejected' | 'lossy' | 'heldDeletes'
  >
> & { readonly code?: string }

/** The run did this and, where it is not said, wrote nothing. */
export function assertRun(run: RunRecord, expected: Expected): void {
  const wanted = { status: 'succeeded', inserted: 0, updated: 0, deleted: 0, rejected: 0, ...expected }
  const { code, ...counts } = wanted
  assert.equal(run.error?.code, code ?? (counts.status === 'held' ? run.error?.code : undefined), run.error?.message)
  const did = Object.fromEntries(Object.keys(counts).map((name) => [name, run[name as keyof RunRecord]]))
  assert.deepEqual(did, counts, run.error?.message)
}
