/** Running commands side by side and telling what they cost. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** What one execution cost. CPU and memory are those of the command, not of the database server. */
export interface Cost {
  readonly seconds: number
  readonly cpuSeconds: number
  /** Of its largest process. */
  readonly peakMegabytes: number
  readonly stdout: string
}

const root = join(import.meta.dirname, '..', '..')
export const syncline = [join(root, 'node_modules', 'node', 'bin', 'node'), join(root, 'bin', 'syncline.js')]

/** Runs a shell command under GNU time; throws with its output when it fails. */
export async function cost(command: string, cwd: string): Promise<Cost> {
  const report = join(tmpdir(), `syncline-bench-${process.pid}`)
  const child = spawn('/usr/bin/time', ['-o', report, '-f', '%e %U %S %M', 'bash', '-o', 'pipefail', '-c', command], {
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk) => (output.stdout += String(chunk)))
  child.stderr.on('data', (chunk) => (output.stderr += String(chunk)))
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`${command}\nended with exit code ${code}:\n${output.stderr}${output.stdout}`)
  const [seconds = 0, user = 0, system = 0, kilobytes = 0] = (await readFile(report, 'utf8'))
    .trim()
    .split(' ')
    .map(Number)
  await rm(report)
  return { seconds, cpuSeconds: user + system, peakMegabytes: Math.round(kilobytes / 1024), stdout: output.stdout }
}

/** The execution of median wall time. */
export function median(costs: readonly Cost[]): Cost {
  const sorted = [...costs].sort((a, b) => a.seconds - b.seconds)
  return sorted[Math.floor(sorted.length / 2)] as Cost
}

/** One line of the table: the work, both sides, the ratio and what is asked of it. */
export interface Line {
  readonly work: string
  readonly ours: Cost | number
  readonly against: string
  readonly theirs: Cost | number | null
  readonly atMost: number | null
}

export function printTable(lines: readonly Line[]): void {
  const rows = lines.map(({ work, ours, against, theirs, atMost }) => {
    const ratio = theirs === null ? null : secondsOf(ours) / secondsOf(theirs)
    const verdict = ratio === null || atMost === null ? '' : ratio <= atMost ? 'met' : 'MISSED'
    return [
      work,
      describe(ours),
      against,
      theirs === null ? '' : describe(theirs),
      ratio === null ? '' : ratio.toFixed(2),
      atMost === null ? 'report' : String(atMost),
      verdict,
    ]
  })
  const table = [['Work', 'Syncline', 'Against', 'Cost', 'Ratio', 'At most', ''], ...rows]
  const widths = table[0]?.map((_cell, column) => Math.max(...table.map((row) => row[column]?.length ?? 0))) ?? []
  for (const row of table) console.log(`| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`)
}

function secondsOf(cost: Cost | number): number {
  return typeof cost === 'number' ? cost : cost.seconds
}

function describe(cost: Cost | number): string {
  if (typeof cost === 'number') return `${cost.toFixed(3)} s`
  return `${cost.seconds.toFixed(2)} s, ${cost.cpuSeconds.toFixed(1)} s CPU, ${cost.peakMegabytes} MB`
}
