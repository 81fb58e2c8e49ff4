import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** Whether a process runs. One that has ended and waits for its parent to notice does not. */
export function isAlive(pid: number): boolean {
  return startOf(pid) !== ''
}

/** When a process started, as the system spells it; empty when it is gone. With the pid it names a process for good. */
export function startOf(pid: number): string {
  try {
    if (process.platform !== 'linux') return ps(pid, 'lstart')
    // Slim images have no `ps`. The command name in brackets may hold anything: the columns count from behind it.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const columns = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return columns[0] === 'Z' ? '' : (columns[19] ?? '')
  } catch {
    return ''
  }
}

/** The command line of a process; empty when it is gone. */
export function commandOf(pid: number): string {
  try {
    if (process.platform !== 'linux') return ps(pid, 'command')
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch {
    return ''
  }
}

function ps(pid: number, column: 'command' | 'lstart'): string {
  return execFileSync('ps', ['-ww', '-o', `${column}=`, '-p', String(pid)], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, LC_ALL: 'C' },
  }).trim()
}
