/** Open connections by name: opened on first use, the same one afterwards. */
import type { Connection, Context } from '../../connectors/connector.ts'
import { SyncError } from '../../core/error.ts'
import { didYouMean } from '../../core/name.ts'
import { handlerContext } from '../calls/handler-context.ts'
import type { Limiter } from '../calls/rate-limiter.ts'

/** A connection that can be opened. */
export interface Opener {
  open(context: Context): Promise<Connection>
}

/** What there is to open, by name. A map will do. */
export interface Openers {
  get(name: string): Opener | undefined
  keys(): Iterable<string>
}

export class ConnectionPool implements AsyncDisposable {
  readonly #openers: Openers
  readonly #context: Context
  readonly #limiter: Limiter | null
  readonly #open = new Map<string, Promise<Connection>>()

  /** `limiter`: counts the calls of handlers. */
  constructor(openers: Openers, context: Context, limiter: Limiter | null = null) {
    this.#limiter = limiter
    this.#openers = openers
    this.#context = context
  }

  get(name: string): Promise<Connection> {
    const known = this.#open.get(name)
    if (known !== undefined) return known
    const opening = this.#connect(name)
    this.#open.set(name, opening)
    // A connection that did not open is tried anew at the next use.
    opening.catch(() => this.#open.get(name) === opening && this.#open.delete(name))
    return opening
  }

  async close(name: string): Promise<void> {
    const known = this.#open.get(name)
    this.#open.delete(name)
    try {
      await (await known)?.[Symbol.asyncDispose]()
    } catch {
      // What is given up may be broken already, or never have opened.
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of [...this.#open.keys()]) await this.close(name)
  }

  async #connect(name: string): Promise<Connection> {
    const opener = this.#openers.get(name)
    if (opener !== undefined) return opener.open(this.#contextOf(name))
    const names = [...this.#openers.keys()]
    throw new SyncError('CONFIG_INVALID', `there is no connection "${name}"${didYouMean(name, names)}`, {
      hint: `The connections are ${names.join(', ')}.`,
    })
  }

  #contextOf(name: string): Context {
    const context = this.#context
    const limiter = this.#limiter
    if (limiter === null) return context
    return { ...context, calls: (limits) => handlerContext(context, name, limits, limiter) }
  }
}
