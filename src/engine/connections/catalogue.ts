/** A catalogue of services and their scopes that another program keeps: asked over HTTP, remembered for a while, and never needed. */
import { z } from 'zod'
import type { Clock } from '../../connectors/connector.ts'
import { SyncError } from '../../core/error.ts'

/** What somebody can connect to, in the catalogue's words. */
export interface CatalogueService {
  readonly name: string
  readonly title: string | null
  readonly description: string | null
  readonly scopes: readonly string[]
  /** The connection, connector or integration that reaches it. */
  readonly integration: string
}

export interface CatalogueOptions {
  /** Asked as it is. */
  readonly url: string
  readonly clock: Clock
  /** Ends what is being asked. */
  readonly signal: AbortSignal
  /** Told once when it can't be had, and once when it can again. */
  readonly log: (message: string) => void
}

export type CatalogueStatus = 'unasked' | 'reachable' | 'unreachable'

const FRESH_MS = 60_000
const AGAIN_MS = 10_000
const TIMEOUT_MS = 3000
const MAX_BYTES = 1024 * 1024

const text = z.string().min(1).max(300)
const service = z.object({
  name: text,
  title: text.nullish(),
  description: z.string().max(2000).nullish(),
  scopes: z
    .array(z.union([text, z.object({ name: text }).transform(({ name }) => name)]))
    .max(200)
    .default([]),
  integration: text.nullish(),
})
const body = z
  .union([z.object({ services: z.array(service) }), z.array(service).transform((services) => ({ services }))])
  .transform(({ services }): readonly CatalogueService[] =>
    services.map(({ name, title = null, description = null, scopes, integration }) => {
      return { name, title, description, scopes, integration: integration ?? name }
    }),
  )

/** CONFIG_INVALID: the URL is none, or holds a password. Null: it is not set. */
export function openCatalogue(
  environment: Readonly<Record<string, string | undefined>>,
  options: Omit<CatalogueOptions, 'url'>,
): Catalogue | null {
  const { INTEGRATION_MANAGER_URL: url } = environment
  if (url === undefined || url === '') return null
  const parsed = URL.parse(url)
  const fits = parsed !== null && /^https?:$/.test(parsed.protocol) && parsed.username === '' && parsed.password === ''
  if (fits) return new Catalogue({ ...options, url })
  throw new SyncError(
    'CONFIG_INVALID',
    'INTEGRATION_MANAGER_URL is no http:// or https:// address without a password',
    {
      hint: 'The catalogue is asked without credentials.',
    },
  )
}

export class Catalogue {
  readonly #options: CatalogueOptions
  #services: readonly CatalogueService[] = []
  #status: CatalogueStatus = 'unasked'
  #askAtMs = Number.NEGATIVE_INFINITY
  #asking: Promise<void> | null = null

  constructor(options: CatalogueOptions) {
    this.#options = options
  }

  get status(): CatalogueStatus {
    return this.#status
  }

  /** What it said last, and nothing before it has said anything. Waits for the first answer only. */
  async services(): Promise<readonly CatalogueService[]> {
    this.refresh()
    if (this.#status === 'unasked') await this.#asking
    return this.#services
  }

  /** Asks it again, if that was long ago; nobody waits for it. */
  refresh(): void {
    const { clock } = this.#options
    if (this.#asking !== null || clock.now() < this.#askAtMs) return
    this.#asking = this.#ask().finally(() => {
      this.#asking = null
    })
  }

  async #ask(): Promise<void> {
    const { url, clock, signal, log } = this.#options
    try {
      this.#services = await read(url, AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]))
      if (this.#status === 'unreachable') log('the catalogue at INTEGRATION_MANAGER_URL answers again')
      this.#status = 'reachable'
      this.#askAtMs = clock.now() + FRESH_MS
    } catch (error) {
      if (this.#status !== 'unreachable' && !signal.aborted)
        log(`the catalogue at INTEGRATION_MANAGER_URL can't be had, and is done without: ${reasonOf(error)}`)
      this.#status = 'unreachable'
      this.#askAtMs = clock.now() + AGAIN_MS
    }
  }
}

/** No credentials, no cookies, and nowhere else than where it was sent. */
async function read(url: string, signal: AbortSignal): Promise<readonly CatalogueService[]> {
  const answer = await fetch(url, { headers: { accept: 'application/json' }, redirect: 'error', signal })
  if (!answer.ok) {
    await answer.body?.cancel()
    throw new Error(`it answered ${answer.status}`)
  }
  const parsed = body.safeParse(JSON.parse(await bounded(answer)))
  if (parsed.success) return parsed.data
  throw new Error('its answer is no list of services')
}

async function bounded(answer: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of answer.body ?? []) {
    size += chunk.length
    if (size > MAX_BYTES) throw new Error('its answer is larger than 1 MB')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** What it answered is not repeated. */
function reasonOf(error: unknown): string {
  if (error instanceof SyntaxError) return 'its answer is no JSON'
  if (!(error instanceof Error)) return String(error)
  if (error.name === 'TimeoutError') return `no answer within ${TIMEOUT_MS / 1000} s`
  const { cause } = error
  return cause instanceof Error && 'code' in cause ? String(cause.code) : error.message
}
