/**
 * Processes that work for this one, and can be ended at any moment: a statement of SQLite that never ends is native code, which no thread
 * can be stopped in. One that did its work is kept for the next connection to the same place for a while: starting one takes 100 ms.
 */
import { type ChildProcess, type ForkOptions, fork } from 'node:child_process'
import { constants, setPriority } from 'node:os'
import { SyncError } from '../core/error.ts'
import type { Log } from '../core/log.ts'
import { type Answer, incomingError, type Question, type Request, type Thing } from './apart-messages.ts'

/** What a process is started for: processes are exchangeable where all of this is the same. */
export interface Work {
  /** The file that the process runs. */
  readonly entry: URL
  /** The place that it works on, in words. */
  readonly what: string
  /** Resident memory. */
  readonly memoryMb: number
}

/** Processes at a time. */
const MOST = 32
/** Kept while nobody needs them. */
const MOST_IDLE = 4
const IDLE_MS = 10_000
/** The end of what a process said before it died is told. */
const LAST_WORDS = 2000
/** What a process may know of the environment: nothing of the service's secrets. */
const ENVIRONMENT = ['PATH', 'SystemRoot', 'TMPDIR', 'TEMP', 'TMP', 'SQLITE_TMPDIR']

const all = new Set<WorkProcess>()
const idle: { readonly key: string; readonly process: WorkProcess; readonly late: NodeJS.Timeout }[] = []

/** RATE_LIMITED: too many are at work. */
export function takeProcess(work: Work): WorkProcess {
  const key = keyOf(work)
  const at = idle.findIndex((one) => one.key === key && !one.process.isOver)
  const [found] = at < 0 ? [] : idle.splice(at, 1)
  if (found !== undefined) {
    clearTimeout(found.late)
    found.process.ref()
    return found.process
  }
  if (all.size >= MOST) dropIdle()
  if (all.size >= MOST)
    throw new SyncError('RATE_LIMITED', `${MOST} files of connections are worked on already`, {
      hint: 'It is tried again by itself.',
    })
  return new WorkProcess(work)
}

/** Gives back a process that has closed its connection. */
export function giveBack(process: WorkProcess): void {
  if (process.isOver) return
  while (idle.length >= MOST_IDLE) dropIdle()
  process.unref()
  const late = setTimeout(() => {
    const at = idle.findIndex((one) => one.process === process)
    if (at >= 0) idle.splice(at, 1)
    process.end(new SyncError('INTERRUPTED', 'nobody needs it'))
  }, IDLE_MS)
  late.unref()
  idle.push({ key: keyOf(process.work), process, late })
}

function dropIdle(): void {
  const dropped = idle.shift()
  if (dropped === undefined) return
  clearTimeout(dropped.late)
  dropped.process.end(new SyncError('INTERRUPTED', 'nobody needs it'))
}

function keyOf({ entry, what, memoryMb }: Work): string {
  return JSON.stringify([entry.href, what, memoryMb])
}

interface Waiting {
  readonly resolve: (result: Thing) => void
  readonly reject: (error: Error) => void
}

/** Without its `id`, which is given here. */
type Asked<Kind = Question> = Kind extends Question ? Omit<Kind, 'id'> : never

export class WorkProcess {
  readonly work: Work
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, Waiting>()
  #last = 0
  #lastWords = ''
  #log: Log = () => {}
  #over: SyncError | null = null

