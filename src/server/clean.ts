/** What no request may hold, wherever it is in it. */
import type { FastifyRequest } from 'fastify'
import { SyncError } from '../core/error.ts'

/** A hook before anything is looked up. Bodies that are texts, as systems sign them, are their connector's business. */
export async function refuseUnclean({ params, query, body }: FastifyRequest): Promise<void> {
  for (const part of [params, query, typeof body === 'string' ? null : body]) {
    const reason = uncleanIn(part)
    if (reason !== null) throw new SyncError('USAGE_INVALID', `the request holds ${reason}`)
  }
}

function uncleanIn(value: unknown): string | null {
  // Postgres keeps none in a text.
  if (typeof value === 'string') return value.includes('\0') ? 'a NUL' : null
  if (typeof value !== 'object' || value === null) return null
  for (const [name, part] of Object.entries(value)) {
    // As a name it is that of no property, and what it names would be dropped.
    const reason = name === '__proto__' ? 'the name __proto__' : (uncleanIn(name) ?? uncleanIn(part))
    if (reason !== null) return reason
  }
  return null
}
