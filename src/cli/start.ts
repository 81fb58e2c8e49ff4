/** `syncline start`: the engine that runs by itself, until Ctrl-C. */
import { hostname } from 'node:os'
import { type Command, InvalidArgumentError } from 'commander'
import { ConfigDefinitions } from '../config/definitions.ts'
import { type Expansion, expandSyncs } from '../config/expand.ts'
import type { EngineEvent } from '../core/event.ts'
import { systemClock } from '../engine/clock.ts'
import { ConnectionPool } from '../engine/connection-pool.ts'
import { Events } from '../engine/events.ts'
import { madeSyncs } from '../engine/made-syncs.ts'
import { projectOf } from '../engine/operations.ts'
import { Service } from '../engine/service.ts'
import type { OwnedProject } from '../engine/slots.ts'
import { Webhooks } from '../engine/webhooks.ts'
import { watchConfig } from './config-watch.ts'
import { exitCodes } from './exit-code.ts'
import { counted, duration } from './format.ts'
import { listenForInterrupts } from './interrupt.ts'
import { jsonLine } from './json.ts'
import { type Execute, version } from './main.ts'
import { openMonitoring } from './monitoring.ts'
import { type OpenProject, openProject, readConfig } from './open-project.ts'
import { openVault } from './open-vault.ts'
import { openOperations } from './operations.ts'
import { runReporter } from './run-reporter.ts'
import { type Serving, serve } from './serve.ts'
import { type LogFormat, logFormat, openServiceLog } from './service-log.ts'
import type { Shell } from './shell.ts'

export const LOG_FORMAT =
  'text, or json: a line each (default: SYNCLINE_LOG_FORMAT, else json unless stderr is a terminal)'

/** Between two looks for new collections that patterns match. */
const LOOK_MS = 30_000

export interface StartOptions {
  readonly concurrency: number
  readonly watchConfig: boolean
  readonly server: boolean
  readonly host: string
  readonly port?: number
  readonly logFormat?: LogFormat
}

export function addStart(program: Command, execute: Execute): void {
  program
    .command('start')
    .description('run the syncs by their schedules until Ctrl-C')
    .option('--concurrency <number>', 'how many syncs run at a time', positive, 4)
    .option('--port <number>', 'where the API listens (default: SYNC_PORT, else 3023)', port)
    .option('--host <address>', 'who can reach it: the loopback address is this machine only', '127.0.0.1')
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
    .action((options: StartOptions) => execute((shell) => work(shell, options)))
}

