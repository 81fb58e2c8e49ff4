/**
 * COPY out and in on a session of the driver, as runs of frames. Going out, the socket is taken over from the driver, which
 * would make an object of each row's message.
 */
import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import type pg from 'pg'
import { copyDone, copyFail, FrameCutter, type FrameListener, type Frames } from './frames.ts'

/** Frames read ahead, at most about: the server goes on while rows are written, and memory stays bounded. */
const READ_AHEAD_BYTES = 512 * 1024

type Listener = (bytes: Buffer) => void

/** Runs of COPY … TO STDOUT. One that is left early runs dry unseen, so that the session stays usable. */
export class CopyOut implements pg.Submittable, FrameListener, AsyncIterableIterator<Frames> {
  readonly #sql: string
  readonly #cutter: FrameCutter
  readonly #runs: Frames[] = []
  #bytes = 0
  #state: 'open' | 'left' | 'ended' | { readonly error: unknown } = 'open'
  /** While it is ours. */
  #socket: Duplex | null = null
  #driver: Listener = () => {}
  /** Resolves the wait of `next`. */
  #wake = () => {}

  constructor(sql: string, maxRowBytes: number) {
    this.#sql = sql
    this.#cutter = new FrameCutter(maxRowBytes)
  }

  submit(connection: pg.Connection): void {
    const socket = connection.stream
    this.#driver = socket.listeners('data')[0] as Listener
    socket.off('data', this.#driver)
    socket.on('data', this.#take)
    this.#socket = socket
    connection.query(this.#sql)
  }

  async next(): Promise<IteratorResult<Frames, undefined>> {
    for (;;) {
      const run = this.#runs.shift()
      if (run !== undefined) {
        this.#bytes -= run.bytes.length
        return { done: false, value: run }
      }
      if (typeof this.#state === 'object') throw this.#state.error
      if (this.#state !== 'open') return { done: true, value: undefined }
      this.#socket?.resume()
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  async return(): Promise<IteratorResult<Frames, undefined>> {
    if (this.#state === 'open') this.#state = 'left'
    this.#runs.length = 0
    this.#bytes = 0
    this.#socket?.resume()
    return { done: true, value: undefined }
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  onFrames(frames: Frames): void {
    if (this.#state !== 'open') return
    this.#runs.push(frames)
    this.#bytes += frames.bytes.length
  }

  /** The driver knows what else there is, and calls us back at the end and on errors. */
  onMessage(message: Buffer): void {
    this.#driver(message)
  }

  handleCommandComplete(): void {}

  handleReadyForQuery(): void {
    this.#end('ended')
  }

  handleError(error: unknown): void {
    this.#end({ error })
  }

  readonly #take = (chunk: Buffer): void => {
    this.#cutter.push(chunk, this)
    if (this.#socket === null) this.#driver(this.#cutter.rest())
    else if (this.#bytes > READ_AHEAD_BYTES) this.#socket.pause()
    this.#wake()
  }

  /** Gives the socket back. */
  #end(state: 'ended' | { readonly error: unknown }): void {
    if (this.#state === 'open') this.#state = state
    const socket = this.#socket
    this.#socket = null
    socket?.off('data', this.#take)
    socket?.on('data', this.#driver)
    socket?.resume()
    this.#wake()
  }
}

/** A COPY … FROM STDIN under way. The session does nothing else until it has ended. */
export class CopyIn implements pg.Submittable {
  readonly #sql: string
  readonly #begun = Promise.withResolvers<Duplex>()
  readonly #finished = Promise.withResolvers<number>()
  #rows = 0
  #failed = false

  constructor(sql: string) {
    this.#sql = sql
    // A failure is reported by the next write or by end().
    for (const { promise } of [this.#begun, this.#finished]) promise.catch(() => {})
  }

  submit(connection: pg.Connection): void {
    connection.query(this.#sql)
  }

  /** Resolves when more may be written: at once, unless the server is behind. */
  async write(frames: Uint8Array): Promise<void> {
    const socket = await this.#begun.promise
    // The server drops what comes after its error.
    if (!this.#failed && socket.write(frames)) return
    await Promise.race([once(socket, 'drain'), this.#finished.promise])
  }

  /** Resolves with the number of rows, or rejects with the server's error. */
  async end(): Promise<number> {
    const socket = await this.#begun.promise
    if (!this.#failed) socket.write(copyDone)
    return this.#finished.promise
  }

  /** Gives up; the transaction is then aborted. */
  async abandon(): Promise<void> {
    try {
      const socket = await this.#begun.promise
      if (!this.#failed) socket.write(copyFail)
      await this.#finished.promise
    } catch {
      // As asked.
    }
  }

  handleCopyInResponse(connection: pg.Connection): void {
    this.#begun.resolve(connection.stream)
  }

  handleCommandComplete({ text }: { readonly text: string }): void {
    this.#rows = Number(/^COPY (\d+)/.exec(text)?.[1] ?? 0)
  }

  handleReadyForQuery(): void {
    this.#finished.resolve(this.#rows)
  }

  handleError(error: unknown): void {
    this.#failed = true
    this.#begun.reject(error)
    this.#finished.reject(error)
  }
}
