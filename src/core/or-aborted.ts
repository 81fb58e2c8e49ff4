/**
 * What the work comes to; rejects with the signal's reason once that is aborted. The work itself goes on. A promise of its own for each
 * call: one that lasts as long as the signal would keep every result.
 */
export function orAborted<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason)
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort)
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}
