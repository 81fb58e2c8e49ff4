/** Which connectors there are, which of them are set up as integrations, and what a connection is made of. */

import type { Handle } from '../../connectors/handlers.ts'
import type { AnyConnector, Flow, OAuth } from '../../connectors/kit.ts'
import { type ErrorCode, SyncError } from '../../core/error.ts'
import { didYouMean } from '../../core/name.ts'
import type { EngineConnection, Integration } from './connection-store.ts'

/** A connection with what it is reached through. */
export interface ConnectionParts {
  readonly integration: Integration
  readonly connector: AnyConnector
  /** What its integration says, and what it says itself, validated. */
  readonly handle: Handle<never>
}

/** What a connection says itself, with its files where they are. CONFIG_INVALID: it names one that the integration does not let it. */
export type Locate = (connection: EngineConnection, integration: Integration) => unknown

export class Integrations {
  #connectors: ReadonlyMap<string, AnyConnector> = new Map()
  #integrations = new Map<string, Integration>()
  readonly #locate: Locate

  constructor(connectors: readonly AnyConnector[], locate: Locate = ({ config }) => config) {
    this.#locate = locate
    this.replace(connectors, [])
  }

  get connectors(): readonly AnyConnector[] {
    return [...this.#connectors.values()]
  }

  get all(): readonly Integration[] {
    return [...this.#integrations.values()]
  }

  /** From now on these, and no others. CONFIG_INVALID: as `put`. */
  replace(connectors: readonly AnyConnector[], integrations: readonly Integration[]): void {
    this.#connectors = new Map(connectors.map((connector) => [connector.name, connector]))
    this.#integrations = new Map()
    for (const integration of integrations) this.put(integration)
  }

  /** CONFIG_INVALID, SYNC_UNKNOWN, ACTION_UNKNOWN: there is no such connector, sync or action. */
  put(integration: Integration): void {
    checkMinutes(integration.minutesBetweenSyncs, `integration "${integration.id}": minutesBetweenSyncs`)
    const connector = this.connector(integration.connectorId)
    const known = { syncs: connector.syncs, actions: connector.actions }
    for (const kind of ['syncs', 'actions'] as const)
      for (const name of integration[kind] ?? [])
        if (!known[kind].has(name)) throw nothingNamed(kind.slice(0, -1), name, [...known[kind].keys()])
    this.#integrations.set(integration.id, integration)
  }

  remove(id: string): void {
    this.#integrations.delete(id)
  }

  /** INTEGRATION_UNKNOWN names the nearest. */
  find(id: string): Integration {
    const found = this.#integrations.get(id)
    if (found !== undefined) return found
    throw nothingNamed('integration', id, [...this.#integrations.keys()])
  }

  /** CONFIG_INVALID names the nearest. */
  connector(name: string): AnyConnector {
    const found = this.#connectors.get(name)
    if (found !== undefined) return found
    throw nothingNamed('connector', name, [...this.#connectors.keys()])
  }

  /** INTEGRATION_UNKNOWN, CONFIG_INVALID: it does not fit its integration and connector. */
  partsOf(connection: EngineConnection): ConnectionParts {
    if (!/^(?!__proto__$)[\w-]{1,100}$/.test(connection.id)) {
      throw new SyncError('CONFIG_INVALID', `"${connection.id.slice(0, 50)}" can't be a connection's id`, {
        hint: 'Use up to 100 letters, digits, _ and -.',
      })
    }
    checkMinutes(connection.minutesBetweenSyncs, `connection "${connection.id}": minutesBetweenSyncs`)
    const integration = this.find(connection.integrationId)
    const connector = this.connector(integration.connectorId)
    checkOwn(connection, integration)
    const config = connector.config.safeParse(
      Object.assign({}, integration.config, this.#locate(connection, integration)),
    )
    if (config.success) return { integration, connector, handle: { id: connection.id, config: config.data as never } }
    const reasons = config.error.issues.map(({ path, message }) => `${path.join('.') || '(all of it)'}: ${message}`)
    throw new SyncError('CONFIG_INVALID', `connection "${connection.id}": ${reasons.join('; ')}`)
  }

  /** How its accounts are connected. FLOW_UNKNOWN: its connector has no flow. */
  flowOf(id: string): { readonly flow: Flow; readonly oauth: OAuth | null } {
    const integration = this.find(id)
    const { flow, auth, name } = this.connector(integration.connectorId)
    if (flow === null) throw new SyncError('FLOW_UNKNOWN', `connector ${name} has no flow to connect by`)
    return { flow, oauth: auth?.(integration.config ?? {}) ?? null }
  }
}

/** Whoever makes connections would else send what the integration knows, like a password, to where they like. */
function checkOwn({ id, config }: EngineConnection, { config: shared = {} }: Integration): void {
  const said = Object.keys(config).find((name) => Object.hasOwn(shared, name))
  if (said === undefined) return
  throw new SyncError('CONFIG_INVALID', `connection "${id}": ${said}: its integration says it`, {
    hint: 'Leave it out: it is the same for all connections of the integration.',
  })
}

const MINUTES_OF_A_YEAR = 366 * 24 * 60

export function checkMinutes(minutes: number | undefined, what: string): void {
  if (minutes === undefined || (minutes > 0 && minutes <= MINUTES_OF_A_YEAR)) return
  throw new SyncError('CONFIG_INVALID', `${what} is ${minutes}`, {
    hint: `Give a number of minutes above 0, up to ${MINUTES_OF_A_YEAR}.`,
  })
}

const codes: Readonly<Record<string, ErrorCode>> = {
  sync: 'SYNC_UNKNOWN',
  action: 'ACTION_UNKNOWN',
  integration: 'INTEGRATION_UNKNOWN',
}

export function nothingNamed(kind: string, name: string, names: readonly string[]): SyncError {
  const code = codes[kind] ?? 'CONFIG_INVALID'
  const short = name.slice(0, 100)
  const others = didYouMean(short, names) || (names.length === 0 ? '' : `; there are ${names.join(', ')}`)
  return new SyncError(code, `there is no ${kind} "${short}"${others}`)
}