/** Runs the syncs by their schedules until Ctrl-C. */
export async function work(shell: Shell, options: StartOptions): Promise<number> {
  const lines = await openServiceLog(shell, options.logFormat)
  using interrupts = listenForInterrupts(lines?.terminal ?? shell.terminal)
  const { signal } = interrupts
  // What has a line of its own in the log is not said twice.
  const reporter = runReporter(shell, { onlyNews: true, ...(lines === null ? {} : { log: () => {} }) })
  await using monitoring = await openMonitoring(shell, lines?.log ?? reporter.log)
  const log = (message: string) => {
    ;(lines?.log ?? reporter.log)(message)
    monitoring?.log(message)
  }
  await using opened = await openProject(shell, { readOnly: false, log })
  await using _lock = await opened.project.store.lock()
  const events = new Events(log)
  for (const listener of [lines, monitoring]) if (listener !== null) events.subscribe(listener.event)
  events.subscribe((event) => tell(shell, event, reporter))
  const current = { config: opened.config }
  const discover = async (name: string) => {
    await using project = ownedProject(opened, current.config)
    return await (await project.connection(name)).discover()
  }
  const definitions = new ConfigDefinitions(current.config, discover)
  const service = new Service({
    store: opened.project.store,
    clock: systemClock,
    random: Math.random,
    definitions,
    makeProject: (signal) => ownedProject(opened, current.config, signal),
    keepProjects: true,
    worker: `${hostname()}:${process.pid}`,
    concurrency: options.concurrency,
    events,
    log,
  })
  const told = new Map<string, string>()
  const refresh = async (expand: () => Promise<Expansion>) => {
    const { syncs, failures } = await expand()
    const { setAside } = current.config
    if (setAside !== null && told.get('') !== setAside.message)
      log(`the syncs made by the API are set aside: ${setAside.message}`)
    for (const { name, error } of failures) if (told.get(name) !== error.message) log(`${name}: ${error.message}`)
    told.clear()
    for (const { name, error } of failures) told.set(name, error.message)
    if (setAside !== null) told.set('', setAside.message)
    const aside = setAside === null ? [] : (await madeSyncs(opened.project.store.records)).map(({ name }) => name)
    await service.schedule(syncs, [...failures.map(({ name }) => name), ...aside])
    return syncs.length
  }
  const count = await refresh(() => definitions.refresh())
  const reload = async () => {
    const config = await readConfig(shell, true)
    current.config = config
    await service.renew()
    return await refresh(() => definitions.replace(config))
  }
  const { store } = opened.project
  const webhooks = new Webhooks({
    ...{ records: store.records, events, clock: systemClock, random: Math.random, log },
    vault: openVault(store, opened.config.folder, shell.environment),
    projectOf: (event) => projectOf(event, operations),
  })
  const operations = await openOperations({
    ...{ store, service, events, definitions, webhooks },
    config: () => current.config,
    makeProject: () => ownedProject(opened, current.config),
    reload: async () => void (await reload()),
    tryMade: async (made) => {
      const config = await readConfig(shell, true, made)
      if (config.setAside !== null) throw config.setAside
      return (await expandSyncs(config, [], discover)).syncs
    },
  })
  const port = options.port ?? portOf(shell.environment)
  await using serving = options.server
    ? await serve({
        operations,
        limiter: opened.limiter,
        host: options.host,
        port,
        version: version(),
        log,
      })
    : null
  ready(shell, count, serving)
  using _watch = watchConfig(options.watchConfig ? current.config.path : null, async () => {
    try {
      log(`${current.config.path} has changed: ${counted(await reload(), 'sync')}`)
    } catch (error) {
      log(`the changed config is not taken up: ${error instanceof Error ? error.message : String(error)}`)
    }
  })
  await Promise.all([
    service.run(signal),
    webhooks.run(signal),
    look(() => refresh(() => definitions.refresh()), signal),
  ])
  return exitCodes.fine
}

function ready({ terminal, json }: Shell, syncs: number, serving: Serving | null): void {
  const { url = null, firstKey = null } = serving ?? {}
  if (json) terminal.out(jsonLine({ event: 'ready', syncs, pid: process.pid, url }))
  else {
    terminal.out(`Running ${counted(syncs, 'sync')} by their schedules. Ctrl-C ends it.`)
    if (url !== null) terminal.out(`The API is at ${url} (${url}/docs describes it).`)
  }
  // On stderr, so that it does not end up in the logs of what reads the events.
  if (firstKey !== null)
    terminal.err(`The first admin key, shown this once: ${firstKey}\n\`syncline keys\` makes and takes away others.\n`)
}

function portOf({ SYNC_PORT: written }: Shell['environment']): number {
  return written === undefined || written === '' ? 3023 : port(written)
}

/** Looks now and then which collections patterns match. */
async function look(refresh: () => Promise<unknown>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await systemClock.sleep(LOOK_MS, signal).catch(() => {})
    if (!signal.aborted) await refresh().catch(() => {})
  }
}

/** A project with connections of its own, for one run at a time. */
function ownedProject(
  { project, limiter }: OpenProject,
  config: OpenProject['config'],
  signal?: AbortSignal,
): OwnedProject {
  const context = signal === undefined ? project.context : { ...project.context, signal }
  const pool = new ConnectionPool(config.connections, context, limiter)
  return {
    ...project,
    unreachable: new Set(),
    connection: (name) => pool.get(name),
    reconnect: (name) => pool.close(name),
    [Symbol.asyncDispose]: () => pool[Symbol.asyncDispose](),
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

function port(text: string): number {
  const number = Number(text)
  if (/^\d{1,5}$/.test(text) && number <= 65_535) return number
  throw new InvalidArgumentError('a port is a number up to 65535')
}

export function positive(text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('a positive number is needed')
}
