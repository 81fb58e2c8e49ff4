/** Puts the server beside a running service, and ends it with it. */
import type { AddressInfo } from 'node:net'
import { SyncError } from '../core/error.ts'
import { systemClock } from '../engine/clock.ts'
import { createKey, listKeys } from '../engine/keys.ts'
import type { Limiter } from '../engine/limits.ts'
import { collectMetrics } from '../engine/metrics.ts'
import type { Operations } from '../engine/operations.ts'

export interface ServeOptions {
  readonly operations: Operations
  readonly limiter: Limiter
  readonly host: string
  readonly port: number
  readonly version: string
  readonly log: (message: string) => void
}

export interface Serving extends AsyncDisposable {
  readonly url: string
  /** The text of the first admin key, when there were no keys; shown once. */
  readonly firstKey: string | null
}

/** How long open requests have to get their answers. */
const STOP_MS = 5000

/** ADDRESS_IN_USE: somebody listens there already. */
export async function serve({ operations, limiter, host, port, version, log }: ServeOptions): Promise<Serving> {
  const { buildServer } = await import('../server/app.ts')
  const metrics = collectMetrics(operations.events, operations.store, limiter)
  const app = await buildServer({ operations, version, metrics: () => metrics.read(), log })
  await app.listen({ host, port }).catch((error: unknown) => {
    if (!(error instanceof Error && 'code' in error && error.code === 'EADDRINUSE')) throw error
    throw new SyncError('ADDRESS_IN_USE', `port ${port} of ${host} is in use`, {
      hint: 'Choose another with --port or SYNC_PORT, or leave the server out with --no-server.',
    })
  })
  const bound = app.server.address() as AddressInfo
  const { records } = operations.store
  const first = (await listKeys(records)).length === 0
  const made = first
    ? await createKey(records, { name: 'first', scope: 'admin', project: null }, systemClock.now())
    : null
  return {
    url: `http://${bound.family === 'IPv6' ? `[${bound.address}]` : bound.address}:${bound.port}`,
    firstKey: made?.text ?? null,
    [Symbol.asyncDispose]: async () => {
      const late = setTimeout(() => app.server.closeAllConnections(), STOP_MS)
      await app.close()
      clearTimeout(late)
      metrics[Symbol.dispose]()
    },
  }
}
