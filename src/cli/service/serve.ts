/** Puts the server beside a running service, and ends it with it. */
import type { AddressInfo } from 'node:net'
import { SyncError } from '../../core/error.ts'
import type { Log } from '../../core/log.ts'
import type { Limiter } from '../../engine/calls/rate-limiter.ts'
import { systemClock } from '../../engine/clock.ts'
import { collectMetrics } from '../../engine/observe/metrics.ts'
import type { Operations } from '../../engine/operations.ts'
import { createFirstKey } from '../../engine/secrets/api-keys.ts'

export interface ServeOptions {
  /** The API, its metrics included, or only what the process tells of itself. */
  readonly what: 'api' | 'metrics'
  readonly operations: Operations
  readonly limiter: Limiter
  readonly host: string
  readonly port: number
  readonly version: string
  readonly log: Log
  /** Takes secrets out of what goes wrong. */
  readonly redact: (text: string) => string
  /** Whose X-Forwarded-For is believed; 0: nobody's. */
  readonly trustProxy: string | number
  readonly openRequests: Map<object, string>
}

export interface Serving extends AsyncDisposable {
  readonly url: string
  /** The text of the first admin key, when there were no keys; shown once. */
  readonly firstKey: string | null
}

const hints = {
  api: 'Choose another with --port or SYNC_PORT, or leave the server out with --no-server.',
  metrics: 'Choose another with --metrics-port or SYNC_METRICS_PORT: each worker on a machine needs its own.',
} as const

/** How long open requests have to get their answers. */
const STOP_MS = 2500

/** ADDRESS_IN_USE: somebody listens there already. */
export async function serve(options: ServeOptions): Promise<Serving> {
  const { what, operations, limiter, host, port, version, log, redact, trustProxy, openRequests } = options
  const { buildMetricsServer, buildServer } = await import('../../server/app.ts')
  const metrics = collectMetrics(operations.events, operations.store, limiter)
  const build = what === 'api' ? buildServer : buildMetricsServer
  const app = await build({ operations, version, metrics: () => metrics.read(), log, redact, trustProxy, openRequests })
  await app.listen({ host, port }).catch((error: unknown) => {
    if (!(error instanceof Error && 'code' in error && error.code === 'EADDRINUSE')) throw error
    throw new SyncError('ADDRESS_IN_USE', `port ${port} of ${host} is in use`, {
      hint: hints[what],
    })
  })
  const bound = app.server.address() as AddressInfo
  const { records } = operations.store
  // Where there is no API, nobody needs one yet: the server makes it.
  const firstKey = what === 'api' ? await createFirstKey(records, systemClock.now()) : null
  return {
    url: `http://${bound.family === 'IPv6' ? `[${bound.address}]` : bound.address}:${bound.port}`,
    firstKey,
    [Symbol.asyncDispose]: async () => {
      const late = setTimeout(() => app.server.closeAllConnections(), STOP_MS)
      await app.close()
      clearTimeout(late)
      metrics[Symbol.dispose]()
    },
  }
}
