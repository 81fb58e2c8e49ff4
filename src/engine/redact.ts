/** Takes secrets out of text that is on its way to a log: what is known to be one, and what looks like one. */

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

/** The same in all texts of a value that is to become JSON. */
export function redactAll(value: unknown, known: readonly string[]): unknown {
  if (typeof value === 'string') return redact(value, known)
  if (typeof value === 'bigint') return String(value)
  if (Array.isArray(value)) return value.map((part: unknown) => redactAll(part, known))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, redactAll(part, known)]))
}
