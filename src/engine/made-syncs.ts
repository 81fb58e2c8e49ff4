/** Syncs made by calls of the API, kept in the store as they were written. */
import { z } from 'zod'
import { allRecords } from '../store/all-records.ts'
import type { RecordStore, StoredRecord } from '../store/records.ts'

const KIND = 'sync'
const body = z.object({ definition: z.record(z.string(), z.unknown()), project: z.string().nullable() })

export interface MadeSync {
  readonly name: string
  readonly definition: Readonly<Record<string, unknown>>
  readonly project: string | null
}

export async function madeSyncs(records: RecordStore): Promise<readonly MadeSync[]> {
  const made = ({ id, body: text }: StoredRecord) => ({ name: id, ...body.parse(JSON.parse(text)) })
  return await Array.fromAsync(allRecords(records, KIND), made)
}

/** Null: there is none of that name. */
export async function madeSync(records: RecordStore, name: string): Promise<MadeSync | null> {
  const found = await records.get(KIND, name)
  return found === null ? null : { name, ...body.parse(JSON.parse(found.body)) }
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
const former = z.object({ project: z.string() })

/** Null: nobody's in particular. */
export async function formerOwner(records: RecordStore, name: string): Promise<string | null> {
  const found = await records.get(FORMER, name)
  return found === null ? null : former.parse(JSON.parse(found.body)).project
}

export async function keepFormerOwner(records: RecordStore, name: string, project: string): Promise<void> {
  await records.put({ kind: FORMER, id: name, body: JSON.stringify({ project }), expiresAt: null })
}
