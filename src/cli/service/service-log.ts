/** The log of the service where a program reads it: JSON lines on stderr, by pino, which is loaded only then. */
import { InvalidArgumentError } from 'commander'
import { SyncError } from '../../core/error.ts'
import type { EngineEvent } from '../../core/event.ts'
import type { Log } from '../../core/log.ts'
import { type LogLevel, lineOf } from '../../engine/observe/log-lines.ts'
import { redactAll } from '../../engine/secrets/redact.ts'
import { projectFolder } from '../project/open-project.ts'
import { type Shell, secretsOf, type Terminal } from '../terminal/shell.ts'

export type LogFormat = 'json' | 'text'

export interface ServiceLog {
  readonly log: Log
  readonly event: (event: EngineEvent) => void
  /** The shell's, whose other lines on stderr are lines of the log. */
  readonly terminal: Terminal
}

const levels = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const

export function logFormat(text: string): LogFormat {
  if (text === 'json' || text === 'text') return text
  throw new InvalidArgumentError('a log is json or text')
}

/** Null: people read it, and are told by the reporter. CONFIG_INVALID: a variable says what there is not. */
export async function openServiceLog(shell: Shell, asked: LogFormat | undefined): Promise<ServiceLog | null> {
  const { terminal, environment } = shell
  projectFolder(shell)
  const format = asked ?? oneOf('SYNCLINE_LOG_FORMAT', environment, ['json', 'text'])
  const level = logLevel(shell)
  if (format === 'text' || (format === null && terminal.columns !== null)) return null
  const { pino } = await import('pino')
  const logger = pino(
    { level, messageKey: 'message', timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: nameOf } },
    { write: (line: string) => terminal.err(line) },
  )
  const write = (severity: LogLevel, message: string, fields: Readonly<Record<string, unknown>>) => {
    if (!logger.isLevelEnabled(severity)) return
    logger[severity](redactAll({ ...fields, message }, secretsOf(shell)))
  }
  const log: Log = (message, severity = 'info') => write(severity, message, {})
  return {
    log,
    terminal: { ...terminal, err: (text) => log(text.trim()) },
    event: (event) => {
      const line = lineOf(event)
      write(line.level, line.message, line.fields)
    },
  }
}

/** From which level on lines are written. CONFIG_INVALID. */
export function logLevel({ environment }: Shell): LogLevel | 'silent' {
  return oneOf('SYNCLINE_LOG_LEVEL', environment, levels) ?? 'info'
}

function nameOf(label: string): { readonly level: string } {
  return { level: label }
}

function oneOf<Word extends string>(
  name: string,
  environment: Shell['environment'],
  known: readonly Word[],
): Word | null {
  const value = environment[name] ?? ''
  if (value === '') return null
  const word = known.find((candidate) => candidate === value)
  if (word !== undefined) return word
  throw new SyncError('CONFIG_INVALID', `${name} is "${value.slice(0, 20)}"`, {
    hint: `It can be ${known.join(', ')}.`,
  })
}
