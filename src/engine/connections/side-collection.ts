/** The collection of a side, as a sync names it. */
import type { Collection, CollectionOptions } from '../../connectors/connector.ts'
import { SyncError } from '../../core/error.ts'
import type { Address } from '../../core/sync.ts'
import type { Project } from '../project.ts'

/** COLLECTION_UNKNOWN names the connection, and says what to do; `advice` is what the kind of sync makes of it. */
export async function openSideCollection(
  project: Project,
  { connection, collection }: Address,
  options: CollectionOptions,
  advice = '',
): Promise<Collection> {
  const opened = await project.connection(connection)
  try {
    return await opened.collection(collection, options)
  } catch (error) {
    if (!(error instanceof SyncError) || error.code !== 'COLLECTION_UNKNOWN') throw error
    const hints = [error.hint ?? '', `\`syncline collections ${connection}\` lists what is there.`, advice]
    throw new SyncError('COLLECTION_UNKNOWN', `connection ${connection}: ${error.message}`, {
      hint: hints.filter((hint) => hint !== '').join(' '),
      cause: error,
    })
  }
}
