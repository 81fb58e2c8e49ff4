/** `syncline start`: the engine that runs by itself, until Ctrl-C. */
import { basename } from 'node:path'
import { type Command, InvalidArgumentError } from 'commander'
import type { EngineEvent } from '../../core/event.ts'
import type { Log } from '../../core/log.ts'
import { systemClock } from '../../engine/clock.ts'
import { Events } from '../../engine/observe/events.ts'
import { StallWatch } from '../../engine/observe/stall-watch.ts'
import { collectAfterStart } from '../project/memory.ts'
import { openProject } from '../project/open-project.ts'
import { watchConfig } from '../service/config-watch.ts'
import {
  addListenOptions,
  type ListenOptions,
  listening,
  type MetricsOptions,
  metricsListening,
} from '../service/listening.ts'
import { openMonitoring } from '../service/monitoring.ts'
import { RunningProject } from '../service/running-project.ts'
import { type Serving, serve } from '../service/serve.ts'
import { type LogFormat, logFormat, openServiceLog } from '../service/service-log.ts'
import { exitCodeOfError, exitCodes } from '../terminal/exit-code.ts'
import { counted, duration } from '../terminal/format.ts'
import { endInTime, endProcess, listenForInterrupts } from '../terminal/interrupt.ts'
import { jsonLine } from '../terminal/json.ts'
import { runReporter } from '../terminal/run-reporter.ts'
import { type Shell, showError, withoutSecrets } from '../terminal/shell.ts'
import { version } from '../version.ts'
import type { Execute } from './command.ts'

export const LOG_FORMAT =
  'text, or json: a line each (default: SYNCLINE_LOG_FORMAT, else json unless stderr is a terminal)'

/** Between two looks for new collections that patterns match. */
const LOOK_MS = 30_000

/** `metricsPort`: where there is no API, it may be asked for metrics all the same. */
export interface StartOptions extends ListenOptions, MetricsOptions {
  readonly concurrency: number
  readonly watchConfig: boolean
  readonly server: boolean
  /** Whether this process schedules and runs syncs. */
  readonly works: boolean
  readonly logFormat?: LogFormat
}

export function addStart(program: Command, execute: Execute): void {
  const command = program.command('start').description('run the syncs by their schedules until Ctrl-C')
  addListenOptions(command)
    .option('--concurrency <number>', 'how many syncs run at a time', positive, 4)
    .option('--log-format <format>', LOG_FORMAT, logFormat)
    .option('--no-server', 'without the API')
    .option('--no-watch-config', 'do not take up changes of the config file')
    .addHelpText(
      'after',
      `
Each sync runs by its \`schedule\` (or \`every\`): an interval, a cron expression with its time zone, after another sync,
or all the time, which is the default. What is due, queued or interrupted is in the project's state: a restart goes on
with it, and what was missed meanwhile runs once. Changes of the config file are taken up as they are saved.
The API (GET /docs describes it) needs keys; the first one is made and printed at the first start.
Beside it, \`syncline jobs\`, \`trigger\`, \`pause\`, \`resume\`, \`cancel\` and \`release\` show and steer it.`,
    )
    .action((options: Omit<StartOptions, 'works'>) => execute((shell) => work(shell, { ...options, works: true })))
}

/** Runs the syncs by their schedules, serves the API, or both, until Ctrl-C; then the process ends, whatever functions of the config still wait for. */
export async function work(shell: Shell, options: StartOptions): Promise<never> {
  const failed = (error: unknown) => exitCodeOfError(showError(shell, error))
  return await endProcess(await workUntilInterrupted(shell, options).catch(failed))
}

