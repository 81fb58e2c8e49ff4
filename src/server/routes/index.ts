/** Every route of the API. */
import type { Route } from '../route.ts'
import { conflictRoutes } from './conflicts.ts'
import { healthRoutes } from './health.ts'
import { jobRoutes } from './jobs.ts'
import { keyRoutes } from './keys.ts'
import { runRoutes } from './runs.ts'
import { startRoutes } from './sync-start.ts'
import { syncRoutes } from './syncs.ts'
import { webhookRoutes } from './webhooks.ts'

export const routes: readonly Route[] = [
  ...healthRoutes,
  ...syncRoutes,
  ...runRoutes,
  ...jobRoutes,
  ...conflictRoutes,
  ...keyRoutes,
  ...webhookRoutes,
  ...startRoutes,
]
