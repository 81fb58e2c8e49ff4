/** Worse dependencies than the shipped ones: what each safeguard is there for shows when it is missing. */
import type { Collection, Writer } from '../../src/connectors/connector.ts'
import { anyFence, type PairReader, type PairRun, type StoredPair } from '../../src/store/pairs.ts'
import type { Store } from '../../src/store/store.ts'
import type { Sabotage } from './world.ts'

/** Nothing is known after a crash about writes that were asked for. */
export const noIntents: Sabotage = {
  store: (store) =>
    withPairs(store, {
      run: (pairs) => ({ ...pairs, intend: async () => {} }),
      read: (memory) => ({ ...memory, intents: async () => [] }),
    }),
}

/** Writes whatever the row holds by now. */
export const noCompareAndSet: Sabotage = {
  collection: (collection) =>
    withWriter(collection, (writer) => ({
      ...writer,
      write: (id, writes, forget) =>
        writer.write(
          id,
          writes.map((write) => (write.kind === 'insert' ? write : { ...write, expected: {} })),
          forget,
        ),
    })),
}

/** One base for both sides: what a system made of a value looks like an edit. */
export const oneBase: Sabotage = {
  store: (store) =>
    withPairs(store, {
      run: (pairs) => ({
        ...pairs,
        commit: (generation, change) => {
          const same = <T extends Pick<StoredPair, 'rightBase'>>(pair: T): T => ({ ...pair, rightBase: null })
          return pairs.commit(generation, {
            ...change,
            insert: change.insert.map(same),
            update: change.update.map(same),
          })
        },
      }),
    }),
}

/** A state that remembers no fences. */
const forgetful = (memory: PairReader): PairReader => ({
  ...memory,
  state: async () => ({ ...(await memory.state()), fences: { left: anyFence, right: anyFence } }),
})

/** A state or a side that was put back is taken for what it was. */
export const noFencesSeen: Sabotage = {
  store: (store) => withPairs(store, { run: (pairs) => pairs, read: forgetful }),
}

/** A process that was taken over goes on as if nothing had happened. */
export const noFences: Sabotage = {
  store: (store) => {
    let newest = 0
    const unfenced = withPairs(store, {
      run: (pairs) => ({
        ...pairs,
        intend: (_generation, intents) => pairs.intend(newest, intents),
        commit: (_generation, change) => pairs.commit(newest, change),
        claiming: () => pairs.claiming(newest),
        claimed: (_generation, fences) => pairs.claimed(newest, fences),
        finish: (_generation, state) => pairs.finish(newest, state),
      }),
      // Its fences run ahead, and that is not what is to be found here.
      read: forgetful,
    })
    return {
      ...unfenced,
      leases: {
        take: async (...args) => {
          newest = await store.leases.take(...args)
          return newest
        },
        renew: async () => true,
        // The lease is never free, so that whoever comes back from the dead still has it.
        free: async () => {},
      },
    }
  },
  collection: (collection) => ({
    ...collection,
    writer: async (spec) => {
      const claim = async () => (await collection.writer?.(spec)) as Writer
      const first = await claim()
      return { ...first, write: async (...args) => await (await claim()).write(...args), forget: async () => 0 }
    },
  }),
}

/** Whoever looks at a sync, or begins a run, empties the work lists of the others. */
export const sharedWork: Sabotage = {
  store: (store) => {
    let latest: PairRun | null = null
    const empty = async () => {
      for (const phase of ['writes', 'deletes'] as const)
        await latest?.work.done(await latest.work.next(phase, 1_000_000))
    }
    const shared = withPairs(store, {
      run: (pairs) => {
        latest = pairs
        return pairs
      },
    })
    return {
      ...shared,
      pairs: {
        ...shared.pairs,
        run: async (sync) => {
          await empty()
          return await shared.pairs.run(sync)
        },
        plan: async (sync) => {
          await empty()
          return await shared.pairs.plan(sync)
        },
      },
    }
  },
}

interface PairChanges {
  readonly run: (pairs: PairRun) => PairRun
  readonly read?: (memory: PairReader) => PairReader
}

function withPairs(store: Store, { run, read = (memory) => memory }: PairChanges): Store {
  const { pairs } = store
  return {
    projectId: () => store.projectId(),
    lock: () => store.lock(),
    holder: store.holder,
    runs: store.runs,
    leases: store.leases,
    jobs: store.jobs,
    schedules: store.schedules,
    records: store.records,
    pairs: {
      read: async (sync) => read(boundReader(await pairs.read(sync))),
      plan: (sync) => pairs.plan(sync),
      run: async (sync) => run(boundRun(await pairs.run(sync))),
      conflicts: pairs.conflicts,
      journal: pairs.journal,
      places: () => pairs.places(),
      counterparts: (...args) => pairs.counterparts(...args),
      reset: (...args) => pairs.reset(...args),
    },
    [Symbol.asyncDispose]: async () => {},
  }
}

/** The methods of an object of a class, so that they can be spread. */
function boundReader(memory: PairReader): PairReader {
  return {
    state: () => memory.state(),
    byKeys: (...args) => memory.byKeys(...args),
    byIds: (ids) => memory.byIds(ids),
    after: (...args) => memory.after(...args),
    unpaired: (...args) => memory.unpaired(...args),
    waiting: () => memory.waiting(),
    intents: () => memory.intents(),
    [Symbol.asyncDispose]: () => memory[Symbol.asyncDispose](),
  }
}

function boundRun(pairs: PairRun): PairRun {
  return {
    work: pairs.work,
    pairAlike: (...args) => pairs.pairAlike(...args),
    intend: (...args) => pairs.intend(...args),
    commit: (...args) => pairs.commit(...args),
    claiming: (...args) => pairs.claiming(...args),
    claimed: (...args) => pairs.claimed(...args),
    finish: (...args) => pairs.finish(...args),
    [Symbol.asyncDispose]: () => pairs[Symbol.asyncDispose](),
  }
}

function withWriter(collection: Collection, change: (writer: Writer) => Writer): Collection {
  return { ...collection, writer: async (spec) => change((await collection.writer?.(spec)) as Writer) }
}
