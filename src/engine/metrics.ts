/** What Prometheus reads: runs, rows, lag, the queue, connections that are left alone, and errors by code. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Store } from '../store/store.ts'
import { systemClock } from './clock.ts'
import type { Events } from './events.ts'

export interface Metrics extends Disposable {
  read(): Promise<{ readonly type: string; readonly text: string }>
}

export function collectMetrics(events: Events, store: Store): Metrics {
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
    help: 'Since the start of the last run that succeeded',
    labelNames: ['sync'],
  })
  const queue = new Gauge({ registers, name: 'syncline_jobs', help: 'Jobs in the queue', labelNames: ['status'] })
  const unhealthy = new Gauge({
    registers,
    name: 'syncline_connection_unhealthy',
    help: '1 while a connection is left alone',
    labelNames: ['connection'],
  })
  const succeededAt = new Map<string, number>()
  const unsubscribe = events.subscribe((event) => {
    if (event.event === 'connection.unhealthy') unhealthy.set({ connection: event.connection }, 1)
    if (event.event === 'connection.healthy') unhealthy.set({ connection: event.connection }, 0)
    if (event.event !== 'run.finished') return
    const { sync, status, durationMs, error } = event
    runs.inc({ sync, status })
    seconds.observe({ sync }, durationMs / 1000)
    for (const what of ['read', 'inserted', 'updated', 'deleted', 'rejected', 'conflicts'] as const)
      rows.inc({ sync, what }, event[what])
    if (error !== undefined) errors.inc({ code: error.code })
    if (status === 'succeeded') succeededAt.set(sync, systemClock.now() - durationMs)
  })
  return {
    read: async () => {
      for (const [status, count] of Object.entries(await store.jobs.count())) queue.set({ status }, count)
      for (const [sync, at] of succeededAt) lag.set({ sync }, Math.max(0, systemClock.now() - at) / 1000)
      return { type: registry.contentType, text: await registry.metrics() }
    },
    [Symbol.dispose]: unsubscribe,
  }
}
