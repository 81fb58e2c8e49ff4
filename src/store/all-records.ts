/** All records of a kind, in the order of their ids, a page at a time. */
import type { RecordStore, StoredRecord } from './records.ts'

const PAGE = 500

export async function* allRecords(records: Pick<RecordStore, 'list'>, kind: string): AsyncGenerator<StoredRecord> {
  for (let after = ''; ; ) {
    const page = await records.list(kind, { after, limit: PAGE })
    yield* page
    const last = page.at(-1)
    if (last === undefined) return
    after = last.id
  }
}
