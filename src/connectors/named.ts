/** The connection of a connector that names its collections, and the lists of rows that it has: each is opened when it is asked for. */
import { SyncError } from '../core/error.ts'
import type { Collection, CollectionOptions, Connection } from './connector.ts'
import type { CollectionOpener, Handle, HandlerContext, SyncDefinition } from './handlers.ts'
import { openSyncs } from './staged.ts'

/** A list of rows that has the name of a collection is not seen. */
export function openNamed<Config>(
  collections: ReadonlyMap<string, CollectionOpener<Config>>,
  syncs: ReadonlyMap<string, SyncDefinition<Config>>,
  handle: Handle<Config>,
  context: HandlerContext,
): Connection {
  const lists = openSyncs(new Map([...syncs].filter(([name]) => !collections.has(name))), handle, context)
  const open = async (name: string, opener: CollectionOpener<Config>, options: CollectionOptions) => {
    const collection: Collection = await opener(handle, context, options)
    if (collection.schema.name === name) return collection
    throw new SyncError('CONFIG_INVALID', `collection "${name}" has a schema named "${collection.schema.name}"`, {
      hint: 'Give the schema of a collection the name that the connector gives it in `collections`.',
    })
  }
  return {
    discover: async () => {
      const own = await Promise.all([...collections].map(([name, opener]) => open(name, opener, {})))
      return [...own.map(({ schema }) => schema), ...(await lists.discover())]
    },
    collection: async (name, options = {}) => {
      const opener = collections.get(name)
      return opener === undefined ? await lists.collection(name, options) : await open(name, opener, options)
    },
    [Symbol.asyncDispose]: () => lists[Symbol.asyncDispose](),
  }
}
