/** Dead letters: rows that could not be written. Every run tries them again. */
import { z } from 'zod'
import { type DeadLetter, deadLetters } from '../../engine/runs/dead-letters.ts'
import { jobObject } from '../../protocol/objects.ts'
import { printable } from '../../protocol/printable.ts'
import { visibleSync } from '../lookup.ts'
import { type Page, pageQuery } from '../page.ts'
import { queueRun } from '../queue-run.ts'
import { type Route, route } from '../route.ts'

const named = z.object({ name: z.string().min(1).max(300) })

export const deadLetterRoutes: readonly Route[] = [
  route({
    method: 'GET',
    url: '/api/syncs/:name/dead-letters',
    summary: 'Rows that could not be written; every run tries them again',
    heavy: true,
    tag: 'syncs',
    scope: 'read',
    params: named,
    query: z.object({ ...pageQuery, after: z.string().min(1).max(5000).optional() }),
    answers: { 200: 'DeadLetterPage' },
    handle: async ({ operations, params, query, key, signal }) => {
      const { sync } = visibleSync(operations, key, params.name)
      const letters = await operations.use((project) => deadLetters(sync, project), signal)
      return { body: pageOf(letters, query) }
    },
  }),
  route({
    method: 'POST',
    url: '/api/syncs/:name/dead-letters/retry',
    summary: 'Puts a run of the sync into the queue: it tries them again',
    tag: 'syncs',
    scope: 'operate',
    params: named,
    answers: { 202: 'Job' },
    handle: async ({ operations, params, key }) => {
      const known = visibleSync(operations, key, params.name)
      return { status: 202, body: jobObject(await queueRun(operations, known, 'default', key)) }
    },
  }),
]

/** In the order of their keys as text: a row that was written meanwhile does not disturb who reads page by page. */
function pageOf(
  letters: readonly DeadLetter[],
  { after, limit }: { readonly after?: string | undefined; readonly limit: number },
): Page<unknown> {
  const start = after === undefined ? null : Buffer.from(after, 'base64url').toString('utf8')
  const rest = letters
    .map((letter) => ({ letter, text: JSON.stringify(printable(letter.key)) }))
    .filter(({ text }) => start === null || text > start)
    .sort((a, b) => (a.text < b.text ? -1 : 1))
  const page = rest.slice(0, limit)
  const last = page.at(-1)
  const next = last === undefined || rest.length === page.length ? null : Buffer.from(last.text).toString('base64url')
  return { items: page.map(({ letter }) => printable(letter)), next }
}
