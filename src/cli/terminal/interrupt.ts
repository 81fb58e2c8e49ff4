/** Ctrl-C: the first lets the engine finish its batch, the second ends the process at once. */
import { constants } from 'node:os'
import { SyncError } from '../../core/error.ts'
import type { Log } from '../../core/log.ts'
import { exitCodes } from './exit-code.ts'
import type { Terminal } from './shell.ts'

export interface Interrupts extends Disposable {
  /** Aborted by the first Ctrl-C (or a SIGTERM). */
  readonly signal: AbortSignal
  /** What a process that was ended by the signal received exits with: 130 for Ctrl-C. */
  exitCode(): number
}

/** A service has ended this long after the first signal, whatever it waits for: runs have 10 s for their batches, requests 2.5 s for their answers. */
const END_MS = 15_000

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

/** Ends the process some time after the signal was aborted, unless it is disposed before. What is not given back then is taken over. */
export function endInTime(signal: AbortSignal, log: Log): Disposable {
  let late: NodeJS.Timeout | undefined
  const begin = () => {
    late = setTimeout(() => {
      log('something does not end: it is left behind', 'warn')
      process.exit(exitCodes.fine)
    }, END_MS)
  }
  signal.addEventListener('abort', begin)
  return {
    [Symbol.dispose]: () => {
      signal.removeEventListener('abort', begin)
      clearTimeout(late)
    },
  }
}

/** Ends the process, once its output is written: timers and sockets of functions of a config would keep it. */
export async function endProcess(code: number): Promise<never> {
  for (const stream of [process.stdout, process.stderr]) await new Promise((resolve) => stream.write('', resolve))
  process.exit(code)
}
