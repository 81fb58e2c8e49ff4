/** Syncs made by calls of the API, kept in the store as they were written. */
import { z } from 'zod'
import { allRecords } from '../../store/all-records.ts'
import type { RecordStore, StoredRecord } from '../../store/records.ts'

const KIND = 'sync'
const body = z.object({ definition: z.record(z.string(), z.unknown()), project: z.string().nullable() })

export interface MadeSync {
  readonly name: string
  /** Null: its record can't be read. It is set aside, and belongs to no project, so that only a key of none may replace it. */
  readonly definition: Readonly<Record<string, unknown>> | null
  readonly project: string | null
}

export async function madeSyncs(records: RecordStore): Promise<readonly MadeSync[]> {
  return await Array.fromAsync(allRecords(records, KIND), readMade)
}

/** Null: there is none of that name. */
export async function madeSync(records: RecordStore, name: string): Promise<MadeSync | null> {
  const found = await records.get(KIND, name)
  return found === null ? null : readMade(found)
}

function readMade({ id, body: text }: StoredRecord): MadeSync {
  try {
    return { name: id, ...body.parse(JSON.parse(text)) }
  } catch {
    return { name: id, definition: null, project: null }
  }
}

/** The one that a sync's id belongs to; a pattern's name stands before a slash. */
export function madeOf(made: readonly MadeSync[], id: string): MadeSync | undefined {
  return made.find(({ name }) => id === name || id.startsWith(`${name}/`))
}

export async function keepSync(records: RecordStore, { name, definition, project }: MadeSync): Promise<void> {
  await records.put({ kind: KIND, id: name, body: JSON.stringify({ definition, project }), expiresAt: null })
}

/** False: there is none of that name. */
export async function dropSync(records: RecordStore, name: string): Promise<boolean> {
  return await records.delete(KIND, name)
}

/** Names of syncs that are no more, and whose they were: their runs and conflicts are still there. */
const FORMER = 'former-sync'
const former = z.object({ project: z.string().nullable() })

/** Whether a sync of that name was another's: of this project (null: of none) a new one may not have it. */
export async function formerlyOthers(records: RecordStore, name: string, project: string | null): Promise<boolean> {
  const found = await records.get(FORMER, name)
  return found !== null && project !== null && former.parse(JSON.parse(found.body)).project !== project
}

export async function keepFormerOwner(records: RecordStore, name: string, project: string | null): Promise<void> {
  await records.put({ kind: FORMER, id: name, body: JSON.stringify({ project }), expiresAt: null })
}
