/** Lists that are read page by page. */
import { z } from 'zod'
import { SyncError } from '../core/error.ts'

/** What the query of such a list may say: `after` is what the page before it gave as `next`. */
export const pageQuery = {
  after: z.string().min(1).max(100).optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
}

/** The same where names, which may be long, tell places. */
export const namedPageQuery = { ...pageQuery, after: z.string().min(1).max(300).optional() }

type Asked = { readonly after?: string | undefined; readonly limit: number }

export interface Page<Item> {
  readonly items: readonly Item[]
  /** Null: there are no more. */
  readonly next: string | null
}

/** A page of a list that the store keeps: `list` gives what comes after an item, as much as is asked for. */
export async function readPage<Item>(
  { after, limit }: Asked,
  list: (before: string | undefined, limit: number) => Promise<readonly Item[]>,
  idOf: (item: Item) => string,
): Promise<Page<Item>> {
  const items = await list(after, limit)
  const last = items.at(-1)
  return { items, next: last === undefined || items.length < limit ? null : idOf(last) }
}

/** A page of a list that is at hand, in its order. USAGE_INVALID: `after` names nothing of it. */
export function cutPage<Item>(
  all: readonly Item[],
  { after, limit }: Asked,
  nameOf: (item: Item) => string,
): Page<Item> {
  const start = after === undefined ? 0 : all.findIndex((item) => nameOf(item) === after) + 1
  if (after !== undefined && start === 0)
    throw new SyncError('USAGE_INVALID', '`after` names nothing of this list', {
      hint: 'Give the `next` of the page before, or leave it out for the first page.',
    })
  const items = all.slice(start, start + limit)
  const last = items.at(-1)
  return { items, next: last === undefined || start + limit >= all.length ? null : nameOf(last) }
}
