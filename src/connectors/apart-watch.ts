/**
 * A thread beside the one that works, which a statement that never ends keeps from everything else: ends the process when nobody asks it
 * any more, or when it takes too much memory.
 */
import { workerData } from 'node:worker_threads'

const LOOK_MS = 100

// Given by apart-serve.ts. Nothing is loaded to look at it: this thread is started with every process.
const { parent, memoryMb } = workerData as { readonly parent: number; readonly memoryMb: number }

function isOrphan(): boolean {
  if (process.ppid !== parent) return true
  try {
    // Where a process keeps the number of a parent that is gone.
    process.kill(parent, 0)
    return false
  } catch {
    return true
  }
}

setInterval(() => {
  if (isOrphan()) process.kill(process.pid, 'SIGKILL')
  // The signal by which Node ends when its heap is full.
  if (process.memoryUsage.rss() > memoryMb * 2 ** 20) process.kill(process.pid, 'SIGABRT')
}, LOOK_MS)
