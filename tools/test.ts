/**
 * `npm test [-- <part of a file name>… [--test-name-pattern=…]]`: provides the servers that the selected tests need, runs
 * them with Node's own runner, and ends with one line that counts them.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { globSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryFolder } from './database.ts'
import { type PostgresServer, providePostgres } from './postgres.ts'
import type { Summary } from './test-summary.ts'

const root = join(import.meta.dirname, '..')
const PATTERNS = ['src/**/*.test.ts', 'test/**/*.test.ts', 'tools/**/*.test.ts']
/** Two files at a time: more would only take turns on the machines that CI has, and time out there. */
const CONCURRENCY = 2
/** Ends a test that hangs. */
const TIMEOUT_MS = 10 * 60_000

process.exitCode = await main(process.argv.slice(2))

async function main(args: readonly string[]): Promise<number> {
  const flags = args.filter((arg) => arg.startsWith('-'))
  const selected = select(args.filter((arg) => !arg.startsWith('-')))
  if (selected.length === 0) {
    console.error('No test file has that in its name.')
    return 1
  }
  const needing = selected.filter((file) => file.endsWith('.pg.test.ts'))
  const server = needing.length > 0 ? await serverOrReason() : undefined
  if (typeof server === 'string') {
    console.error(`No PostgreSQL for tests: ${server}`)
    if (process.env.CI === 'true') return 1
    console.error(`Skipped therefore: ${needing.join(', ')}`)
  }
  if (server === undefined || typeof server === 'string') {
    return runFiles(
      selected.filter((file) => !needing.includes(file)),
      flags,
      {},
    )
  }
  await using postgres = server
  console.log(`PostgreSQL ${postgres.version}`)
  return await runFiles(selected, flags, { TEST_POSTGRES_URL: postgres.url })
}

function select(filters: readonly string[]): readonly string[] {
  const files = globSync(PATTERNS, { cwd: root }).map((file) => file.replaceAll('\\', '/'))
  const wanted = (file: string) => filters.length === 0 || filters.some((filter) => file.includes(filter))
  return files.filter(wanted).sort()
}

async function serverOrReason(): Promise<PostgresServer | string> {
  try {
    return await providePostgres()
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

async function runFiles(
  files: readonly string[],
  flags: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<number> {
  if (files.length === 0) return 0
  await using folder = await temporaryFolder()
  const summaryPath = join(folder.path, 'summary.json')
  const child = spawn(
    process.execPath,
    [
      ...['--conditions=syncline-source', '--disable-warning=ExperimentalWarning', '--test'],
      ...[`--test-concurrency=${CONCURRENCY}`, `--test-timeout=${TIMEOUT_MS}`],
      ...['--test-reporter=spec', '--test-reporter-destination=stdout'],
      ...['--test-reporter=./tools/test-summary.ts', `--test-reporter-destination=${summaryPath}`],
      ...flags,
      ...files,
    ],
    { cwd: root, stdio: 'inherit', env: { ...process.env, ...environment } },
  )
  passSignals(child)
  const [code, signal] = await once(child, 'exit')
  const summary = await readSummary(summaryPath)
  if (summary === undefined) {
    console.error(`The test runner ended before it was done (${signal ?? `exit code ${code}`}).`)
    console.log('0 passed, 1 failed')
    return 1
  }
  if (summary.skipped > 0) console.log(`${summary.skipped} skipped`)
  console.log(`${summary.passed} passed, ${summary.failed} failed`)
  return code ?? 1
}

/** The runner stops its files on a signal; this process must live on to stop the server. */
function passSignals(child: ChildProcess): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal))
}

async function readSummary(path: string): Promise<Summary | undefined> {
  const text = await readFile(path, 'utf8').catch(() => '')
  return text === '' ? undefined : (JSON.parse(text) as Summary)
}
