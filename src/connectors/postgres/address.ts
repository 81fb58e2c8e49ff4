/** What a connection's URL says. */

export interface Address {
  readonly host: string
  readonly port: string
  readonly user: string
  readonly password: string
  readonly database: string
  readonly parameters: URLSearchParams
}

/** What its TLS is, by `sslmode`. As for the driver, all but `no-verify` check the server's certificate. */
export const sslModes = new Map<string, boolean | { readonly rejectUnauthorized: false }>([
  ['disable', false],
  ['prefer', true],
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

/** Of any text that the driver takes for a URL: it does without a host before a path, and with spaces. */
export function parameterNames(text: string): readonly string[] {
  const url = [text, text.replace('@/', '@host/')].map((part) => URL.parse(part)).find((found) => found !== null)
  return url == null ? [] : [...url.searchParams.keys()]
}
