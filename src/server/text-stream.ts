/** Answers that are read as long as their reader takes. */
import { Readable } from 'node:stream'
import { SyncError } from '../core/error.ts'

/** A reader that takes nothing for so long keeps what others wait for. */
const IDLE_MS = 30_000

/** Its first piece is read now, so that what is wrong is an answer and not a broken stream. It breaks when its reader stops for too long. */
export async function streamOf(pieces: AsyncIterable<string>, idleMs = IDLE_MS): Promise<Readable> {
  const iterator = pieces[Symbol.asyncIterator]()
  let next = await iterator.next()
  const wait = () => setTimeout(() => stream.destroy(stopped(idleMs)), idleMs)
  const all = async function* () {
    while (next.done !== true) {
      yield next.value
      clearTimeout(idle)
      next = await iterator.next()
      idle = wait()
    }
  }
  const stream = Readable.from(all())
  let idle = wait()
  return stream.once('close', () => {
    clearTimeout(idle)
    // Also when nobody has begun to read.
    void iterator.return?.()
  })
}

function stopped(idleMs: number): SyncError {
  return new SyncError('TIMED_OUT', `its reader took nothing for ${idleMs / 1000} s`)
}
