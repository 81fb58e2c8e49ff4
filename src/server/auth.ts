/** Who asks: keys in `Authorization: Bearer slk_…`, what they may do, and how often a wrong one may be tried. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible'
import { SyncError } from '../core/error.ts'
import { type ApiKey, checkKey, type Scope, scopes } from '../engine/secrets/api-keys.ts'
import type { RecordStore } from '../store/records.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Whoever asks; null on the routes that are open to all. */
    apiKey: ApiKey | null
  }
}

/** Wrong keys per address and minute. */
const FAILURES = 20

/** A hook that lets only those through who have the scope. */
export function authenticate(records: RecordStore) {
  const failures = new RateLimiterMemory({ points: FAILURES, duration: 60 })
  return (scope: Scope) =>
    async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
      const text = /^Bearer (\S+)$/i.exec(request.headers.authorization ?? '')?.[1]
      // A good key is good, however many wrong ones came from the same address: behind a proxy that is everybody's.
      const key = text === undefined ? null : await checkKey(records, text)
      if (key === null) {
        const spent = await failures.get(request.ip)
        if (spent !== null && spent.consumedPoints >= FAILURES) throw tooMany(reply, spent.msBeforeNext)
        await failures.consume(request.ip).catch((error: unknown) => {
          if (!(error instanceof RateLimiterRes)) throw error
        })
        reply.header('www-authenticate', 'Bearer')
        throw new SyncError('UNAUTHENTICATED', text === undefined ? 'a key is needed' : 'this key is not known', {
          hint: 'Send it as `Authorization: Bearer slk_…`; `syncline keys create` makes one.',
        })
      }
      if (scopes.indexOf(key.scope) < scopes.indexOf(scope))
        throw new SyncError('FORBIDDEN', `this needs a key with the scope ${scope}; this one may ${key.scope}`)
      request.apiKey = key
    }
}

/** Whether the key may see what belongs to this project. */
export function maySee(key: ApiKey | null, project: string | null): boolean {
  return key !== null && (key.project === null || key.project === project)
}

function tooMany(reply: FastifyReply, ms: number): SyncError {
  reply.header('retry-after', Math.ceil(ms / 1000))
  return new SyncError('RATE_LIMITED', 'too many wrong keys from this address', { hint: 'Wait a minute.' })
}
