/** Takes secrets out of text that is on its way to a log: what is known to be one, and what looks like one. */
import { asSyncError, SyncError } from '../../core/error.ts'

const STARS = '[secret]'
/** Shorter ones would take words out of sentences. */
const SHORTEST = 6

/** Passwords in URLs, keys of the API, secrets of webhooks, tokens of requests. */
const looks: readonly (readonly [RegExp, string])[] = [
  [/(\b[a-z][a-z0-9+.-]*:\/\/[^\s:/@]*:)[^\s@/]+@/gi, `$1${STARS}@`],
  [/\b(?:slk|whsec)_[\w+/=-]+/g, STARS],
  [/\b(Bearer|Basic)\s+[\w.~+/=-]{6,}/gi, `$1 ${STARS}`],
]

export function redact(text: string, known: Iterable<string>): string {
  let clean = text
  for (const secret of known) if (secret.length >= SHORTEST) clean = clean.replaceAll(secret, STARS)
  for (const [look, instead] of looks) clean = clean.replace(look, instead)
  return clean
}

/** An error whose texts are fit to be kept: a handler may have put into them what it knows. */
export function redactError(error: unknown, redact: (text: string) => string = (text) => text): SyncError {
  const failure = asSyncError(error)
  const [message, hint] = [redact(failure.message), failure.hint === null ? null : redact(failure.hint)]
  if (message === failure.message && hint === failure.hint) return failure
  return new SyncError(failure.code, message, hint === null ? {} : { hint })
}

/** What of a connection's config is a secret, as far as names of fields tell; everything below such a name is. */
export function secretsIn(config: unknown): readonly string[] {
  if (typeof config !== 'object' || config === null) return []
  return Object.entries(config).flatMap(([name, value]) => (isSecretName(name) ? textsIn(value) : secretsIn(value)))
}

/** All texts of a value. */
function textsIn(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value]
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : []
}

/** By its words: `apiKey`, `client_secret`, `tokens`; not `author`, nor `keyboard`. */
function isSecretName(name: string): boolean {
  const words = name
    .replace(/([a-z\d])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z\d]+/)
  return words.some((word) => secretWords.has(word) || secretWords.has(word.replace(/s$/, '')))
}

const secretWords = new Set(
  'pass,password,passwd,passphrase,pwd,secret,token,key,apikey,credential,auth,authorization,jwt,cookie,bearer,pin,otp,signature,private'.split(
    ',',
  ),
)

/** The same in all texts of a value that is to become JSON. */
export function redactAll(value: unknown, known: readonly string[]): unknown {
  if (typeof value === 'string') return redact(value, known)
  if (typeof value === 'bigint') return String(value)
  if (Array.isArray(value)) return value.map((part: unknown) => redactAll(part, known))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, redactAll(part, known)]))
}
