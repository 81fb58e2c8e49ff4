/** Lists that are read page by page. */
import { z } from 'zod'

/** What the query of such a list may say: `after` is what the page before it gave as `next`. */
export const pageQuery = {
  after: z.string().min(1).max(100).optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
}

export interface Page<Item> {
  readonly items: readonly Item[]
  /** Null: there are no more. */
  readonly next: string | null
}

/** Gathers a page of what the caller may see: who sees few of them gets whole pages, too. */
export async function readPage<Item>(
  { after, limit }: { readonly after?: string | undefined; readonly limit: number },
  list: (before: string | undefined, limit: number) => Promise<readonly Item[]>,
  { idOf, sees }: { readonly idOf: (item: Item) => string; readonly sees: (item: Item) => boolean },
): Promise<Page<Item>> {
  const items: Item[] = []
  for (let before = after; ; ) {
    const found = await list(before, limit)
    for (const item of found) {
      before = idOf(item)
      if (sees(item)) items.push(item)
      if (items.length === limit) return { items, next: before }
    }
    if (found.length < limit) return { items, next: null }
  }
}
