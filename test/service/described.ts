/** Whether an answer is one of those that the API describes. */
import assert from 'node:assert/strict'
import { answers } from '../../src/server/answers/index.ts'
import type { Content } from '../../src/server/route.ts'
import { describedRoutes } from '../../src/server/routes/index.ts'
import { syncDefinition } from '../../src/server/sync-definition.ts'

export interface Answered {
  readonly status: number
  readonly type: string
  readonly text: string
}

/** Fails for an answer that nothing describes, and for one with more or less in it than its schema says. */
export function assertDescribed(method: string, path: string, answer: Answered): void {
  const at = `${method} ${path}: ${answer.status} ${answer.text.slice(0, 1000)}`
  const content = contentOf(method, path.split('?')[0] ?? '', answer)
  const type = answer.type.split(';')[0] ?? ''
  assert.ok(content !== undefined, `nothing describes ${at}`)
  if (content === null) assert.equal(answer.text, '', at)
  else if (typeof content !== 'string') assert.ok(content.includes(type), `${type} is none of ${content}: ${at}`)
  else {
    assert.equal(type, content === 'Problem' ? 'application/problem+json' : 'application/json', at)
    const { error } = answers[content].safeParse(JSON.parse(answer.text))
    assert.ok(error === undefined, `this is no ${content}: ${error?.message}\n${at}`)
  }
}

/** What this answer should be; undefined: there should be no such answer. */
function contentOf(method: string, path: string, { status, type }: Answered): Content | undefined {
  if (status >= 400 && type.startsWith('application/problem+json')) return 'Problem'
  if (path === '/openapi.json') return ['application/json']
  if (path === '/docs') return ['text/html']
  const route = describedRoutes.find(({ method: by, url }) => by === method && fits(url, path))
  const { [status]: known, default: failure } = route?.answers ?? {}
  return known === undefined && status >= 400 ? failure : known
}

/** Fails for a sync that was made and that the description would not let anybody write. */
export function assertDescribedSync(method: string, path: string, body: unknown, { status }: Answered): void {
  if (method !== 'PUT' || !fits('/api/syncs/:name', path) || status >= 300) return
  const { error } = syncDefinition.safeParse(body)
  assert.ok(error === undefined, `this is no SyncDefinition: ${error?.message}\n${JSON.stringify(body)}`)
}

function fits(url: string, path: string): boolean {
  return new RegExp(`^${url.replace(/:\w+/g, '[^/]+')}$`).test(path)
}
