/** Statements that go on though their work was stopped: one that waits for a lock hears nothing by itself. */
import { once } from 'node:events'
import { Socket } from 'node:net'
import type pg from 'pg'
import { SyncError } from '../../core/error.ts'
import { toldByServer } from './errors.ts'

/** How long a statement may still go on: a batch ends within it as a rule, a wait for a lock does not. Then again, until the session is given up. */
const PATIENCE_MS = 5000

/** The code of a request to cancel, in the place of a protocol version. */
const CANCEL_REQUEST = 80_877_102

/** Statements of a session under the signal of its work. */
export class StoppableStatements {
  readonly #client: pg.Client
  readonly #socket: Socket
  readonly #signal: AbortSignal

  constructor(client: pg.Client, socket: Socket, signal: AbortSignal) {
    this.#client = client
    this.#socket = socket
    this.#signal = signal
  }

  /** Cancels the statement at the server a while after the work was stopped, and gives the session up if that does not help. */
  async run<T>(statement: () => Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const stop = () => {
      timer = setTimeout(() => {
        timer = setTimeout(() => this.#socket.destroy(), PATIENCE_MS)
        cancel(this.#client).catch(() => {})
      }, PATIENCE_MS)
    }
    if (this.#signal.aborted) stop()
    else this.#signal.addEventListener('abort', stop)
    try {
      return await statement()
    } finally {
      clearTimeout(timer)
      this.#signal.removeEventListener('abort', stop)
    }
  }

  /** What is told of a statement that failed: that its work was stopped, where that is why. */
  reasonOf(error: unknown): unknown {
    const { aborted, reason } = this.#signal
    if (!aborted || !(this.#socket.destroyed || toldByServer(error)?.code === '57014')) return error
    return reason instanceof SyncError ? reason : new SyncError('INTERRUPTED', 'interrupted', { cause: error })
  }
}

/** Asks the server, over a connection of its own, to cancel what the session is doing. */
async function cancel(client: pg.Client): Promise<void> {
  const [process, secret] = ['processID', 'secretKey'].map((name) => Number(Reflect.get(client, name)))
  const request = new DataView(new ArrayBuffer(16))
  for (const [at, value] of [16, CANCEL_REQUEST, process, secret].entries()) request.setInt32(4 * at, value ?? 0)
  const { host, port } = client
  using socket = disposable(
    host.startsWith('/') ? new Socket().connect(`${host}/.s.PGSQL.${port}`) : new Socket().connect(port, host),
  )
  const signal = AbortSignal.timeout(PATIENCE_MS)
  await once(socket.value, 'connect', { signal })
  socket.value.end(new Uint8Array(request.buffer))
  // The server hangs up when it has seen to it.
  socket.value.resume()
  await once(socket.value, 'close', { signal })
}

function disposable(value: Socket): Disposable & { readonly value: Socket } {
  return { value, [Symbol.dispose]: () => void value.destroy() }
}
