/** An external vault over HTTP, by HashiCorp's KV version 2: `VAULT_URL`, `VAULT_TOKEN`, and where it is mounted. */
import { z } from 'zod'
import { type ErrorCode, SyncError } from '../../core/error.ts'
import type { Vault } from './vault.ts'
import { checkSecretName } from './vault.ts'

export interface KvOptions {
  readonly url: string
  readonly token: string
  /** Default: `secret`. */
  readonly mount: string
  /** Below which path in it. */
  readonly path: string
}

const TIMEOUT_MS = 10_000
const FIELD = 'value'

const secretBody = z.object({ data: z.object({ data: z.record(z.string(), z.unknown()).nullable() }) })
const listBody = z.object({ data: z.object({ keys: z.array(z.string()) }) })

/** VAULT_TOKEN missing: ENV_MISSING. Null: no VAULT_URL. */
export function kvOptions(environment: Readonly<Record<string, string | undefined>>): KvOptions | null {
  const { VAULT_URL: url, VAULT_TOKEN: token, VAULT_MOUNT: mount, VAULT_PATH: path } = environment
  if (url === undefined || url === '') return null
  if (token === undefined || token === '') {
    throw new SyncError('ENV_MISSING', 'VAULT_URL is set, but VAULT_TOKEN is not', {
      hint: 'Set VAULT_TOKEN to a token that may read and write the path, or take VAULT_URL away to keep secrets in the store.',
    })
  }
  return { url: url.replace(/\/+$/, ''), token, mount: mount ?? 'secret', path: path ?? 'syncline' }
}

export class KvVault implements Vault {
  readonly #options: KvOptions

  constructor(options: KvOptions) {
    this.#options = options
  }

  async get(name: string): Promise<string | null> {
    checkSecretName(name)
    const body = await this.#call('GET', 'data', name)
    if (body === null) return null
    const value = secretBody.parse(body).data.data?.[FIELD]
    return typeof value === 'string' ? value : null
  }

  async set(name: string, secret: string): Promise<void> {
    checkSecretName(name)
    await this.#call('POST', 'data', name, { data: { [FIELD]: secret } })
  }

  async delete(name: string): Promise<boolean> {
    if ((await this.get(name)) === null) return false
    await this.#call('DELETE', 'metadata', name)
    return true
  }

  async list(): Promise<readonly string[]> {
    return (await this.#listBelow('')).toSorted()
  }

  async #listBelow(prefix: string): Promise<string[]> {
    const body = await this.#call('GET', 'metadata', prefix, undefined, '?list=true')
    if (body === null) return []
    const names: string[] = []
    for (const key of listBody.parse(body).data.keys) {
      if (key.endsWith('/')) names.push(...(await this.#listBelow(`${prefix}${key}`)))
      else names.push(`${prefix}${key}`)
    }
    return names
  }

  /** Null: 404. The answer's text is never told: it may hold a secret. */
  async #call(method: string, area: 'data' | 'metadata', name: string, body?: unknown, query = ''): Promise<unknown> {
    const { url, token, mount, path } = this.#options
    const target = `${url}/v1/${mount}/${area}/${path}/${name}${query}`
    const answer = await fetch(target, {
      method,
      headers: { 'x-vault-token': token, 'content-type': 'application/json' },
      signal: AbortSignal.timeout(TIMEOUT_MS),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    }).catch((error: unknown) => {
      throw new SyncError('CONNECTION_REFUSED', `the vault at ${url} does not answer`, {
        cause: error,
        hint: 'Check VAULT_URL.',
      })
    })
    if (answer.status === 404) return null
    if (!answer.ok) throw refusal(answer.status, url)
    const text = await answer.text()
    return text === '' ? {} : JSON.parse(text)
  }
}

function refusal(status: number, url: string): SyncError {
  const code: ErrorCode = status === 401 || status === 403 ? 'AUTH_FAILED' : 'VAULT_UNUSABLE'
  return new SyncError(code, `the vault at ${url} answered ${status}`, {
    hint:
      code === 'AUTH_FAILED'
        ? 'Check VAULT_TOKEN, and that its policy allows the path.'
        : 'Is it unsealed? Look at its log.',
  })
}
