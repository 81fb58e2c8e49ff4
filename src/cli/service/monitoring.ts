/** What the service tells a collector, if MONITORING_URL names one. */
import { hostname } from 'node:os'
import { SyncError } from '../../core/error.ts'
import type { Log } from '../../core/log.ts'
import type { Telemetry } from '../../engine/observe/telemetry.ts'
import { type Shell, secretsOf } from '../terminal/shell.ts'
import { version } from '../version.ts'
import { logLevel } from './service-log.ts'

/** Null: there is none. CONFIG_INVALID: it is no URL. `log`: told when it can't be reached. */
export async function openMonitoring(shell: Shell, log: Log): Promise<Telemetry | null> {
  const url = shell.environment.MONITORING_URL ?? ''
  if (url === '') return null
  if (!/^https?:\/\//.test(url) || !URL.canParse(url)) {
    throw new SyncError('CONFIG_INVALID', 'MONITORING_URL is no http:// or https:// URL', {
      hint: 'It is where a collector takes OTLP over HTTP: http://collector:4318',
    })
  }
  const { openTelemetry } = await import('../../engine/observe/telemetry.ts')
  return openTelemetry({
    url,
    version: version(),
    instance: `${hostname()}:${process.pid}`,
    level: logLevel(shell),
    secrets: () => secretsOf(shell),
    onTrouble: log,
  })
}
