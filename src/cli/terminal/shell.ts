/** What every command works in: where its output goes, and which project it is about. */
import { styleText } from 'node:util'
import type { SyncError } from '../../core/error.ts'
import { redact, redactError } from '../../engine/secrets/redact.ts'
import { jsonLine } from './json.ts'

export interface Shell {
  readonly terminal: Terminal
  /** One JSON object per line on stdout, and nothing else there. */
  readonly json: boolean
  /** The file that `--config` named. */
  readonly config: string | undefined
  /** Where the command was called. */
  readonly folder: string
  readonly environment: Record<string, string | undefined>
  /** Secrets of the vault that this process has read: no output may hold them. */
  readonly secrets?: Set<string>
  /** Tell the secrets of connections that this process has opened by now. */
  readonly secretSources?: Set<() => Iterable<string>>
}

/** Where output goes. */
export interface Terminal {
  /** Results: a line on stdout. */
  out(line: string): void
  /** Everything else: text on stderr, as it is. */
  err(text: string): void
  /** Whether stderr is a terminal, where a line can be drawn again; its width, else null. */
  readonly columns: number | null
  /** Colours the text where stdout is a terminal that wants colours. */
  paint(style: Style, text: string): string
}
export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow'

export function processTerminal(): Terminal {
  // `syncline history | head`: whoever reads has read enough.
  process.stdout.on('error', (error) => process.exit('code' in error && error.code === 'EPIPE' ? 0 : 1))
  return {
    out: (line) => void process.stdout.write(`${line}\n`),
    err: (text) => void process.stderr.write(text),
    columns: process.stderr.isTTY ? (process.stderr.columns ?? 80) : null,
    paint: (style, text) => (process.stdout.isTTY ? styleText(style, text, { stream: process.stdout }) : text),
  }
}

/** Prints a result as JSON, or leaves it to `human` to print it for people. */
export function show(shell: Shell, object: Readonly<Record<string, unknown>>, human: () => void): void {
  if (shell.json) shell.terminal.out(jsonLine(object))
  else human()
}

/** Tells of an error: what failed, and what to do. `about` goes into the JSON object. */
export function showError(shell: Shell, thrown: unknown, about: Readonly<Record<string, unknown>> = {}): SyncError {
  const clean = (text: string) => withoutSecrets(text, shell)
  const error = redactError(thrown, clean)
  const { message, hint } = error
  if (shell.json) shell.terminal.out(jsonLine(errorObject(error, about)))
  const subject = typeof about.sync === 'string' ? `${about.sync}: ` : ''
  shell.terminal.err(`${shell.terminal.paint('red', 'error')}: ${subject}${message}\n`)
  if (hint !== null) shell.terminal.err(`  ${hint}\n`)
  if (shell.environment.SYNCLINE_DEBUG === '1') shell.terminal.err(`${clean(stackOf(thrown))}\n`)
  return error
}

/** An error as `--json` prints it. */
export function errorObject(
  { code, message, hint }: SyncError,
  about: Readonly<Record<string, unknown>> = {},
): Readonly<Record<string, unknown>> {
  return { event: 'error', ...about, error: { code, message, hint } }
}

/** Stacks only, without the errors' other properties: those of a driver may hold values. */
function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return ''
  const cause = error.cause === undefined ? '' : `\ncaused by ${stackOf(error.cause)}`
  return `${error.stack ?? error.message}${cause}`
}

/** Variables that are secrets of our own. */
const secretVariables = ['SYNCLINE_VAULT_KEY', 'VAULT_TOKEN']

/** Of the vault and of our own. Enough where what handlers say has been cleaned: every line would look for the secrets of all connections. */
export function secretsOf({ environment, secrets }: Shell): readonly string[] {
  return [...(secrets ?? []), ...secretVariables.flatMap((name) => environment[name]?.split(',') ?? [])]
}

/** Takes out of a text what this process knows and no output may say. */
export function withoutSecrets(text: string, shell: Shell): string {
  const opened = [...(shell.secretSources ?? [])].flatMap((source) => [...source()])
  return redact(text, [...secretsOf(shell), ...opened])
}
