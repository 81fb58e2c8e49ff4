/**
 * A connection in a process of its own, which can be ended: for work that a caller chose and that keeps the thread which does it. The
 * connector there is the same; what it gives is called from here by messages, a page at a time, pulled as it is by an engine beside it.
 */
import { SyncError } from '../core/error.ts'
import { DISPOSE, outgoingArguments, outgoingError, streaming, type Thing } from './apart-messages.ts'
import { giveBack, takeProcess, type WorkProcess } from './apart-process.ts'
import type { Connection, Context } from './connector.ts'

/** What work for a caller may take at the most. Who operates the service may say otherwise, a caller may not. */
export interface WorkLimits {
  /** One step: a page of a read, a batch of writes, a count. */
  readonly stepMs: number
  /** All that is done by one run, or one request, with one connection. */
  readonly wholeMs: number
  readonly memoryMb: number
}

/** A sort or count of a large view takes minutes; a run of the first copy of a large file an hour. */
export const workLimits: WorkLimits = { stepMs: 300_000, wholeMs: 3_600_000, memoryMb: 512 }

/** What was asked for before a stop has so long to end: less than the run itself (engine/runs/time-limit.ts). */
const GRACE_MS = 2000

/** A process that has to be started first takes a while where all processors are busy: that is not the caller's work. */
const START_MS = 30_000

export interface Apart {
  /** A file that calls `serveApart`. */
  readonly entry: URL
  /** The place, in words, as it stands in messages. */
  readonly what: string
  readonly config: unknown
  readonly limits: WorkLimits
}

export async function openApart(apart: Apart, context: Context): Promise<Connection> {
  const session = new Session(apart, context)
  try {
    return await session.open(apart.config)
  } catch (error) {
    await session.close()
    throw error
  }
}

/** One connection's use of a process. */
class Session {
  readonly #apart: Apart
  readonly #signal: AbortSignal
  readonly #process: WorkProcess
  #whole: NodeJS.Timeout | undefined
  readonly #waiting = new Set<{ hurry: () => void }>()
  readonly #onAbort = () => this.#abort()
  #closed = false

  constructor(apart: Apart, { signal, log }: Context) {
    signal.throwIfAborted()
    this.#apart = apart
    this.#signal = signal
    const { entry, what, limits } = apart
    this.#process = takeProcess({ entry, what, memoryMb: limits.memoryMb })
    this.#process.hear(log)
    signal.addEventListener('abort', this.#onAbort)
  }

  async open(config: unknown): Promise<Connection> {
    const { what, limits } = this.#apart
    const given = await this.#inTime(this.#process.ask({ kind: 'open', config }), Math.max(limits.stepMs, START_MS))
    const opened = this.#incoming(given)
    this.#whole = setTimeout(() => this.#process.end(tooLong(what, limits.wholeMs)), limits.wholeMs)
    this.#whole.unref()
    // The contract's own types: what is there is what the connector gave.
    return { ...(opened as Connection), [Symbol.asyncDispose]: () => this.close() }
  }

  /** Never throws: who closes has done what there was to do. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    const closed = await this.#inTime(this.#process.ask({ kind: 'close' })).catch(() => null)
    this.#signal.removeEventListener('abort', this.#onAbort)
    clearTimeout(this.#whole)
    if (closed === null) this.#process.end(stopped(this.#apart.what, this.#signal))
    else giveBack(this.#process)
  }

  #abort(): void {
    this.#process.tell({ kind: 'abort', reason: outgoingError(this.#signal.reason) })
    for (const { hurry } of this.#waiting) hurry()
  }

  /** Ends the process when a step takes too long, or does not end after a stop. */
  async #inTime(step: Promise<Thing>, limitMs = this.#apart.limits.stepMs): Promise<Thing> {
    const { what } = this.#apart
    const hurriedly = () => setTimeout(() => this.#process.end(stopped(what, this.#signal)), GRACE_MS)
    let late = this.#signal.aborted ? hurriedly() : setTimeout(() => this.#process.end(tooLong(what, limitMs)), limitMs)
    const waiting = {
      hurry: () => {
        clearTimeout(late)
        late = hurriedly()
      },
    }
    this.#waiting.add(waiting)
    try {
      return await step
    } finally {
      clearTimeout(late)
      this.#waiting.delete(waiting)
    }
  }

  #incoming(thing: Thing): unknown {
    switch (thing.kind) {
      case 'data':
        return thing.value
      case 'object':
        return this.#objectOf(thing)
      case 'stream':
      case 'end':
        // Only of a stream's own steps.
        return undefined
    }
  }

  #objectOf({ id, methods, parts }: Thing & { readonly kind: 'object' }): Record<PropertyKey, unknown> {
    const object: Record<PropertyKey, unknown> = Object.fromEntries(
      parts.map(([name, part]) => [name, this.#incoming(part)]),
    )
    for (const method of methods) {
      const ask = (args: readonly unknown[]) =>
        this.#inTime(this.#process.ask({ kind: 'call', object: id, method, args: outgoingArguments(args) }))
      if (method === DISPOSE) object[Symbol.asyncDispose] = () => this.#dispose(() => ask([]))
      else if (streaming.has(method)) object[method] = (...args: unknown[]) => this.#pull(() => ask(args))
      else object[method] = async (...args: unknown[]) => this.#incoming(await ask(args))
    }
    return object
  }

  async *#pull(begin: () => Promise<Thing>): AsyncGenerator<unknown> {
    const begun = await begin()
    if (begun.kind !== 'stream') throw new SyncError('INTERNAL', `${this.#apart.what}: a stream was expected`)
    const step = (kind: 'next' | 'return') => this.#inTime(this.#process.ask({ kind, stream: begun.id }))
    let goesOn = true
    try {
      for (;;) {
        const next = await step('next').catch((error: unknown) => {
          goesOn = false
          throw error
        })
        goesOn = next.kind !== 'end'
        if (!goesOn) return
        yield this.#incoming(next)
      }
    } finally {
      if (goesOn) await this.#dispose(() => step('return'))
    }
  }

  /** With its process everything of it is gone: there is nothing left to dispose of. */
  async #dispose(work: () => Promise<Thing>): Promise<void> {
    if (this.#closed || this.#process.isOver) return
    await work().catch((error: unknown) => {
      if (!this.#process.isOver) throw error
    })
  }
}

function tooLong(what: string, ms: number): SyncError {
  return new SyncError('WORK_STOPPED', `the work on ${what} did not end within ${ms / 1000} s and was stopped`, {
    hint: 'What it did stays done. See whether a view of it ever ends; `work` of the integration sets the limit.',
  })
}

function stopped(what: string, { reason }: AbortSignal): SyncError {
  const code = reason instanceof SyncError ? reason.code : 'INTERRUPTED'
  return new SyncError(code, `the work on ${what} did not end when it was stopped, and was broken off`, {
    hint: 'What it did stays done; the next run goes on from there.',
  })
}
