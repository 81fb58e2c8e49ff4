/** What a running process costs, as Linux counts it. */
import { readFileSync } from 'node:fs'

const TICKS_PER_SECOND = 100

export function processCost(pid: number): { readonly megabytes: number; readonly cpuSeconds: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const kilobytes = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0)
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return {
    megabytes: Math.round(kilobytes / 1024),
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND,
  }
}
