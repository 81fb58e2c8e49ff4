/** Every route of the API. */
import { eventsRoute } from '../event-stream.ts'
import { incomingRoute } from '../incoming.ts'
import { metricsRoute } from '../metrics-page.ts'
import type { DescribedRoute, Route } from '../route.ts'
import { actionRoutes } from './actions.ts'
import { collectionRoutes } from './collections.ts'
import { conflictRoutes } from './conflicts.ts'
import { connectionRoutes } from './connections.ts'
import { deadLetterRoutes } from './dead-letters.ts'
import { flowRoutes } from './flows.ts'
import { healthRoutes } from './health.ts'
import { integrationRoutes } from './integrations.ts'
import { jobRoutes } from './jobs.ts'
import { keyRoutes } from './keys.ts'
import { limitRoutes } from './limits.ts'
import { runRoutes } from './runs.ts'
import { startRoutes } from './sync-start.ts'
import { syncRoutes } from './syncs.ts'
import { webhookRoutes } from './webhooks.ts'

export const routes: readonly Route[] = [
  ...healthRoutes,
  ...integrationRoutes,
  ...connectionRoutes,
  ...actionRoutes,
  ...flowRoutes,
  ...collectionRoutes,
  ...limitRoutes,
  ...syncRoutes,
  ...deadLetterRoutes,
  ...runRoutes,
  ...jobRoutes,
  ...conflictRoutes,
  ...keyRoutes,
  ...webhookRoutes,
  ...startRoutes,
]

/** These, and what is answered beside them. */
export const describedRoutes: readonly DescribedRoute[] = [...routes, eventsRoute, incomingRoute, metricsRoute]
