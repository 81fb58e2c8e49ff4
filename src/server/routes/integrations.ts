/** Connectors and integrations: what there is to connect to, with the syncs and actions of each. */
import { z } from 'zod'
import type { AnyConnector } from '../../connectors/kit.ts'
import type { Integration } from '../../engine/connections.ts'
import type { Operations } from '../../engine/operations.ts'
import { nothing } from '../lookup.ts'
import { type Route, route } from '../route.ts'
import { actionObject, schemaObject } from '../schema-object.ts'

export const integrationRoutes: readonly Route[] = [
  route({
    method: 'GET',
    url: '/api/connectors',
    summary: 'The kinds of systems that integrations may be of',
    tag: 'integrations',
    scope: 'read',
    handle: async ({ operations }) => ({ body: { items: operations.integrations.connectors.map(connectorObject) } }),
  }),
  route({
    method: 'GET',
    url: '/api/integrations',
    summary: 'What there is to connect to: syncs, actions, and how accounts are connected',
    tag: 'integrations',
    scope: 'read',
    handle: async ({ operations }) => ({
      body: { items: operations.integrations.all.map((one) => integrationObject(operations, one)) },
    }),
  }),
  route({
    method: 'GET',
    url: '/api/integrations/:integration',
    summary: 'One integration',
    tag: 'integrations',
    scope: 'read',
    params: z.object({ integration: z.string().min(1).max(300) }),
    handle: async ({ operations, params }) => {
      const { all } = operations.integrations
      const found = all.find(({ id }) => id === params.integration)
      if (found !== undefined) return { body: integrationObject(operations, found) }
      throw nothing(
        'INTEGRATION_UNKNOWN',
        'integration',
        params.integration,
        all.map(({ id }) => id),
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

/** Without its config, which may hold secrets. */
function integrationObject(
  { integrations }: Operations,
  { id, name, connectorId, config, syncs, actions }: Integration,
): Record<string, unknown> {
  const connector = integrations.connector(connectorId)
  const on = actions ?? [...connector.actions.keys()]
  return {
    name: id,
    title: name ?? null,
    connector: connectorId,
    ...connectBy(connector, config ?? {}),
    syncs: syncObjects(connector, syncs ?? [...connector.syncs.keys()]),
    actions: [...connector.actions].flatMap(([action, definition]) =>
      on.includes(action) ? [actionObject(action, definition)] : [],
    ),
  }
}

function connectBy({ auth, flow }: AnyConnector, config: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return {
    auth: auth === null ? 'config' : 'oauth2',
    scopes: auth?.(config).scopes ?? [],
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
