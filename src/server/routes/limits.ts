/** How often systems may be asked, and what waits for that. */
import { z } from 'zod'
import { iso } from '../../protocol/objects.ts'
import { visibleConnections } from '../lookup.ts'
import { cutPage, namedPageQuery } from '../page.ts'
import { type Route, route } from '../route.ts'

export const limitRoutes: readonly Route[] = [
  route({
    method: 'GET',
    url: '/api/limits',
    summary:
      'How the limits of connections stand in all processes on the store: what is being called, what waits, and until when a system is left alone',
    tag: 'connections',
    scope: 'read',
    query: z.object(namedPageQuery),
    answers: { 200: 'LimitPage' },
    handle: async ({ operations, query, key }) => {
      const { items, next } = cutPage(visibleConnections(operations, key), query, ({ name }) => name)
      const found = await operations.limits(items.map(({ name }) => name))
      const states = new Map(found.map((state) => [state.connection, state]))
      const described = items.map((connection) => {
        const { perSecond = null, perMinute = null, concurrent = null } = operations.limitsOf(connection)
        const { active = 0, waiting = 0, pausedUntil = null } = states.get(connection.name) ?? {}
        const limits = { perSecond, perMinute, concurrent }
        return { connection: connection.name, limits, active, waiting, pausedUntil: iso(pausedUntil) }
      })
      return { body: { items: described, next } }
    },
  }),
]
