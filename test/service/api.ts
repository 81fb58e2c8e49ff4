/** The API as a caller uses it, who takes no answer but those that it describes. */
import { assertDescribed, assertDescribedSync } from './described.ts'

export class Api {
  readonly url: string
  readonly #key: string | null

  constructor(url: string, key: string | null) {
    this.url = url
    this.#key = key
  }

  async call(
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Called> {
    const answer = await fetch(`${this.url}${path}`, {
      method,
      headers: {
        ...(this.#key === null ? {} : { authorization: `Bearer ${this.#key}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = await answer.text()
    const type = answer.headers.get('content-type') ?? ''
    const answered = { status: answer.status, type, text }
    assertDescribed(method, path, answered)
    assertDescribedSync(method, path, body, answered)
    const parsed: unknown = /\bjson\b/.test(type) && text !== '' ? JSON.parse(text) : text
    return {
      ...answered,
      body: (typeof parsed === 'object' && parsed !== null ? parsed : {}) as Called['body'],
    }
  }

  async get(path: string): Promise<Called> {
    return await this.call('GET', path)
  }

  async post(path: string, body?: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Called> {
    return await this.call('POST', path, body, headers)
  }
}

export interface Called {
  readonly status: number
  readonly type: string
  readonly body: Readonly<Record<string, unknown>> & { readonly items?: readonly Readonly<Record<string, unknown>>[] }
  readonly text: string
}
