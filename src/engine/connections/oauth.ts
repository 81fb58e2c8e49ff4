/**
 * OAuth tokens of connections: kept in the vault, refreshed before they expire and when the system no longer takes them. One refresh
 * at a time per connection, across all processes (hazard 20): many systems take a refresh token once.
 */
import { randomUUID } from 'node:crypto'
import type * as oauthLibrary from 'oauth4webapi'
import { z } from 'zod'
import type { Clock } from '../../connectors/connector.ts'
import type { OAuth } from '../../connectors/kit.ts'
import { SyncError } from '../../core/error.ts'
import { orAborted } from '../../core/or-aborted.ts'
import type { LeaseStore } from '../../store/store.ts'
import type { TokenSource } from '../calls/handler-context.ts'
import type { Vault } from '../secrets/vault.ts'

/** So long before it expires a token is refreshed. */
const EARLY_MS = 60_000
/** The answer to a refresh is waited for so long, whoever asked for it: the old refresh token may be spent. */
const REFRESH_MS = 30_000
/** A refresh that has not ended by then has died with its process. */
const LEASE_MS = 45_000
/** A stop waits so long for the answers of refreshes, so that they are kept. */
const STOP_MS = 12_000
const LOOK_MS = 100

const tokens = z.object({
  accessToken: z.string(),
  refreshToken: z.string().nullable(),
  /** Milliseconds since 1970; null: the system did not say. */
  expiresAt: z.number().nullable(),
})
export type Tokens = z.output<typeof tokens>

/** What a person is sent to, and what has to be kept until they come back. */
export interface Authorization {
  readonly url: string
  readonly state: string
  readonly verifier: string
}

export async function beginAuthorization(settings: OAuth): Promise<Authorization> {
  const library = await import('oauth4webapi')
  const [state, verifier] = [library.generateRandomState(), library.generateRandomCodeVerifier()]
  const url = new URL(settings.authorizationUrl)
  const parameters = {
    ...settings.parameters,
    response_type: 'code',
    client_id: settings.clientId,
    redirect_uri: settings.redirectUrl,
    ...(settings.scopes === undefined ? {} : { scope: settings.scopes.join(' ') }),
    state,
    code_challenge: await library.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  }
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
  return { url: url.href, state, verifier }
}

/** Exchanges what the person came back with. AUTH_FAILED: the system or the person refused, or it is not what was begun. */
export async function endAuthorization(
  settings: OAuth,
  begun: Pick<Authorization, 'state' | 'verifier'>,
  callback: URLSearchParams,
  nowMs: number,
): Promise<Tokens> {
  const { library, server, client, clientAuth, options } = await prepare(settings)
  return await translated('the authorization was refused', async () => {
    const parameters = library.validateAuthResponse(server, client, callback, begun.state)
    const answer = await library.authorizationCodeGrantRequest(
      server,
      client,
      clientAuth,
      parameters,
      settings.redirectUrl,
      begun.verifier,
      { ...options, signal: AbortSignal.timeout(REFRESH_MS) },
    )
    return toTokens(await library.processAuthorizationCodeResponse(server, client, answer), null, nowMs)
  })
}

export class TokenStore implements AsyncDisposable {
  readonly #vault: Vault
  readonly #leases: LeaseStore
  readonly #clock: Clock
  /** Refreshes that go on, also those whose askers are gone. */
  readonly #refreshing = new Set<Promise<unknown>>()

  constructor(vault: Vault, leases: LeaseStore, clock: Clock) {
    this.#vault = vault
    this.#leases = leases
    this.#clock = clock
  }

  async put(connection: string, given: Tokens): Promise<void> {
    await this.#vault.set(nameOf(connection), JSON.stringify(given))
  }

  async delete(connection: string): Promise<void> {
    await this.#vault.delete(nameOf(connection))
  }

