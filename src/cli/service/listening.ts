/** Options of the commands that serve the API: where it listens, and whom it believes. */
import { isIP } from 'node:net'
import { type Command, InvalidArgumentError } from 'commander'
import { SyncError } from '../../core/error.ts'
import type { Environment } from '../project/open-vault.ts'

export interface ListenOptions {
  readonly host: string
  readonly port?: number
  readonly trustProxy?: string | number
}

export interface MetricsOptions extends Pick<ListenOptions, 'host' | 'trustProxy'> {
  readonly metricsPort?: number
}

export function addListenOptions(command: Command): Command {
  return addReachOptions(
    command.option('--port <number>', 'where the API listens (default: SYNC_PORT, else 3023)', port),
  )
}

export function addMetricsOptions(command: Command): Command {
  return addReachOptions(
    command.option(
      '--metrics-port <number>',
      'where GET /metrics and /api/health are answered (default: SYNC_METRICS_PORT, else nowhere)',
      port,
    ),
  )
}

function addReachOptions(command: Command): Command {
  return command
    .option('--host <address>', 'who can reach it: the loopback address is this machine only', '127.0.0.1')
    .option(
      '--trust-proxy <proxies>',
      'whose X-Forwarded-For is believed: addresses and ranges, `loopback`, or how many proxies there are (default: SYNCLINE_TRUST_PROXY, else nobody’s)',
      proxies,
    )
}

/** What the options leave open, the environment says. */
export function listening({ host, ...options }: ListenOptions, environment: Environment): Required<ListenOptions> {
  const { SYNC_PORT: written = '' } = environment
  return {
    host,
    port: options.port ?? variable('SYNC_PORT', written, port) ?? 3023,
    trustProxy: trusted(options, environment),
  }
}

/** Null: nobody asked for metrics. */
export function metricsListening(options: MetricsOptions, environment: Environment): Required<ListenOptions> | null {
  const { SYNC_METRICS_PORT: written = '' } = environment
  const chosen = options.metricsPort ?? variable('SYNC_METRICS_PORT', written, port)
  return chosen === null ? null : { host: options.host, port: chosen, trustProxy: trusted(options, environment) }
}

function trusted(options: Pick<ListenOptions, 'trustProxy'>, environment: Environment): string | number {
  const { SYNCLINE_TRUST_PROXY: written = '' } = environment
  return options.trustProxy ?? variable('SYNCLINE_TRUST_PROXY', written, proxies) ?? 0
}

/** Null: it is not set. USAGE_INVALID: it is, and can't be read. */
function variable<Value>(name: string, written: string, read: (text: string) => Value): Value | null {
  if (written === '') return null
  try {
    return read(written)
  } catch (error) {
    throw new SyncError('USAGE_INVALID', `${name}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

function port(text: string): number {
  const number = Number(text)
  if (/^\d{1,5}$/.test(text) && number <= 65_535) return number
  throw new InvalidArgumentError('a port is a number up to 65535')
}

const groups = ['loopback', 'linklocal', 'uniquelocal']

/** Not `true`: then whoever calls could say who they are. */
function proxies(text: string): string | number {
  if (/^\d{1,2}$/.test(text)) return Number(text)
  const parts = text.split(',').map((part) => part.trim())
  if (parts.every((part) => groups.includes(part) || isRange(part))) return parts.join(',')
  throw new InvalidArgumentError('give addresses or ranges (10.0.0.0/8, ::1, loopback) with commas, or a number')
}

function isRange(text: string): boolean {
  const [address = '', prefix = '', ...rest] = text.split('/')
  const version = isIP(address)
  if (version === 0 || rest.length > 0) return false
  return !text.includes('/') || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (version === 4 ? 32 : 128))
}
