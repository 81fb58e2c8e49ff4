/** Connectors and integrations: what there is to connect to, with the syncs and actions of each. */
import { z } from 'zod'
import type { AnyConnector } from '../../connectors/kit.ts'
import type { CatalogueService } from '../../engine/connections/catalogue.ts'
import type { Integration } from '../../engine/connections/connection-store.ts'
import type { Operations } from '../../engine/operations.ts'
import { nothing } from '../lookup.ts'
import { cutPage, namedPageQuery } from '../page.ts'
import { type Route, route } from '../route.ts'
import { actionObject, schemaObject } from '../schema-object.ts'

export const integrationRoutes: readonly Route[] = [
  route({
    method: 'GET',
    url: '/api/connectors',
    summary: 'The kinds of systems that integrations may be of',
    tag: 'integrations',
    scope: 'read',
    query: z.object(namedPageQuery),
    answers: { 200: 'ConnectorPage' },
    handle: async ({ operations, query }) => {
      const { items, next } = cutPage(operations.integrations.connectors, query, ({ name }) => name)
      return { body: { items: items.map(connectorObject), next } }
    },
  }),
  route({
    method: 'GET',
    url: '/api/integrations',
    summary: 'What there is to connect to: syncs, actions, and how accounts are connected',
    tag: 'integrations',
    scope: 'read',
    query: z.object(namedPageQuery),
    answers: { 200: 'IntegrationPage' },
    handle: async ({ operations, query }) => ({
      body: cutPage(await integrationObjects(operations), query, ({ name }) => String(name)),
    }),
  }),
  route({
    method: 'GET',
    url: '/api/integrations/:integration',
    summary: 'One integration',
    tag: 'integrations',
    scope: 'read',
    params: z.object({ integration: z.string().min(1).max(300) }),
    answers: { 200: 'Integration' },
    handle: async ({ operations, params }) => {
      const all = await integrationObjects(operations)
      const found = all.find(({ name }) => name === params.integration)
      if (found !== undefined) return { body: found }
      throw nothing(
        'INTEGRATION_UNKNOWN',
        'integration',
        params.integration,
        all.map(({ name }) => name),
      )
    },
  }),
]

function connectorObject(connector: AnyConnector): Record<string, unknown> {
  const { name, description, config, limits, flow, auth } = connector
  return {
    ...{ name, description, config: schemaObject(config), limits },
    auth: auth === null ? 'config' : 'oauth2',
    flow: flow?.steps.map(({ kind, name: step }) => ({ kind, name: step })) ?? null,
    syncs: syncObjects(connector, [...connector.syncs.keys()]),
    actions: [...connector.actions].map(([action, definition]) => actionObject(action, definition)),
  }
}

interface IntegrationObject extends Readonly<Record<string, unknown>> {
  readonly name: string
}

/** Those of the config, with what the catalogue says of them, and services of the catalogue that the config sets up nothing for. */
async function integrationObjects(operations: Operations): Promise<readonly IntegrationObject[]> {
  const { integrations, catalogue } = operations
  const services = (await catalogue?.services()) ?? []
  const reaches = ({ id, connectorId }: Integration, service: CatalogueService) =>
    [id, connectorId].some((known) => known.toLowerCase() === service.integration.toLowerCase())
  const others = services.filter((service) => !integrations.all.some((one) => reaches(one, service)))
  return [
    ...integrations.all.map((one) =>
      integrationObject(
        operations,
        one,
        services.filter((service) => reaches(one, service)),
      ),
    ),
    ...others.map(serviceObject),
  ]
}

/** Nothing connects to it until the config has an integration for it. */
function serviceObject({ name, title, description, scopes }: CatalogueService): IntegrationObject {
  const none = { connector: null, auth: null, flow: null, syncs: [], actions: [] }
  return { name, title, description, origin: 'catalogue', scopes, services: [name], ...none }
}

/** Without its config, which may hold secrets. */
function integrationObject(
  { integrations }: Operations,
  { id, name, connectorId, config, syncs, actions }: Integration,
  services: readonly CatalogueService[],
): IntegrationObject {
  const connector = integrations.connector(connectorId)
  const on = actions ?? [...connector.actions.keys()]
  return {
    name: id,
    title: name ?? services[0]?.title ?? null,
    description: services[0]?.description ?? null,
    origin: 'config',
    connector: connectorId,
    ...connectBy(connector, config ?? {}, services),
    services: services.map((service) => service.name),
    syncs: syncObjects(connector, syncs ?? [...connector.syncs.keys()]),
    actions: [...connector.actions].flatMap(([action, definition]) =>
      on.includes(action) ? [actionObject(action, definition)] : [],
    ),
  }
}

function connectBy(
  { auth, flow }: AnyConnector,
  config: Readonly<Record<string, unknown>>,
  services: readonly CatalogueService[],
): Record<string, unknown> {
  return {
    auth: auth === null ? 'config' : 'oauth2',
    scopes: [...new Set([...(auth?.(config).scopes ?? []), ...services.flatMap(({ scopes }) => scopes)])],
    flow: flow?.steps.map(({ kind, name }) => ({ kind, name })) ?? null,
  }
}

function syncObjects({ syncs }: AnyConnector, on: readonly string[]): readonly Record<string, unknown>[] {
  return [...syncs].flatMap(([name, { description = '', fields, key, schedule = null }]) =>
    on.includes(name)
      ? [{ name, description, fields: fields ?? { id: 'text', data: 'json' }, key: key ?? ['id'], schedule }]
      : [],
  )
}
