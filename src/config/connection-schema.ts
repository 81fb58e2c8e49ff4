/** Connections as a config writes them: by a connector of code, or one of the built-in ones in JSON. */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { Connector } from '../connectors/connector.ts'
import type { AnyConnector, WebhookRequest } from '../connectors/kit.ts'
import { HANDLER_TIMEOUT_MS } from '../core/sync.ts'
import { builtIn, connectors } from './connectors.ts'
import { missingValue, resolveEnv } from './env.ts'
import { resolveFiles } from './files.ts'
import { type Mistake, zodMistakes } from './mistakes.ts'
import type { ConnectionSetup, ConnectionTraits, Surroundings } from './project-config.ts'

export function parseConnection(
  name: string,
  definition: unknown,
  surroundings: Surroundings,
  mistakes: Mistake[],
): ConnectionSetup | null {
  const path = ['connections', name]
  const found = findConnector(definition, path, mistakes)
  if (found === null) return null
  const { connector, options } = found
  // All options of a connection are no reference, also where there is only one, and it is called `env` or `secret`.
  const resolved = resolveEnv(options, path, surroundings, (at) => at.length === path.length)
  for (const value of resolved.missing) mistakes.push(missingValue(value))
  const parsed = connector.config.safeParse(
    resolveFiles(resolved.value, builtIn(connector.name).files, surroundings.folder),
  )
  if (!parsed.success) {
    const unset = new Set(resolved.missing.map((missing) => missing.path.join('\0')))
    const found = zodMistakes(parsed.error.issues, path, optionNames(connector))
    mistakes.push(...found.filter((mistake) => !unset.has(mistake.path.join('\0'))))
    return null
  }
  return {
    ...describeConnection(name, connector, parsed.data),
    open: (context) => connector.open(parsed.data, context),
    acting: actingOf(name, connector, parsed.data),
    webhook: webhookOf(connector, parsed.data),
  }
}

/** `options`: validated by the connector. */
export function describeConnection(
  name: string,
  connector: { readonly name: string },
  options: unknown,
): ConnectionTraits {
  return {
    system: connector.name,
    identity: identify(name, connector, options),
    timeoutOf: (collection) => timeoutOf(connector, collection),
  }
}

/** Functions that list rows may wait for something that never comes; a database says so itself. */
function timeoutOf(connector: object, collection: string): number | null {
  if (!('syncs' in connector) || !(connector.syncs instanceof Map)) return null
  const listed = z.looseObject({ timeoutMs: z.number().optional() }).safeParse(connector.syncs.get(collection))
  return listed.success ? (listed.data.timeoutMs ?? HANDLER_TIMEOUT_MS) : null
}

function actingOf(id: string, connector: Connector<never>, config: never): ConnectionSetup['acting'] {
  return isOfKit(connector) && connector.actions.size > 0 ? { connector, handle: { id, config } } : null
}

function isOfKit(connector: object): connector is AnyConnector {
  return typeof connector === 'function' && 'actions' in connector && connector.actions instanceof Map
}

function webhookOf(connector: Connector<never>, options: never): ConnectionSetup['webhook'] {
  if (!('webhook' in connector) || typeof connector.webhook !== 'function') return null
  const verify: (config: never, request: WebhookRequest) => unknown = connector.webhook as never
  return async (request) => verdict.parse(await verify(options, request))
}

const verdict = z.object({ id: z.string().min(1), atMs: z.number() }).nullable()

/** A digest, because the options hold passwords. A connector that is not built in may have options that are no JSON. */
function identify(name: string, connector: { readonly name: string }, options: unknown): string {
  if (!connectors.some((known) => known.connector === connector)) return name
  return createHash('sha256')
    .update(JSON.stringify([connector.name, options]))
    .digest('hex')
}

/** A connector of the kit is a function with these properties; any object that has them will do. */
const fromCode = z.object({ connector: z.custom<object>(isConnector), config: z.unknown() })
const connectorParts = z.object({
  name: z.string(),
  config: z.custom<object>(isSchema),
  open: z.custom<object>((value) => typeof value === 'function'),
})
const fromJson = z.looseObject({ connector: z.string() })

function findConnector(
  definition: unknown,
  path: readonly PropertyKey[],
  mistakes: Mistake[],
): { connector: Connector<never>; options: unknown } | null {
  if (isConnectionDefinition(definition)) return { connector: definition.connector, options: definition.config }
  const json = fromJson.safeParse(definition)
  const names = connectors.map(({ connector }) => connector.name)
  if (!json.success) {
    mistakes.push({
      path,
      message: `write postgres({ … }) or sqlite({ … }), or in JSON { "connector": "${names.join('" or "')}", … }`,
    })
    return null
  }
  const { connector: name, ...options } = json.data
  const found = connectors.find(({ connector }) => connector.name === name)
  if (found !== undefined) return { connector: found.connector, options }
  mistakes.push({ path: [...path, 'connector'], message: `no connector "${name}"; there are ${names.join(', ')}` })
  return null
}

function isConnectionDefinition(value: unknown): value is { connector: Connector<never>; config: unknown } {
  return fromCode.safeParse(value).success
}

function isConnector(value: unknown): boolean {
  if (value === null || (typeof value !== 'object' && typeof value !== 'function')) return false
  const parts = {
    name: Reflect.get(value, 'name'),
    config: Reflect.get(value, 'config'),
    open: Reflect.get(value, 'open'),
  }
  return connectorParts.safeParse(parts).success
}

function isSchema(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'safeParse' in value
}

function optionNames(connector: Connector<never>): string[] {
  return connector.config instanceof z.ZodObject ? Object.keys(connector.config.shape) : []
}
