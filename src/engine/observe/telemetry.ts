/**
 * Traces and logs by OTLP: a span per run, with its attempts and batches below it, and the lines of the log. What is on its way waits
 * in a bounded queue; a collector that does not answer costs what waits for it, never a run. Loaded where a collector is named only.
 */
import { Agent } from 'node:http'
import { Agent as SecureAgent } from 'node:https'
import { ROOT_CONTEXT, SeverityNumber, type Span, SpanStatusCode, type Tracer, trace } from '@opentelemetry/api'
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-http'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs'
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import type { EngineEvent } from '../../core/event.ts'
import type { Log } from '../../core/log.ts'
import type { Failure, RunEvent } from '../../core/run.ts'
import { redact, redactAll } from '../secrets/redact.ts'
import { type LogLevel, lineOf } from './log-lines.ts'

export interface TelemetryOptions {
  /** Of the collector, without `/v1/traces`. */
  readonly url: string
  readonly version: string
  /** This process's name among all that share the store. */
  readonly instance: string
  /** Lines below it are not sent. */
  readonly level: LogLevel | 'silent'
  /** What must not be sent, as it is known now. */
  readonly secrets: () => readonly string[]
  /** Told when the collector does not take what is sent, and when it does again. */
  readonly onTrouble: (message: string) => void
}

export interface Telemetry extends AsyncDisposable {
  event(event: EngineEvent): void
  readonly log: Log
}

/** One request to the collector. */
const EXPORT_MS = 3000
/** What is still on its way at the end is waited for so long. */
const FLUSH_MS = 2000

const severities = {
  trace: SeverityNumber.TRACE,
  debug: SeverityNumber.DEBUG,
  info: SeverityNumber.INFO,
  warn: SeverityNumber.WARN,
  error: SeverityNumber.ERROR,
} as const satisfies Record<LogLevel, SeverityNumber>

export function openTelemetry(options: TelemetryOptions): Telemetry {
  const { url, version, instance, level, secrets, onTrouble } = options
  const base = url.replace(/\/+$/, '')
  const resource = resourceFromAttributes({
    'service.name': 'syncline',
    'service.version': version,
    'service.instance.id': instance,
  })
  const reach = new Reach(onTrouble)
  const agents = new Set<Agent>()
  const newAgent = (protocol: string) => {
    const agent = protocol.startsWith('https') ? new SecureAgent() : new Agent()
    agents.add(agent)
    return agent
  }
  const common = { timeoutMillis: EXPORT_MS, httpAgentOptions: newAgent }
  const traces = new TracerProvider({
    resource,
    spanProcessors: [
      new BatchSpanProcessor({
        exporter: reach.watch(new OTLPTraceExporter({ ...common, url: `${base}/v1/traces` })),
        exportTimeoutMillis: EXPORT_MS,
      }),
    ],
  })
  const logs = new LoggerProvider({
    resource,
    processors: [
      new BatchLogRecordProcessor({
        exporter: reach.watch(new OTLPLogExporter({ ...common, url: `${base}/v1/logs` })),
        exportTimeoutMillis: EXPORT_MS,
      }),
    ],
  })
  const spans = new RunSpans(traces.getTracer('syncline', version), (text) => redact(text, secrets()))
  const logger = logs.getLogger('syncline', version)
  const write = (severity: LogLevel, message: string, fields: Readonly<Record<string, unknown>>, span?: Span) => {
    if (level === 'silent' || severities[severity] < severities[level]) return
    logger.emit({
      severityNumber: severities[severity],
      severityText: severity,
      body: redact(message, secrets()),
      attributes: textsOf(redactAll(fields, secrets())),
      ...(span === undefined ? {} : { context: trace.setSpan(ROOT_CONTEXT, span) }),
    })
  }
  return {
    event: (event) => {
      const span = spans.note(event)
      const line = lineOf(event)
      write(line.level, line.message, line.fields, span)
    },
    log: (message, severity = 'info') => write(severity, message, {}),
    [Symbol.asyncDispose]: async () => {
      spans.endAll()
      let deadline: NodeJS.Timeout | undefined
      const late = new Promise<void>((resolve) => {
        deadline = setTimeout(resolve, FLUSH_MS)
      })
      const flushed = Promise.allSettled([traces.shutdown(), logs.shutdown()]).then(() => {})
      await Promise.race([flushed, late])
      clearTimeout(deadline)
      // A request that is still open would keep the process.
      for (const agent of agents) agent.destroy()
    },
  }
}

interface RunSpan {
  readonly run: Span
  attempt: Span
  batch: Span | null
}

/** The spans of runs under way, by sync: of each there is one. */
class RunSpans {
  readonly #tracer: Tracer
  readonly #clean: (text: string) => string
  readonly #open = new Map<string, RunSpan>()
  /** Of runs whose job has not ended: what is told after a run's end belongs to it. */
  readonly #ended = new Map<string, Span>()