  constructor(work: Work) {
    this.work = work
    this.#child = forked(work, {
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      // Not those of this process: a debugger's port is taken, and a condition is for imports by name.
      execArgv: [`--max-old-space-size=${Math.ceil(work.memoryMb / 2)}`],
      env: Object.fromEntries(ENVIRONMENT.map((name) => [name, process.env[name]])),
    })
    all.add(this)
    const { pid } = this.#child
    if (pid !== undefined) yieldTo(pid)
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      this.#lastWords = `${this.#lastWords}${chunk}`.slice(-LAST_WORDS)
    })
    this.#child.on('message', (answer: Answer) => this.#hear(answer))
    this.#child.on('error', (error) => this.#die(unexpected(this.work, error.message, '')))
    this.#child.on('exit', (code, signal) => this.#die(this.#reason(code, signal)))
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  get isOver(): boolean {
    // A child's end is told later than it is known.
    return (
      this.#over !== null || this.#child.exitCode !== null || this.#child.signalCode !== null || !this.#child.connected
    )
  }

  /** Who hears what it logs. */
  hear(log: Log): void {
    this.#log = log
  }

  /** Rejects with why the process ended, if it does before it answers. */
  ask(question: Asked): Promise<Thing> {
    return new Promise((resolve, reject) => {
      if (this.#over !== null) return reject(this.#over)
      const id = ++this.#last
      this.#waiting.set(id, { resolve, reject })
      this.#send({ ...question, id })
    })
  }

  tell(request: Request & { readonly kind: 'abort' }): void {
    if (this.#over === null) this.#send(request)
  }

  /** Ends it at once, whatever it does; who waits for an answer gets the error. */
  end(error: SyncError): void {
    this.#child.kill('SIGKILL')
    this.#die(error)
  }

  /** Whether it keeps this process from ending by itself. */
  ref(): void {
    this.#child.ref()
    this.#child.channel?.ref()
  }

  unref(): void {
    this.#child.unref()
    this.#child.channel?.unref()
    const { stderr } = this.#child
    if (stderr !== null && 'unref' in stderr && typeof stderr.unref === 'function') stderr.unref()
  }

  #send(request: Request): void {
    // A process that is gone is noticed by its exit.
    this.#child.send(request, () => {})
  }

  #hear(answer: Answer): void {
    if (answer.kind === 'log') {
      this.#log(answer.message, answer.severity)
      return
    }
    const waiting = this.#waiting.get(answer.id)
    this.#waiting.delete(answer.id)
    if (answer.kind === 'done') waiting?.resolve(answer.result)
    else waiting?.reject(incomingError(answer.error))
  }

  #die(error: SyncError): void {
    all.delete(this)
    const at = idle.findIndex((one) => one.process === this)
    for (const { late } of at < 0 ? [] : idle.splice(at, 1)) clearTimeout(late)
    this.#over ??= error
    for (const { reject } of this.#waiting.values()) reject(this.#over)
    this.#waiting.clear()
  }

  #reason(code: number | null, signal: NodeJS.Signals | null): SyncError {
    const { what, memoryMb } = this.work
    // Node's own way out when its heap is full, and that of the thread which watches.
    if (signal === 'SIGABRT' || code === 128 + constants.signals.SIGABRT)
      return new SyncError(
        'WORK_STOPPED',
        `the work on ${what} took more than ${memoryMb} MB of memory and was stopped`,
        {
          hint: 'What it did stays done. See whether a view of it gathers too much, or a value is too large; `work` of the integration sets the limit.',
        },
      )
    return unexpected(this.work, signal ?? `exit ${code}`, this.#lastWords)
  }
}

/** RATE_LIMITED: the system gives no further process now. */
function forked({ entry, what, memoryMb }: Work, options: ForkOptions): ChildProcess {
  const refused = (cause?: unknown) =>
    new SyncError('RATE_LIMITED', `no process can be started for the work on ${what}`, {
      hint: 'It is tried again by itself. See how many processes and open files the service may have (`ulimit -n -u`).',
      cause,
    })
  let child: ChildProcess
  try {
    child = fork(entry, [String(memoryMb)], options)
  } catch (error) {
    throw refused(error)
  }
  if (child.pid !== undefined) return child
  // Why is told later; the child has no channel by which it could be asked anything.
  child.on('error', () => {})
  throw refused()
}

function unexpected({ what }: Work, reason: string, lastWords: string): SyncError {
  return new SyncError('WORK_STOPPED', `the process that worked on ${what} ended (${reason})`, {
    hint: 'What it did stays done. Check the file: `sqlite3 FILE "pragma integrity_check"`.',
    ...(lastWords === '' ? {} : { cause: new Error(lastWords) }),
  })
}

/** Heartbeats and requests of this process go first where all are busy. */
function yieldTo(pid: number): void {
  try {
    setPriority(pid, constants.priority.PRIORITY_BELOW_NORMAL)
  } catch {
    // It may be gone already, or the system may not let us.
  }
}
