/** The process that works: opens a connection for the one that asks, and does there what is asked. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import {
  type Answer,
  DISPOSE,
  incomingArguments,
  incomingError,
  outgoing,
  outgoingError,
  type Question,
  type Request,
  streaming,
  type Thing,
} from './apart-messages.ts'
import type { Connection, Context } from './connector.ts'

type Open = (config: never, context: Context) => Promise<Connection>

/** To be called once, by the file that the process is started with. Its argument is how much memory it may take, in MB. */
export function serveApart(open: Open): void {
  const [memoryMb] = process.argv.slice(2).map(Number)
  // What is known at run time: the watching thread is a file beside this one, compiled or not.
  const watch = new URL(`./apart-watch${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url)
  new Worker(watch, { workerData: { parent: process.ppid, memoryMb } }).unref()
  // Ctrl-C and `stop` reach all processes of a service; who asks says when this one ends.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
  process.on('disconnect', () => process.exit())
  const served = new Served(open)
  process.on('message', (request: Request) => {
    if (request.kind === 'abort') return served.abort(request)
    served.answer(request).then(
      (result) => tell({ kind: 'done', id: request.id, result }),
      (error: unknown) => tell({ kind: 'failed', id: request.id, error: outgoingError(error) }),
    )
  })
}

/** Who asks may be gone: then there is nobody to tell. */
function tell(answer: Answer): void {
  process.send?.(answer, () => {})
}

/** One connection at a time, and what was made of it, by number. */
class Served {
  readonly #open: Open
  readonly #objects = new Map<number, object>()
  readonly #streams = new Map<number, AsyncIterator<unknown>>()
  #last = 0
  #connection: Connection | null = null
  #stop = new AbortController()

  constructor(open: Open) {
    this.#open = open
  }

  abort({ reason }: Request & { readonly kind: 'abort' }): void {
    this.#stop.abort(incomingError(reason))
  }

  async answer(question: Question): Promise<Thing> {
    switch (question.kind) {
      case 'open':
        this.#stop = new AbortController()
        this.#connection = await this.#open(question.config as never, contextOf(this.#stop.signal))
        return this.#describe(this.#connection)
      case 'call':
        return await this.#call(question)
      case 'next':
        return await this.#next(question.stream)
      case 'return':
        await this.#streams.get(question.stream)?.return?.()
        this.#streams.delete(question.stream)
        return { kind: 'end' }
      case 'close':
        this.#objects.clear()
        this.#streams.clear()
        await this.#connection?.[Symbol.asyncDispose]()
        this.#connection = null
        return { kind: 'end' }
    }
  }

  async #call({ object, method, args }: Question & { readonly kind: 'call' }): Promise<Thing> {
    const target = this.#objects.get(object)
    if (target === undefined) throw new Error(`there is no object ${object} to call ${method} of`)
    const name = method === DISPOSE ? Symbol.asyncDispose : method
    const found: unknown = Reflect.get(target, name)
    if (typeof found !== 'function') throw new Error(`there is no ${method} to be called`)
    const given: unknown = Reflect.apply(found, target, incomingArguments(args, this.#stop.signal))
    if (method === DISPOSE) this.#objects.delete(object)
    if (!streaming.has(method)) return this.#describe(await given)
    const id = ++this.#last
    this.#streams.set(id, (given as AsyncIterable<unknown>)[Symbol.asyncIterator]())
    return { kind: 'stream', id }
  }

  async #next(stream: number): Promise<Thing> {
    const iterator = this.#streams.get(stream)
    const step = await iterator?.next()
    if (step !== undefined && step.done !== true) return this.#describe(step.value)
    this.#streams.delete(stream)
    return { kind: 'end' }
  }

  #describe(value: unknown): Thing {
    return outgoing(value, (object) => {
      const id = ++this.#last
      this.#objects.set(id, object)
      return id
    })
  }
}

/** The world outside, as this process sees it. */
function contextOf(signal: AbortSignal): Context {
  return {
    signal,
    clock: { now: () => Date.now(), sleep: (ms, ending) => sleep(ms, undefined, { signal: ending }) },
    random: Math.random,
    log: (message, severity) => tell({ kind: 'log', message, severity }),
  }
}
