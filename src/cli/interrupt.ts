/** Ctrl-C: the first lets the engine finish its batch, the second ends the process at once. */
import { constants } from 'node:os'
import { SyncError } from '../core/error.ts'
import type { Terminal } from './shell.ts'

export interface Interrupts extends Disposable {
  /** Aborted by the first Ctrl-C (or a SIGTERM). */
  readonly signal: AbortSignal
  /** What a process that was ended by the signal received exits with: 130 for Ctrl-C. */
  exitCode(): number
}

const watched = ['SIGINT', 'SIGTERM'] as const

export function listenForInterrupts(terminal: Terminal): Interrupts {
  const controller = new AbortController()
  let exitCode = 130
  const interrupt = (name: (typeof watched)[number]) => {
    exitCode = 128 + constants.signals[name]
    if (controller.signal.aborted) process.exit(exitCode)
    terminal.err('\nFinishing the current batch. Press Ctrl-C again to stop at once; either way nothing is lost.\n')
    controller.abort(new SyncError('INTERRUPTED', 'interrupted', { hint: 'The next run goes on from here.' }))
  }
  for (const name of watched) process.on(name, interrupt)
  return {
    signal: controller.signal,
    exitCode: () => exitCode,
    [Symbol.dispose]: () => {
      for (const name of watched) process.off(name, interrupt)
    },
  }
}
