/** API keys: `slk_<id>_<secret>`. Kept as a digest; what they open is their scope, and their project where they are bound to one. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { z } from 'zod'
import { allRecords } from '../../store/all-records.ts'
import type { RecordStore, StoredRecord } from '../../store/records.ts'

/** Each includes those before it. */
export const scopes = ['read', 'operate', 'admin'] as const
export type Scope = (typeof scopes)[number]

/** A key without its secret. */
export interface ApiKey {
  readonly id: string
  readonly name: string
  readonly scope: Scope
  /** Null: of all projects. */
  readonly project: string | null
  /** Milliseconds since 1970. */
  readonly createdAt: number
}

const KIND = 'key'
/** A process that dies before it has made the first key keeps others from it for so long. */
const FIRST_MS = 60_000
const body = z.object({
  digest: z.string(),
  name: z.string(),
  scope: z.enum(scopes),
  project: z.string().nullable(),
  createdAt: z.number(),
})

/** Makes a key. Its text is told here and never again. */
export async function createKey(
  records: RecordStore,
  key: Pick<ApiKey, 'name' | 'scope' | 'project'>,
  nowMs: number,
): Promise<{ readonly key: ApiKey; readonly text: string }> {
  const id = randomBytes(6).toString('hex')
  const secret = randomBytes(24).toString('base64url')
  const content = { ...key, digest: digestOf(secret), createdAt: nowMs }
  await records.put({ kind: KIND, id, body: JSON.stringify(content), expiresAt: null }, 0)
  return { key: { id, ...key, createdAt: nowMs }, text: `slk_${id}_${secret}` }
}

/** The text of an admin key, where there are no keys yet; null: there are. Of several processes that ask at once, one is told it. */
export async function createFirstKey(records: RecordStore, nowMs: number): Promise<string | null> {
  if ((await listKeys(records)).length > 0) return null
  await records.sweep(nowMs)
  const turn = { kind: 'first-key', id: 'first', body: '', expiresAt: nowMs + FIRST_MS }
  if ((await records.put(turn, 0)) === null) return null
  const { text } = await createKey(records, { name: 'first', scope: 'admin', project: null }, nowMs)
  return text
}

/** The key that this text is; null: none. Takes the same time for a wrong secret as for a right one. */
export async function checkKey(records: RecordStore, text: string): Promise<ApiKey | null> {
  const match = /^slk_([0-9a-f]{12})_([\w-]{32})$/.exec(text)
  if (match === null) return null
  const [, id = '', secret = ''] = match
  const record = await records.get(KIND, id)
  const known = record === null ? null : body.parse(JSON.parse(record.body))
  const equal = timingSafeEqual(Buffer.from(digestOf(secret)), Buffer.from(known?.digest ?? digestOf('')))
  return equal && record !== null ? toKey(record) : null
}

/** Whether the key is still there: what lasts longer than a request asks again. */
export async function keyStands(records: RecordStore, { id }: ApiKey): Promise<boolean> {
  return (await records.get(KIND, id)) !== null
}

export async function listKeys(records: RecordStore): Promise<readonly ApiKey[]> {
  return await Array.fromAsync(allRecords(records, KIND), toKey)
}

/** False: there is none. */
export async function deleteKey(records: RecordStore, id: string): Promise<boolean> {
  return await records.delete(KIND, id)
}

function toKey({ id, body: text }: StoredRecord): ApiKey {
  const { digest: _digest, ...key } = body.parse(JSON.parse(text))
  return { id, ...key }
}

/** The secret is 24 random bytes: a slow hash would protect nothing more. */
function digestOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}
