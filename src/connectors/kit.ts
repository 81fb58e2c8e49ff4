/**
 * The connector kit: `defineConnector` turns a description of a system into what configs and the engine use. A system with tables
 * gives `open`, or its `collections` by name; an API gives `syncs`, functions that list rows, and `actions`, functions that do something there.
 */
import type { ZodType, z } from 'zod'
import { SyncError } from '../core/error.ts'
import type { WorkLimits } from './apart.ts'
import type { Connection, ConnectionDefinition, Connector, Context, Limits } from './connector.ts'
import type { CollectionOpener, Handle, HandlerContext, SyncDefinition, SyncRun } from './handlers.ts'

export type { WorkLimits } from './apart.ts'

export type * from './connector.ts'
export type * from './handlers.ts'

/** Something that can be done in a system. */
export interface ActionDefinition<Config, Input extends ZodType = ZodType, Output extends ZodType = ZodType> {
  readonly description?: string
  readonly input: Input
  readonly output: Output
  /** Default 30,000. */
  readonly timeoutMs?: number
  /** How often it is tried again after a failure that may pass. Default 0: an action is not repeated unasked. */
  readonly retries?: number
  readonly run: (
    connection: Handle<Config>,
    input: z.output<Input>,
    context: HandlerContext,
  ) => Promise<z.input<Output>>
}

/** How a system's authorization server is asked (OAuth 2: authorization code with PKCE). */
export interface OAuth {
  readonly authorizationUrl: string
  readonly tokenUrl: string
  readonly clientId: string
  /** Absent: a public client. */
  readonly clientSecret?: string
  readonly scopes?: readonly string[]
  /** Where the person comes back to; what arrives there goes into the flow's next step. */
  readonly redirectUrl: string
  /** More of the authorization request, like `access_type`. */
  readonly parameters?: Readonly<Record<string, string>>
}

/** What steps so far have given, by their names. */
export type FlowValues = Readonly<Record<string, unknown>>

/** One step of connecting an account. `http` and `transform` run by themselves, the others wait for a person. */
export type FlowStep =
  | { readonly kind: 'form'; readonly name: string; readonly title?: string; readonly fields: ZodType }
  | { readonly kind: 'confirm'; readonly name: string; readonly text: string | ((values: FlowValues) => string) }
  | { readonly kind: 'display'; readonly name: string; readonly text: string | ((values: FlowValues) => string) }
  | { readonly kind: 'oauth2'; readonly name: string; readonly title?: string }
  | {
      readonly kind: 'http'
      readonly name: string
      readonly run: (
        values: FlowValues,
        context: { readonly fetch: typeof fetch; readonly signal: AbortSignal },
      ) => Promise<unknown>
    }
  | { readonly kind: 'transform'; readonly name: string; readonly run: (values: FlowValues) => unknown }

/** How a person connects an account, step by step. */
export interface Flow {
  readonly steps: readonly FlowStep[]
  /** The connection's config, from what the steps gave. OAuth tokens are kept beside it. */
  readonly config: (values: FlowValues) => Readonly<Record<string, unknown>>
}

/** What a system sends when something has changed there. */
export interface WebhookRequest {
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  /** As it was sent: this is what is signed. */
  readonly body: string
}

/** A webhook that is what it says. */
export interface WebhookVerdict {
  /** Unique per event: the same sent twice is taken once. */
  readonly id: string
  /** When it was signed, in milliseconds since 1970: an old one is refused. */
  readonly atMs: number
}

export interface ConnectorDefinition<Config, Options> {
  readonly name: string
  readonly description?: string
  /** What a person gives to set up a connection, secrets included. */
  readonly config: ZodType<Config, Options>
  /** Collections that are always the same ones, by name. */
  readonly collections?: Readonly<Record<string, CollectionOpener<Config>>>
  /** Opens a system whose collections only it can tell. Instead of `collections` and `syncs`. */
  readonly open?: (config: Config, context: Context) => Promise<Connection>
  /**
   * Opens it in a process of its own: for a system whose work keeps the thread that does it, where a caller and not the config says what
   * that is. What exceeds the limits is ended: WORK_STOPPED. Absent: its work waits for others, and can be stopped where it is.
   */
  readonly openApart?: (config: Config, context: Context, limits: WorkLimits) => Promise<Connection>
  readonly syncs?: Readonly<Record<string, SyncRun<Config> | SyncDefinition<Config>>>
  /** `action` types each one from `config` and its own schemas: `(action) => ({ rename: action({ input, output, run }) })`. */
  readonly actions?: (action: DefineAction<Config>) => Readonly<Record<string, ActionDefinition<Config>>>
  /** Whole numbers of at least 1. */
  readonly limits?: Limits
  /** Where its tokens come from, given what the integration says. The context's `fetch` sends and refreshes them. */
  readonly auth?: (app: Readonly<Record<string, unknown>>) => OAuth
  readonly flow?: Flow
  /** Throws what is wrong with an account: a small call that needs its credentials. Absent: it is opened, or its token is looked at. */
  readonly check?: (connection: Handle<Config>, context: HandlerContext) => Promise<void>
  /** Checks the signature of what the system sends; null: it is not the system's. See `standardWebhook`. */
  readonly webhook?: (config: Config, request: WebhookRequest) => Promise<WebhookVerdict | null> | WebhookVerdict | null
}

