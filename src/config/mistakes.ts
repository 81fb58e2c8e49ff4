/** Mistakes in a config: collected with their paths, and told all at once. */
import type { ZodType } from 'zod'
import { SyncError } from '../core/error.ts'
import { didYouMean } from '../core/name.ts'

export interface Mistake {
  readonly path: readonly PropertyKey[]
  readonly message: string
  /** The environment variable whose absence is the mistake. */
  readonly missing?: string
}

type Issues = NonNullable<ReturnType<ZodType['safeParse']>['error']>['issues']
type Issue = Issues[number]

/** What zod found, as mistakes below `path`; `options` are the names that an unknown one may have meant. */
export function zodMistakes(
  issues: readonly Issue[],
  path: readonly PropertyKey[],
  options: readonly string[],
): Mistake[] {
  return issues.flatMap((issue): Mistake[] => {
    const at = [...path, ...issue.path]
    if (issue.code === 'unrecognized_keys') {
      const names = issue.path.length === 0 ? options : []
      return issue.keys.map((key) => ({ path: [...at, key], message: `unknown option${didYouMean(key, names)}` }))
    }
    const likely = issue.code === 'invalid_union' ? likeliest(issue.errors) : null
    if (likely !== null) return zodMistakes(likely, at, [])
    return [{ path: at, message: wording(issue.message) }]
  })
}

/** `Invalid input: expected string, received undefined` → `missing; expected text` */
function wording(message: string): string {
  const plain = message
    .replace(/^Invalid (input|option): /, '')
    .replace(/\bexpected record\b/, 'expected object')
    .replace(/\b(expected|received) string\b/g, '$1 text')
  const missing = /^expected (.+), received undefined$/.exec(plain)
  return missing === null ? plain : `missing; expected ${missing[1]}`
}

/** The error that tells all mistakes; ENV_MISSING when nothing else is wrong. */
export function mistakesError(file: string, mistakes: readonly Mistake[]): SyncError {
  const missing = [...new Set(mistakes.flatMap((mistake) => mistake.missing ?? []))]
  const code = mistakes.every((mistake) => mistake.missing !== undefined) ? 'ENV_MISSING' : 'CONFIG_INVALID'
  const lines = mistakes.map((mistake) => `${formatPath(mistake.path)}: ${mistake.message}`)
  const message =
    lines.length === 1
      ? `${file}: ${lines[0]}`
      : `${file} has ${lines.length} mistakes:\n${lines.map((line) => `  ${line}`).join('\n')}`
  if (missing.length === 0) return new SyncError(code, message)
  const hint = `Set ${missing.join(' and ')} in the environment, or in a file .env beside the config.`
  return new SyncError(code, message, { hint })
}

/** `syncs.paid_orders.fields["odd name"]` */
export function formatPath(path: readonly PropertyKey[]): string {
  const text = path.map((part) => {
    if (typeof part === 'number') return `[${part}]`
    return /^[\w$-]+$/.test(String(part)) ? `.${String(part)}` : `[${JSON.stringify(String(part))}]`
  })
  return text.join('').replace(/^\./, '') || '(the whole file)'
}

/** The alternative that the person most likely meant: the right kind of value, with the fewest mistakes in it. */
function likeliest(alternatives: readonly Issues[]): Issues | null {
  const fitting = alternatives.filter((issues) =>
    issues.every((issue) => issue.path.length > 0 || issue.code === 'unrecognized_keys'),
  )
  const weight = (issues: Issues) =>
    issues.reduce((sum, issue) => sum + (issue.code === 'unrecognized_keys' ? issue.keys.length : 1), 0)
  const [best, second] = fitting.toSorted((a, b) => weight(a) - weight(b))
  if (best === undefined || (second !== undefined && weight(best) === weight(second))) return null
  return best
}
