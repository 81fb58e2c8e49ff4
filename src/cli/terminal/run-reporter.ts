/** Tells of runs as they happen: as JSON lines, or as progress and one line per run. */
import type { Log } from '../../core/log.ts'
import type { Counts, Failure, RunEvent } from '../../core/run.ts'
import { describeChange } from '../../core/schema.ts'
import { count, counted, duration } from './format.ts'
import { jsonLine } from './json.ts'
import { ProgressLine } from './progress.ts'
import type { Shell } from './shell.ts'

type Finished = Extract<RunEvent, { event: 'run.finished' }>

export interface RunReporter {
  readonly emit: (event: RunEvent) => void
  /** Something to tell beside the runs. */
  readonly log: Log
}

export interface ReporterOptions {
  /** For `watch`: after a sync's first run, only runs that changed something, or failed in another way than the last. */
  readonly onlyNews: boolean
  /** Takes what would go to stderr. */
  readonly log?: Log
  /** False: no lines of progress. Default: as the terminal is. */
  readonly progress?: boolean
}

export function runReporter(shell: Shell, options: ReporterOptions): RunReporter {
  const report = shell.json ? jsonReporter(shell, options) : humanReporter(shell, options)
  if (!options.onlyNews) return report
  const news = newsFilter(report.emit, shell.json)
  return { emit: news, log: report.log }
}

function jsonReporter({ terminal }: Shell, { log }: ReporterOptions): RunReporter {
  return {
    emit: (event) => terminal.out(jsonLine(objectOf(event))),
    log: log ?? ((message) => terminal.err(`${message}\n`)),
  }
}

function objectOf(event: RunEvent): Record<string, unknown> {
  if (event.event !== 'run.schema') return { ...event }
  return { ...event, changes: event.changes.map((change) => ({ ...change, description: describeChange(change) })) }
}

function humanReporter(shell: Shell, options: ReporterOptions): RunReporter {
  const { terminal } = shell
  let progress = new ProgressLine(shell)
  let readBefore = { phase: '', read: 0 }
  const line = (text: string) => {
    progress.clear()
    terminal.out(text)
  }
  const tell = (message: string) => {
    progress.clear()
    terminal.err(`${message}\n`)
  }
  const log = options.log ?? tell
  const emit = (event: RunEvent) => {
    switch (event.event) {
      case 'run.started':
        progress = new ProgressLine(shell)
        readBefore = { phase: '', read: 0 }
        break
      case 'run.progress':
        if (options.progress === false) break
        // Counts go on through the phases of a run; progress is that of the phase.
        if (event.phase !== readBefore.phase)
          readBefore = { phase: event.phase, read: readBefore.phase === '' ? 0 : doneIn(event) }
        progress.update({
          sync: event.sync,
          phase: event.phase,
          done: doneIn(event) - readBefore.read,
          total: event.total,
        })
        break
      case 'run.schema':
        for (const change of event.changes) line(`  ${event.sync}: ${describeChange(change)}`)
        break
      case 'run.retrying':
        log(`${event.sync}: ${event.error.message}; attempt ${event.attempt} in ${duration(event.waitMs)}`)
        break
      case 'run.finished':
        for (const text of finishedLines(shell, event)) line(text)
    }
  }
  return { emit, log }
}

/** Rows dealt with: read, or in a two-way sync's last phase decided about. */
function doneIn(event: Extract<RunEvent, { event: 'run.progress' }>): number {
  if (event.phase !== 'apply') return event.read
  return event.inserted + event.updated + event.deleted + event.unchanged
}

function finishedLines({ terminal }: Shell, run: Finished): string[] {
  const signs = {
    succeeded: terminal.paint('green', '✓'),
    failed: terminal.paint('red', '✗ failed'),
    held: terminal.paint('yellow', '‖ held'),
    interrupted: terminal.paint('yellow', '… interrupted'),
  }
  const rate = run.durationMs >= 200 && run.read > 0 ? ` (${count((run.read / run.durationMs) * 1000)} rows/s)` : ''
  const first = `${signs[run.status]} ${run.sync}  ${describeCounts(run)} in ${duration(run.durationMs)}${rate}`
  if (run.error === undefined) return [first]
  return [first, ...failureLines(run.error)]
}

export function failureLines(error: Failure): string[] {
  return [`  ${error.code}: ${error.message}`, ...(error.hint === null ? [] : [`  ${error.hint}`])]
}

/** `1,200 read, 40 inserted, 2 deleted`, `nothing changed` */
export function describeCounts(counts: Counts): string {
  const { read, inserted, updated, deleted, rejected, lossy, conflicts } = counts
  const parts = [
    inserted > 0 ? `${count(inserted)} inserted` : '',
    updated > 0 ? `${count(updated)} updated` : '',
    deleted > 0 ? `${count(deleted)} deleted` : '',
    rejected > 0 ? `${count(rejected)} rejected` : '',
    conflicts > 0 ? counted(conflicts, 'conflict') : '',
    lossy > 0 ? `${counted(lossy, 'value')} changed by a declared loss` : '',
  ].filter((part) => part !== '')
  const readPart = read > 0 ? [`${count(read)} read`] : []
  return [...readPart, ...(parts.length === 0 ? ['nothing changed'] : parts)].join(', ')
}

/** Holds a run's events back until there is something to tell. */
function newsFilter(emit: (event: RunEvent) => void, always: boolean): (event: RunEvent) => void {
  const lastFailure = new Map<string, string | null>()
  // By run: a service runs several at a time.
  const pending = new Map<string, RunEvent[]>()
  return (event) => {
    const held = [...(pending.get(event.run) ?? []), event]
    const flush = isNews(event) || (event.event === 'run.finished' && endsAnew(event))
    if (flush) for (const one of held) emit(one)
    if (event.event === 'run.finished') pending.delete(event.run)
    else pending.set(event.run, flush ? [] : held)
  }

  function endsAnew(event: Finished): boolean {
    const failure = event.status === 'succeeded' ? null : `${event.status} ${event.error?.message}`
    const known = lastFailure.get(event.sync)
    lastFailure.set(event.sync, failure)
    return (known === undefined && always) || changed(event) || (known ?? null) !== failure
  }
}

function isNews(event: RunEvent): boolean {
  if (event.event === 'run.progress') return changed(event)
  return event.event === 'run.schema' || event.event === 'run.retrying'
}

function changed({ inserted, updated, deleted }: Counts): boolean {
  return inserted + updated + deleted > 0
}