/** A connector: called with what a person writes, it gives a connection for a config. */
export interface KitConnector<Config, Options> extends Connector<Config> {
  (options: Options): ConnectionDefinition
  readonly name: string
  readonly description: string
  readonly config: ZodType<Config, Options>
  readonly openApart: ((config: Config, context: Context, limits: WorkLimits) => Promise<Connection>) | null
  readonly collections: ReadonlyMap<string, CollectionOpener<Config>>
  readonly syncs: ReadonlyMap<string, SyncDefinition<Config>>
  readonly actions: ReadonlyMap<string, ActionDefinition<Config>>
  readonly limits: Limits
  readonly auth: ((app: Readonly<Record<string, unknown>>) => OAuth) | null
  readonly flow: Flow | null
  readonly check: ConnectorDefinition<Config, Options>['check'] | null
  readonly webhook: ConnectorDefinition<Config, Options>['webhook'] | null
}

/** Any kit connector: each takes its own config, which it validates itself. */
export interface AnyConnector {
  (options: never): ConnectionDefinition
  readonly name: string
  readonly description: string
  readonly config: ZodType
  readonly open: (config: never, context: Context) => Promise<Connection>
  readonly openApart: ((config: never, context: Context, limits: WorkLimits) => Promise<Connection>) | null
  readonly collections: ReadonlyMap<string, CollectionOpener<never>>
  readonly syncs: ReadonlyMap<string, SyncDefinition<never>>
  readonly actions: ReadonlyMap<string, ActionDefinition<never>>
  readonly limits: Limits
  readonly auth: ((app: Readonly<Record<string, unknown>>) => OAuth) | null
  readonly flow: Flow | null
  readonly check: ConnectorDefinition<never, never>['check'] | null
  readonly webhook: ConnectorDefinition<never, never>['webhook'] | null
}

/** Describes a kind of system. Handlers are typed from `config`, actions from their `input` and `output`. CONFIG_INVALID: its limits are none. */
export function defineConnector<Config, Options>(
  definition: ConnectorDefinition<Config, Options>,
): KitConnector<Config, Options> {
  const { name, config, limits = {} } = definition
  checkLimits(name, limits)
  const use = (options: Options): ConnectionDefinition => ({
    connector: connector as unknown as Connector<never>,
    config: options,
  })
  const syncs = new Map(Object.entries(definition.syncs ?? {}).map(([id, sync]) => [id, syncOf(sync)] as const))
  const collections = new Map(Object.entries(definition.collections ?? {}))
  const open =
    definition.open ??
    (async (given: Config, context: Context) => {
      const { openNamed } = await import('./named.ts')
      const calls = context.calls?.(limits) ?? { fetch, turn: async () => {} }
      return openNamed(collections, syncs, { id: name, config: given }, { ...context, ...calls })
    })
  const properties = Object.assign(use, {
    description: definition.description ?? '',
    config,
    open,
    openApart: definition.openApart ?? null,
    collections,
    syncs,
    actions: new Map(Object.entries(definition.actions?.(defineAction) ?? {})),
    limits,
    auth: definition.auth ?? null,
    flow: definition.flow ?? null,
    check: definition.check ?? null,
    webhook: definition.webhook ?? null,
  })
  // A function has a name already.
  const connector = Object.defineProperty(properties as KitConnector<Config, Options>, 'name', { value: name })
  return connector
}

const MOST_CALLS = 2 ** 31 - 1

function checkLimits(connector: string, limits: Limits): void {
  for (const kind of ['perSecond', 'perMinute', 'concurrent'] as const) {
    const value = limits[kind]
    if (value === undefined || (Number.isInteger(value) && value >= 1 && value <= MOST_CALLS)) continue
    throw new SyncError('CONFIG_INVALID', `connector ${connector}: limits.${kind} is ${value}`, {
      hint: 'Give a whole number of at least 1; fewer than one call a second are said by perMinute.',
    })
  }
}

function syncOf<Config>(written: SyncRun<Config> | SyncDefinition<Config>): SyncDefinition<Config> {
  return typeof written === 'function' ? { run: written } : written
}

/** Types an action from its schemas. */
export type DefineAction<Config> = <Input extends ZodType, Output extends ZodType>(
  action: ActionDefinition<Config, Input, Output>,
) => ActionDefinition<Config>

function defineAction<Config, Input extends ZodType, Output extends ZodType>(
  action: ActionDefinition<Config, Input, Output>,
): ActionDefinition<Config> {
  return action as unknown as ActionDefinition<Config>
}

/** Checks a webhook that is signed by the Standard Webhooks scheme (`whsec_…`). */
export async function standardWebhook(
  secret: string,
  { headers, body }: WebhookRequest,
): Promise<WebhookVerdict | null> {
  const { Webhook } = await import('standardwebhooks')
  try {
    new Webhook(secret).verify(body, { ...headers })
  } catch {
    return null
  }
  return { id: headers['webhook-id'] ?? '', atMs: Number(headers['webhook-timestamp']) * 1000 }
}
