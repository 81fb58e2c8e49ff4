/** What a connection's URL says. */
import { mistakenParameter } from '../../core/postgres-parameters.ts'

export interface Address {
  readonly host: string
  readonly port: string
  readonly user: string
  readonly password: string
  readonly database: string
  readonly parameters: URLSearchParams
}

/**
 * What its TLS is, by `sslmode`. All but `no-verify` check the server's certificate and its name. `allow` and `prefer` are refused: they
 * would go on in the clear where somebody in between says that there is no TLS.
 */
export const sslModes = new Map<string, boolean | { readonly rejectUnauthorized: false }>([
  ['disable', false],
  ['require', true],
  ['verify-ca', true],
  ['verify-full', true],
  ['no-verify', { rejectUnauthorized: false }],
])

/** Read as the driver reads it, without what it makes of URLs that are none. Null: it is none. */
export function addressOf(text: string): Address | null {
  // The driver drops or encodes what no URL holds, and reads on. A NUL ends a text on the way to the server.
  if (/[^\x21-\x7e]|%(?![\da-f]{2})|%00/i.test(text)) return null
  try {
    const url = new URL(text)
    return {
      host: decodeURIComponent(url.hostname).replace(/^\[(.+)\]$/, '$1'),
      port: url.port,
      user: decodeURIComponent(url.username),
      password: decodeURIComponent(url.password),
      database: decodeURI(url.pathname.slice(1)),
      parameters: url.searchParams,
    }
  } catch {
    return null
  }
}

/** What is wrong with a URL, in words that hold nothing of it but the name of its mode. Null: nothing. */
export function mistakeIn(text: string): string | null {
  const [, authority = '', rest = ''] = /^[a-z]+:\/\/([^/?#]*)(.*)$/is.exec(text) ?? []
  // Behind a password with one of them unescaped, what follows looks like a path, a query or a fragment.
  if (rest.includes('@') || rest.includes('#'))
    return 'has an @ or # behind its host: percent-encode what is special in user and password (@ is %40, / is %2F, # is %23, ? is %3F)'
  if (authority.slice(authority.lastIndexOf('@') + 1).includes(','))
    return 'names several hosts: name one, such as the address that always leads to the primary'
  const parameters = new URLSearchParams(rest.split('?')[1] ?? '')
  const mode = parameters.get('sslmode')
  if (mode === null || sslModes.has(mode)) return mistakenParameter(parameters)
  const known = [...sslModes.keys()].join(', ')
  if (mode === 'allow' || mode === 'prefer')
    return `has sslmode=${mode}, which goes on without TLS where there is none: choose one of ${known}`
  return `has an sslmode that is none: there are ${known}`
}

/** Of any text that the driver takes for a URL: it does without a host before a path, and with spaces. */
export function parameterNames(text: string): readonly string[] {
  const url = [text, text.replace('@/', '@host/')].map((part) => URL.parse(part)).find((found) => found !== null)
  return url == null ? [] : [...url.searchParams.keys()]
}
