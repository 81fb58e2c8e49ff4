/** A two-way sync between real databases, its runs in this process, and what people see on both sides. */
import assert from 'node:assert/strict'
import type { Connection, Context } from '../../src/connectors/connector.ts'
import type { RunRecord } from '../../src/core/run.ts'
import type { SideName, TwoWaySync } from '../../src/core/two-way.ts'
import type { Project } from '../../src/engine/project.ts'
import { runSync } from '../../src/engine/runs/run-sync.ts'
import { type TwoWayVerification, verifyTwoWay } from '../../src/engine/two-way/verify.ts'
import type { ConflictRecord } from '../../src/store/pairs.ts'
import { openMemoryStore } from '../../src/store/sqlite/store.ts'
import type { Store } from '../../src/store/store.ts'
import type { Database } from '../hazards/pair.ts'
import { contactsSync } from './world.ts'

export interface TwoWayPair<Left extends Database = Database, Right extends Database = Database>
  extends AsyncDisposable {
  readonly left: Left
  readonly right: Right
  readonly store: Store
  sync: TwoWaySync
  /** For what a test asks of the engine itself. */
  readonly project: Project
  run(): Promise<RunRecord>
  /** Runs, and fails the test if the run did not succeed. Returns how much it wrote. */
  writes(): Promise<number>
  /** What a statement gives on a side. */
  read(side: SideName, sql: string): Promise<(string | null)[][]>
  conflicts(): Promise<readonly ConflictRecord[]>
  verify(): Promise<TwoWayVerification>
  /** Both sides are opened anew by what comes next. */
  reconnect(): Promise<void>
}

/** Both sides have a table `contacts` with the key `id`. */
export function openTwoWay<Left extends Database, Right extends Database>(
  left: Left,
  right: Right,
  over: Partial<TwoWaySync> = {},
): TwoWayPair<Left, Right> {
  const store = openMemoryStore()
  const open = new Map<string, Connection>()
  const context: Context = {
    signal: new AbortController().signal,
    clock: { now: () => Date.now(), sleep: async () => {} },
    random: Math.random,
    log: () => {},
  }
  const close = async (name: string) => {
    await open.get(name)?.[Symbol.asyncDispose]()
    open.delete(name)
  }
  const project: Project = {
    id: 'project',
    store,
    context,
    connection: async (name) => {
      const connection = open.get(name) ?? (await (name === 'left' ? left : right).connect(context))
      open.set(name, connection)
      return connection
    },
    reconnect: close,
    unreachable: new Set(),
    emit: () => {},
  }
  const pair: TwoWayPair<Left, Right> = {
    left,
    right,
    store,
    sync: contactsSync({ fields: null, match: [], onConflict: 'left', ...over }),
    project,
    run: () => runSync(pair.sync, project),
    writes: async () => {
      const record = await pair.run()
      assert.equal(record.error, null, record.error?.message)
      return record.inserted + record.updated + record.deleted
    },
    read: (side, sql) => pair[side].sql(sql),
    conflicts: () => store.pairs.conflicts.list({ limit: 1000 }),
    verify: () => verifyTwoWay(pair.sync, project, () => {}),
    reconnect: async () => {
      await close('left')
      await close('right')
    },
    [Symbol.asyncDispose]: async () => {
      await close('left')
      await close('right')
      await store[Symbol.asyncDispose]()
      await left[Symbol.asyncDispose]()
      await right[Symbol.asyncDispose]()
    },
  }
  return pair
}
