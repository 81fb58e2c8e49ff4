/** Idempotency-Key: the same request sent twice is carried out once, and answered twice. */
import { createHash } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import { SyncError } from '../core/error.ts'
import type { RecordStore } from '../store/records.ts'
import type { Answer, Route } from './route.ts'

const KIND = 'idempotency'
const KEPT_MS = 24 * 3_600_000
/** A request that is still being carried out after this long has died with its process. */
const BUSY_MS = 10 * 60_000

const remembered = z.object({
  digest: z.string(),
  answer: z
    .object({
      status: z.number().exactOptional(),
      body: z.unknown(),
      headers: z.record(z.string(), z.string()).exactOptional(),
      secret: z.literal(true).exactOptional(),
    })
    .nullable(),
})

/** Whether a key counts there: on what starts or makes something. */
export function isRemembered({ method, scope }: Pick<Route, 'method' | 'scope'>): boolean {
  return method === 'POST' && scope !== null
}

export async function rememberAnswers(
  request: FastifyRequest,
  records: RecordStore,
  call: () => Promise<Answer>,
): Promise<Answer> {
  const given = request.headers['idempotency-key']
  if (given === undefined) return await call()
  if (typeof given !== 'string' || !/^[\x21-\x7e]{1,255}$/.test(given))
    throw new SyncError('USAGE_INVALID', 'Idempotency-Key is up to 255 visible characters')
  const now = Date.now()
  const id = digestOf([request.apiKey?.id, given])
  const digest = digestOf([request.method, request.url, request.body])
  const busy = { kind: KIND, id, body: JSON.stringify({ digest, answer: null }), expiresAt: now + BUSY_MS }
  await records.sweep(now)
  if ((await records.put(busy, 0)) === null) return await earlier(records, id, digest)
  const answer = await call().catch(async (error: unknown) => {
    // What failed was not carried out: it may be sent again.
    await records.delete(KIND, id)
    throw error
  })
  // It is carried out: a store that does not take the answer makes it no failure, and a repeat is answered "busy" for a while.
  const body = JSON.stringify({ digest, answer: { ...answer, body: answer.secret ? null : (answer.body ?? null) } })
  await records.put({ kind: KIND, id, body, expiresAt: now + KEPT_MS }).catch(() => {})
  return answer
}

async function earlier(records: RecordStore, id: string, digest: string): Promise<Answer> {
  const record = await records.get(KIND, id)
  const known = record === null ? null : remembered.parse(JSON.parse(record.body))
  if (known === null || known.answer === null) {
    throw new SyncError('REQUEST_BUSY', 'a request with this Idempotency-Key is being carried out', {
      hint: 'Ask again in a moment.',
    })
  }
  if (known.digest === digest && known.answer.secret) {
    throw new SyncError('ANSWER_SECRET', 'this was carried out; its answer holds a secret, which is told only once', {
      hint: 'If the answer did not arrive, delete what was made, and make another with a new Idempotency-Key.',
    })
  }
  if (known.digest === digest) return known.answer
  throw new SyncError('USAGE_INVALID', 'this Idempotency-Key was used for another request', {
    hint: 'Use a new key for each request.',
  })
}

function digestOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex')
}