  constructor(tracer: Tracer, clean: (text: string) => string) {
    this.#tracer = tracer
    this.#clean = clean
  }

  /** The span that an event belongs to. */
  note(event: EngineEvent): Span | undefined {
    if (event.event === 'run.started') return this.#begin(event.sync, event.run)
    const open = 'sync' in event ? this.#open.get(event.sync) : undefined
    if (open === undefined) return this.#endedOf(event)
    switch (event.event) {
      case 'sync.started':
        open.run.setAttribute('syncline.job', event.job)
        break
      case 'batch.applying':
        open.batch = this.#child(open.attempt, 'batch', Date.now()).setAttribute('syncline.batch', event.batch)
        break
      case 'batch.applied':
        for (const name of ['inserted', 'updated', 'deleted'] as const)
          open.batch?.setAttribute(`syncline.${name}`, event[name])
        open.batch?.end()
        open.batch = null
        break
      case 'run.retrying':
        this.#endAttempt(open, event.error)
        open.attempt = this.#child(open.run, 'attempt', Date.now() + event.waitMs)
        open.attempt.setAttribute('syncline.attempt', event.attempt + 1)
        break
      case 'run.finished':
        this.#finish(open, event)
    }
    return open.run
  }

  endAll(): void {
    for (const open of this.#open.values()) this.#end(open, null)
    this.#open.clear()
  }

  #endedOf(event: EngineEvent): Span | undefined {
    if (!('sync' in event)) return undefined
    const span = this.#ended.get(event.sync)
    if (event.event === 'job.ended') this.#ended.delete(event.sync)
    return span
  }

  #begin(sync: string, run: string): Span {
    const before = this.#open.get(sync)
    if (before !== undefined) this.#end(before, null)
    const span = this.#tracer.startSpan('run', {
      root: true,
      attributes: { 'syncline.sync': sync, 'syncline.run': run },
    })
    const attempt = this.#child(span, 'attempt', Date.now()).setAttribute('syncline.attempt', 1)
    this.#open.set(sync, { run: span, attempt, batch: null })
    return span
  }

  #finish(open: RunSpan, { sync, status, error, ...event }: Extract<RunEvent, { event: 'run.finished' }>): void {
    open.run.setAttribute('syncline.status', status)
    for (const name of ['read', 'inserted', 'updated', 'deleted', 'rejected', 'conflicts'] as const)
      open.run.setAttribute(`syncline.${name}`, event[name])
    this.#end(open, status === 'interrupted' ? null : (error ?? null))
    this.#open.delete(sync)
    this.#ended.set(sync, open.run)
  }

  #end(open: RunSpan, error: Failure | null): void {
    this.#endAttempt(open, error)
    this.#fail(open.run, error)
    open.run.end()
  }

  /** A batch that is still open was not committed. */
  #endAttempt(open: RunSpan, error: Failure | null): void {
    open.batch?.setStatus({ code: SpanStatusCode.ERROR, message: 'not committed' })
    open.batch?.end()
    open.batch = null
    this.#fail(open.attempt, error)
    open.attempt.end()
  }

  #fail(span: Span, error: Failure | null): void {
    if (error === null) return
    span.setAttribute('error.type', error.code)
    span.setStatus({ code: SpanStatusCode.ERROR, message: this.#clean(error.message) })
  }

  #child(parent: Span, name: string, startTime: number): Span {
    return this.#tracer.startSpan(name, { startTime }, trace.setSpan(ROOT_CONTEXT, parent))
  }
}

interface Exporter<Item> {
  export(items: Item[], done: (result: { code: number; error?: Error }) => void): void
  shutdown(): Promise<void>
  forceFlush?(): Promise<void>
}

/** Says when the collector can't be reached, once, and when it can again. */
class Reach {
  readonly #tell: (message: string) => void
  #lost = false

  constructor(tell: (message: string) => void) {
    this.#tell = tell
  }

  watch<Item>(exporter: Exporter<Item>): Exporter<Item> & { forceFlush(): Promise<void> } {
    return {
      export: (items, done) =>
        exporter.export(items, (result) => {
          this.#note(result.code !== 0)
          done(result)
        }),
      shutdown: () => exporter.shutdown(),
      forceFlush: async () => exporter.forceFlush?.(),
    }
  }

  #note(lost: boolean): void {
    if (lost === this.#lost) return
    this.#lost = lost
    this.#tell(
      lost
        ? 'MONITORING_URL does not take traces and logs; what does not fit its queue is lost'
        : 'MONITORING_URL takes traces and logs again',
    )
  }
}

/** Attributes of a line: what has parts, as JSON. */
function textsOf(fields: unknown): Record<string, string | number | boolean> {
  const flat: Record<string, string | number | boolean> = {}
  for (const [name, value] of Object.entries(fields ?? {})) {
    if (value === null || value === undefined) continue
    flat[name] =
      typeof value === 'number' || typeof value === 'boolean'
        ? value
        : typeof value === 'string'
          ? value
          : JSON.stringify(value)
  }
  return flat
}
