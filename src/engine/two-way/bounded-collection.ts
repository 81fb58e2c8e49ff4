/**
 * Collections of a two-way sync. What is remembered of its rows (intents, results, conflicts, the journal) is JSON: a row has to be small
 * enough for that. A larger one is a rejected row, as one is that its system can't give.
 */
import type { Chunk, Collection, Page, View } from '../../connectors/connector.ts'
import type { Rejection } from '../../core/sync.ts'
import type { Row } from '../../core/value.ts'

/** Characters and bytes of a row. JSON within JSON may spell a character with seven, and the runtime holds 2^29 as one text. */
const MOST = 64 * 1024 * 1024

/** `most`: for tests. */
export function bounded(collection: Collection, most = MOST): Collection {
  const { schema, lookup, view } = collection
  const names = schema.fields.map(({ name }) => name)
  const check: Check = (chunk, fields) => {
    // Nothing is looked at where all rows together are small enough.
    if (chunk.bytes <= most) return chunk
    const large = chunk.rows.filter((row) => sizeOf(row) > most)
    const rejects = large.map((row) => tooLarge(schema.key.map((name) => row[fields.indexOf(name)] ?? null)))
    return {
      ...chunk,
      rows: chunk.rows.filter((row) => !large.includes(row)),
      rejects: [...chunk.rejects, ...rejects],
    }
  }
  return {
    ...collection,
    read: (cursor, options) => boundedPages(collection.read(cursor, options), check, options.fields),
    lookup: {
      ...lookup,
      fetch: async (keys, fields = names) => check(await lookup.fetch(keys, fields), fields),
    },
    ...(view === undefined ? {} : { view: async (selection) => boundedView(await view(selection), check) }),
  }
}

type Check = (chunk: Chunk, fields: readonly string[]) => Chunk

async function* boundedPages(pages: AsyncIterable<Page>, check: Check, fields: readonly string[]): AsyncIterable<Page> {
  for await (const page of pages) {
    const { view, puts, bytes } = page
    const { rows, rejects } = check({ rows: puts, rejects: page.rejects, bytes }, fields)
    yield { ...page, puts: rows, rejects, ...(view === undefined ? {} : { view: boundedView(view, check) }) }
  }
}

function boundedView(view: View, check: Check): View {
  return {
    ...view,
    scan: async function* (ranges, fields) {
      for await (const chunk of view.scan(ranges, fields)) yield check(chunk, fields)
    },
    fetch: async (keys, fields) => check(await view.fetch(keys, fields), fields),
    [Symbol.asyncDispose]: () => view[Symbol.asyncDispose](),
  }
}

function sizeOf(row: Row): number {
  let size = 0
  for (const value of row) if (typeof value === 'string' || value instanceof Uint8Array) size += value.length
  return size
}

function tooLarge(key: Row): Rejection {
  return { key, code: 'VALUE_REFUSED', message: 'the row is too large for a two-way sync (more than 64 MB)' }
}
