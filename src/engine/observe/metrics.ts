/** What Prometheus reads: runs, rows, lag, the queue, connections that are left alone, and errors by code. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Store } from '../../store/store.ts'
import { isOpen } from '../calls/circuit-breaker.ts'
import type { Limiter } from '../calls/rate-limiter.ts'
import { systemClock } from '../clock.ts'
import type { Events } from './events.ts'

/** Of so many the lag is told. */
const MOST_SYNCS = 10_000

export interface Metrics extends Disposable {
  read(): Promise<{ readonly type: string; readonly text: string }>
}

export function collectMetrics(events: Events, store: Store, limiter: Pick<Limiter, 'onWait' | 'states'>): Metrics {
  const registry = new Registry()
  const registers = [registry]
  const runs = new Counter({
    registers,
    name: 'syncline_runs_total',
    help: 'Runs that have ended',
    labelNames: ['sync', 'status'],
  })
  const rows = new Counter({
    registers,
    name: 'syncline_rows_total',
    help: 'Rows dealt with',
    labelNames: ['sync', 'what'],
  })
  const errors = new Counter({
    registers,
    name: 'syncline_errors_total',
    help: 'Runs that failed, by code',
    labelNames: ['code'],
  })
  const seconds = new Histogram({
    registers,
    name: 'syncline_run_seconds',
    help: 'How long runs took',
    labelNames: ['sync'],
    buckets: [0.01, 0.1, 1, 10, 60, 600, 3600],
  })
  const lag = new Gauge({
    registers,
    name: 'syncline_lag_seconds',
    help: 'Since the start of the last run that succeeded, in whatever process',
    labelNames: ['sync'],
  })
  const delay = new Histogram({
    registers,
    name: 'syncline_start_delay_seconds',
    help: 'From when a job was due until it was started',
    buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 30, 300],
  })
  const waits = new Histogram({
    registers,
    name: 'syncline_limiter_wait_seconds',
    help: 'How long calls waited for the limits of their connection; those that did not wait are not counted',
    labelNames: ['connection'],
    buckets: [0.01, 0.1, 0.5, 1, 5, 30, 60, 600],
  })
  const waiting = new Gauge({
    registers,
    name: 'syncline_limiter_waiting',
    help: 'Calls that wait for the limits of their connection now',
    labelNames: ['connection'],
  })
  const queue = new Gauge({ registers, name: 'syncline_jobs', help: 'Jobs in the queue', labelNames: ['status'] })
  const unhealthy = new Gauge({
    registers,
    name: 'syncline_connection_unhealthy',
    help: '1 while a connection is left alone',
    labelNames: ['connection'],
  })
  const unsubscribe = events.subscribe((event) => {
    if (event.event === 'connection.unhealthy') unhealthy.set({ connection: event.connection }, 1)
    if (event.event === 'connection.healthy') unhealthy.set({ connection: event.connection }, 0)
    if (event.event === 'sync.starting')
      delay.observe(Math.max(0, systemClock.now() - Math.max(event.job.dueAt, event.job.queuedAt)) / 1000)
    if (event.event !== 'run.finished') return
    const { sync, status, durationMs, error } = event
    runs.inc({ sync, status })
    seconds.observe({ sync }, durationMs / 1000)
    for (const what of ['read', 'inserted', 'updated', 'deleted', 'rejected', 'conflicts'] as const)
      rows.inc({ sync, what }, event[what])
    if (error !== undefined && status !== 'interrupted') errors.inc({ code: error.code })
  })
  const unlisten = limiter.onWait((connection, ms) => waits.observe({ connection }, ms / 1000))
  return {
    read: async () => {
      for (const [status, count] of Object.entries(await store.jobs.count())) queue.set({ status }, count)
      // A sync that was taken away has no lag any more.
      lag.reset()
      const scheduled = new Set((await store.schedules.list({})).map(({ sync }) => sync))
      for (const { sync, startedAt } of await store.runs.list({ status: 'succeeded', latest: true, limit: MOST_SYNCS }))
        if (scheduled.has(sync)) lag.set({ sync }, Math.max(0, systemClock.now() - startedAt) / 1000)
      // Nor has a connection a line that is used no more.
      waiting.reset()
      for (const { connection, waiting: calls } of limiter.states()) waiting.set({ connection }, calls)
      // On a store that processes share another one may have told that it answers again.
      const circuits = await store.circuits?.list()
      if (circuits !== undefined) unhealthy.reset()
      for (const circuit of circuits ?? []) if (isOpen(circuit)) unhealthy.set({ connection: circuit.connection }, 1)
      return { type: registry.contentType, text: await registry.metrics() }
    },
    [Symbol.dispose]: () => {
      unsubscribe()
      unlisten()
    },
  }
}
