/** Worse dependencies than the shipped ones: what each safeguard is there for shows when it is missing. */
import type { Collection, Writer } from '../../src/connectors/connector.ts'
import type { PairMemory, StoredPair } from '../../src/store/pairs.ts'
import type { Store } from '../../src/store/store.ts'
import type { Sabotage } from './world.ts'

/** Nothing is known after a crash about writes that were asked for. */
export const noIntents: Sabotage = {
  store: (store) => withMemory(store, (memory) => ({ ...memory, intend: async () => {}, intents: async () => [] })),
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
    withMemory(store, (memory) => ({
      ...memory,
      commit: (generation, change) => {
        const same = <T extends Pick<StoredPair, 'rightBase'>>(pair: T): T => ({ ...pair, rightBase: null })
        return memory.commit(generation, {
          ...change,
          insert: change.insert.map(same),
          update: change.update.map(same),
        })
      },
    })),
}

/** A process that was taken over goes on as if nothing had happened. */
export const noFences: Sabotage = {
  store: (store) => {
    let newest = 0
    const unfenced = withMemory(store, (memory) => ({
      ...memory,
      intend: (_generation, intents) => memory.intend(newest, intents),
      commit: (_generation, change) => memory.commit(newest, change),
      claimed: (_generation, fences) => memory.claimed(newest, fences),
      finish: (_generation, state) => memory.finish(newest, state),
    }))
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
      return { ...first, write: async (...args) => await (await claim()).write(...args), forget: async () => {} }
    },
  }),
}

function withMemory(store: Store, change: (memory: PairMemory) => PairMemory): Store {
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
      open: async (...args) => change(bound(await pairs.open(...args))),
      conflicts: pairs.conflicts,
      journal: pairs.journal,
      counterparts: (...args) => pairs.counterparts(...args),
      reset: (sync) => pairs.reset(sync),
    },
    [Symbol.asyncDispose]: async () => {},
  }
}

/** The methods of an object of a class, so that they can be spread. */
function bound(memory: PairMemory): PairMemory {
  return {
    state: () => memory.state(),
    known: (side) => memory.known(side),
    byKeys: (...args) => memory.byKeys(...args),
    byIds: (ids) => memory.byIds(ids),
    after: (...args) => memory.after(...args),
    unpaired: (...args) => memory.unpaired(...args),
    partners: (...args) => memory.partners(...args),
    waiting: () => memory.waiting(),
    work: memory.work,
    sweep: memory.sweep,
    intents: () => memory.intents(),
    intend: (...args) => memory.intend(...args),
    commit: (...args) => memory.commit(...args),
    claimed: (...args) => memory.claimed(...args),
    finish: (...args) => memory.finish(...args),
    [Symbol.asyncDispose]: () => memory[Symbol.asyncDispose](),
  }
}

function withWriter(collection: Collection, change: (writer: Writer) => Writer): Collection {
  return { ...collection, writer: async (spec) => change((await collection.writer?.(spec)) as Writer) }
}
