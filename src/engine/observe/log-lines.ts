/** What happens, as lines of a log: how much each matters, a sentence, and fields to search by. Without values of rows. */
import type { EngineEvent } from '../../core/event.ts'

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error'

export interface LogLine {
  readonly level: LogLevel
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
}

export function lineOf(event: EngineEvent): LogLine {
  const { event: name, ...fields } = event
  // Of a job the line needs no more than its name.
  const about = event.event === 'sync.starting' ? { sync: event.sync, job: event.job.id } : fields
  return { level: levelOf(event), message: messageOf(event), fields: { event: name, ...about } }
}

function levelOf(event: EngineEvent): LogLevel {
  switch (event.event) {
    case 'run.progress':
    case 'batch.applying':
    case 'batch.applied':
      return 'trace'
    case 'run.finished':
      // Most runs of most syncs find nothing to do; those that fail have a line of their own.
      return event.inserted + event.updated + event.deleted > 0 ? 'info' : 'debug'
    case 'schema.changed':
      return event.applied ? 'info' : 'warn'
    case 'config.changed':
    case 'conflict.opened':
    case 'conflict.resolved':
    case 'connection.healthy':
    case 'sync.recovered':
      return 'info'
    case 'run.held':
    case 'run.retrying':
    case 'row.rejected':
    case 'sync.vetoed':
    case 'action.vetoed':
    case 'connection.unhealthy':
      return 'warn'
    case 'run.failed':
    case 'sync.failing':
      return 'error'
    default:
      return 'debug'
  }
}

function messageOf(event: EngineEvent): string {
  switch (event.event) {
    case 'run.finished':
      return `${event.sync} ${event.status}: ${event.inserted} inserted, ${event.updated} updated, ${event.deleted} deleted`
    case 'run.failed':
    case 'run.held':
    case 'run.retrying':
      return `${event.sync}: ${event.error?.message ?? event.event}`
    case 'sync.failing':
      return `${event.sync} failed ${event.failures} times in a row`
    case 'connection.unhealthy':
      return `connection ${event.connection} does not answer`
    case 'connection.healthy':
      return `connection ${event.connection} answers again`
    case 'config.changed':
      return `${event.what} ${event.name} ${event.change}`
    case 'action.starting':
    case 'action.vetoed':
      return `action ${event.action} of ${event.connection}: ${event.event}`
    default:
      return `${event.sync}: ${event.event}`
  }
}