  sourceOf(connection: string, settings: OAuth): TokenSource {
    return { get: (refused, signal) => this.#get(connection, settings, refused, signal) }
  }

  /** Null: the connection has no tokens. AUTH_FAILED: a person has to connect it anew. */
  async #get(connection: string, settings: OAuth, refused: string | null, signal: AbortSignal): Promise<string | null> {
    for (;;) {
      const known = await this.#read(connection)
      if (known === null) return null
      if (known.accessToken !== refused && !this.#expires(known)) return known.accessToken
      if (known.refreshToken === null) {
        if (known.accessToken !== refused) return known.accessToken
        throw expired(connection)
      }
      const lease = await this.#leases
        .take(`oauth/${connection}`, randomUUID(), this.#clock.now(), LEASE_MS)
        .catch(onlyLost)
      if (lease === null) {
        await this.#clock.sleep(LOOK_MS, signal)
        continue
      }
      const refreshing = this.#underLease(connection, settings, known, lease)
      this.#refreshing.add(refreshing)
      const over = () => this.#refreshing.delete(refreshing)
      refreshing.then(over, over)
      const fresh = await orAborted(refreshing, signal)
      if (fresh !== null) return fresh
    }
  }

  /** Waits for refreshes that go on, so that what a system has answered is kept. */
  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new AbortController()
    const late = this.#clock.sleep(STOP_MS, ended.signal).catch(() => {})
    await Promise.race([Promise.allSettled(this.#refreshing), late])
    ended.abort()
  }

  /** Hears no signal of who asks: a refresh that is given up halfway costs the account where refresh tokens are good once. */
  async #underLease(connection: string, settings: OAuth, known: Tokens, lease: number): Promise<string | null> {
    try {
      // Another process may have refreshed it between our look and our lease.
      const now = await this.#read(connection)
      if (now === null || now.accessToken !== known.accessToken) return null
      return await this.#refresh(connection, settings, now)
    } finally {
      await this.#leases.free(`oauth/${connection}`, lease)
    }
  }

  /** Null: somebody else's refresh came first after all. */
  async #refresh(connection: string, settings: OAuth, known: Tokens): Promise<string | null> {
    const { library, server, client, clientAuth, options } = await prepare(settings)
    try {
      const asked = { ...options, signal: AbortSignal.timeout(REFRESH_MS) }
      const answer = await library.refreshTokenGrantRequest(server, client, clientAuth, known.refreshToken ?? '', asked)
      const fresh = toTokens(
        await library.processRefreshTokenResponse(server, client, answer),
        known.refreshToken,
        this.#clock.now(),
      )
      await this.put(connection, fresh)
      return fresh.accessToken
    } catch (error) {
      if (!(error instanceof library.ResponseBodyError) || error.error !== 'invalid_grant')
        throw translate('the token could not be refreshed', error)
      const now = await this.#read(connection)
      if (now !== null && now.refreshToken !== known.refreshToken) return null
      throw expired(connection)
    }
  }

  async #read(connection: string): Promise<Tokens | null> {
    const text = await this.#vault.get(nameOf(connection))
    return text === null ? null : tokens.parse(JSON.parse(text))
  }

  #expires({ expiresAt }: Tokens): boolean {
    return expiresAt !== null && expiresAt - EARLY_MS <= this.#clock.now()
  }
}

function nameOf(connection: string): string {
  return `tokens/${connection}`
}

function onlyLost(error: unknown): null {
  if (error instanceof SyncError && error.code === 'LEASE_LOST') return null
  throw error
}

/** The library is loaded when it is needed: most projects have no tokens. */
async function prepare({ tokenUrl, clientId, clientSecret }: OAuth) {
  const library = await import('oauth4webapi')
  const server: oauthLibrary.AuthorizationServer = { issuer: new URL(tokenUrl).origin, token_endpoint: tokenUrl }
  const insecure = ['127.0.0.1', 'localhost', '[::1]'].includes(new URL(tokenUrl).hostname)
  return {
    library,
    server,
    client: { client_id: clientId },
    clientAuth: clientSecret === undefined ? library.None() : library.ClientSecretPost(clientSecret),
    // On this machine only: everywhere else tokens travel by TLS.
    options: { [library.allowInsecureRequests]: insecure },
  }
}

function toTokens(answer: oauthLibrary.TokenEndpointResponse, refreshToken: string | null, nowMs: number): Tokens {
  return {
    accessToken: answer.access_token,
    // One that is not replaced goes on being good.
    refreshToken: answer.refresh_token ?? refreshToken,
    expiresAt: answer.expires_in === undefined ? null : nowMs + answer.expires_in * 1000,
  }
}

async function translated<Result>(what: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work()
  } catch (error) {
    throw translate(what, error)
  }
}

/** The library's errors hold whole answers: only their short codes are told. */
function translate(what: string, error: unknown): SyncError {
  if (error instanceof SyncError) return error
  const code: unknown = typeof error === 'object' && error !== null ? Reflect.get(error, 'error') : undefined
  const network = error instanceof TypeError || (error instanceof Error && error.name === 'TimeoutError')
  return new SyncError(
    network ? 'CONNECTION_REFUSED' : 'AUTH_FAILED',
    `${what}${typeof code === 'string' ? `: ${code.slice(0, 100)}` : ''}`,
    { cause: error },
  )
}

function expired(connection: string): SyncError {
  return new SyncError('AUTH_FAILED', `the tokens of connection "${connection}" are no longer taken`, {
    hint: 'Connect the account anew.',
  })
}