async function workUntilInterrupted(shell: Shell, options: StartOptions): Promise<number> {
  const lines = await openServiceLog(shell, options.logFormat)
  using interrupts = listenForInterrupts(lines?.terminal ?? shell.terminal)
  const { signal } = interrupts
  // What has a line of its own in the log is not said twice.
  const reporter = runReporter(shell, { onlyNews: true, ...(lines === null ? {} : { log: () => {}, progress: false }) })
  using _deadline = endInTime(signal, lines?.log ?? reporter.log)
  await using monitoring = await openMonitoring(shell, lines?.log ?? reporter.log)
  const clean = (text: string) => withoutSecrets(text, shell)
  const log: Log = (message, severity) => {
    const text = clean(message)
    ;(lines?.log ?? reporter.log)(text, severity)
    monitoring?.log(text, severity)
  }
  await using opened = await openProject(shell, { readOnly: false, log })
  await using _lock = await opened.project.store.lock()
  const events = new Events(log)
  for (const listener of [lines, monitoring]) if (listener !== null) events.subscribe(listener.event)
  events.subscribe((event) => tell(shell, event, reporter))
  const running = new RunningProject({ shell, opened, events, signal, concurrency: options.concurrency, log })
  await using _told = running.sharedEvents
  await using _tokens = running.connected
  const count = await running.begin()
  const { operations } = running
  shell.secretSources?.add(() => operations.connected.secrets)
  const what = options.server ? 'api' : 'metrics'
  const where = options.server ? listening(options, shell.environment) : metricsListening(options, shell.environment)
  const openRequests = new Map<object, string>()
  await using serving =
    where === null
      ? null
      : await serve({
          ...where,
          what,
          operations,
          limiter: opened.limiter,
          version: version(),
          log,
          redact: clean,
          openRequests,
        })
  ready(shell, options.works ? count : null, what, serving)
  collectAfterStart()
  const { path } = running.config
  using _watch = watchConfig(options.watchConfig ? path : null, async () => {
    try {
      log(`${path} has changed: ${counted(await running.reload(), 'sync')}`)
      const what = { what: 'file', name: basename(path), project: null, key: null } as const
      events.emit({ event: 'config.changed', change: 'changed', ...what })
    } catch (error) {
      log(`the changed config is not taken up: ${error instanceof Error ? error.message : String(error)}`, 'warn')
    }
  })
  const goingOn = () => [...running.service.running.map((sync) => `sync ${sync}`), ...openRequests.values()]
  await Promise.all([
    new StallWatch({ log, running: goingOn }).run(signal),
    options.works ? running.service.run(signal) : null,
    running.webhooks.run(signal),
    look(() => running.look(), signal),
  ])
  return exitCodes.fine
}

/** `syncs`: how many this process runs; null: it runs none. */
function ready(
  { terminal, json }: Shell,
  syncs: number | null,
  what: 'api' | 'metrics',
  serving: Serving | null,
): void {
  const { firstKey = null } = serving ?? {}
  const url = what === 'api' ? (serving?.url ?? null) : null
  const metrics = what === 'metrics' && serving !== null ? { metrics: `${serving.url}/metrics` } : {}
  if (json) terminal.out(jsonLine({ event: 'ready', syncs, pid: process.pid, url, ...metrics }))
  else {
    terminal.out(
      syncs === null ? 'Ctrl-C ends it.' : `Running ${counted(syncs, 'sync')} by their schedules. Ctrl-C ends it.`,
    )
    if (url !== null) terminal.out(`The API is at ${url} (${url}/docs describes it).`)
    if (metrics.metrics !== undefined) terminal.out(`Metrics are at ${metrics.metrics}.`)
  }
  // On stderr, so that it does not end up in the logs of what reads the events.
  if (firstKey !== null)
    terminal.err(`The first admin key, shown this once: ${firstKey}\n\`syncline keys\` makes and takes away others.\n`)
}

/** Looks now and then which collections patterns match. */
async function look(refresh: () => Promise<unknown>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await systemClock.sleep(LOOK_MS, signal).catch(() => {})
    if (!signal.aborted) await refresh().catch(() => {})
  }
}

function tell(shell: Shell, event: EngineEvent, reporter: ReturnType<typeof runReporter>): void {
  switch (event.event) {
    case 'run.started':
    case 'run.progress':
    case 'run.schema':
    case 'run.retrying':
    case 'run.finished':
      reporter.emit(event)
      return
  }
  if (shell.json) shell.terminal.out(jsonLine({ ...event }))
  if (event.event === 'sync.failing') reporter.log(`${event.sync} failed ${event.failures} times in a row`)
  if (event.event === 'sync.recovered') reporter.log(`${event.sync} works again`)
  if (event.event === 'connection.unhealthy')
    reporter.log(
      `connection ${event.connection} does not answer: left alone for ${duration(event.until - systemClock.now())}`,
    )
  if (event.event === 'connection.healthy') reporter.log(`connection ${event.connection} answers again`)
}

export function positive(text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('a positive number is needed')
}
