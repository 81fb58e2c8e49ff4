/** Puts the server beside a running service, and ends it with it. */
import type { AddressInfo } from 'node:net'
import { SyncError } from '../core/error.ts'
import type { Log } from '../core/log.ts'
import { systemClock } from '../engine/clock.ts'
import { createFirstKey } from '../engine/keys.ts'
import type { Limiter } from '../engine/limits.ts'
import { collectMetrics } from '../engine/metrics.ts'
import type { Operations } from '../engine/operations.ts'

export interface ServeOptions {
  readonly operations: Operations
  readonly limiter: Limiter
  readonly host: string
  readonly port: number
  readonly version: string
  readonly log: Log
  /** Whose X-Forwarded-For is believed; 0: nobody's. */
  readonly trustProxy: string | number
}

export interface Serving extends AsyncDisposable {
  readonly url: string
  /** The text of the first admin key, when there were no keys; shown once. */
  readonly firstKey: string | null
}

/** How long open requests have to get their answers. */
const STOP_MS = 5000

/** ADDRESS_IN_USE: somebody listens there already. */
export async function serve(options: ServeOptions): Promise<Serving> {
  const { operations, limiter, host, port, version, log, trustProxy } = options
  const { buildServer } = await import('../server/app.ts')
  const metrics = collectMetrics(operations.events, operations.store, limiter)
  const app = await buildServer({ operations, version, metrics: () => metrics.read(), log, trustProxy })
  await app.listen({ host, port }).catch((error: unknown) => {
    if (!(error instanceof Error && 'code' in error && error.code === 'EADDRINUSE')) throw error
    throw new SyncError('ADDRESS_IN_USE', `port ${port} of ${host} is in use`, {
      hint: 'Choose another with --port or SYNC_PORT, or leave the server out with --no-server.',
    })
  })
  const bound = app.server.address() as AddressInfo
  const { records } = operations.store
  const firstKey = await createFirstKey(records, systemClock.now())
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
