/** A Syncline project in a folder, and its commands as processes. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isAlive } from '../../tools/process.ts'

const program = join(import.meta.dirname, '..', '..', 'bin', 'syncline.js')
const HANGS_AFTER_MS = 120_000

export interface Line {
  readonly event: string
  readonly sync: string
  readonly [name: string]: unknown
}

/** How one sync of a run ended. */
export interface Finished {
  readonly sync: string
  readonly run: string
  readonly status: 'succeeded' | 'failed' | 'held'
  readonly inserted: number
  readonly deleted: number
  /** Inserted, updated or deleted. */
  readonly written: number
  readonly read: number
  readonly code: string | null
  readonly message: string
}

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly lines: readonly Line[]
  readonly finished: readonly Finished[]
  readonly stderr: string
  readonly durationMs: number
}

export interface Running {
  readonly pid: number
  /** When the first sync has begun. */
  readonly started: Promise<void>
  /** Resolves with the next line that passes; rejects when the process ends before. */
  until(passes: (line: Line) => boolean): Promise<Line>
  kill(signal: NodeJS.Signals): void
  readonly ended: Promise<Ended>
}

export async function writeConfig(folder: string, config: unknown): Promise<void> {
  await writeFile(join(folder, 'syncline.config.json'), JSON.stringify(config, null, 2))
}

/** The same as a module, for what JSON can't say: functions, which must not use anything around them. */
export async function writeModule(folder: string, config: unknown): Promise<void> {
  const text = JSON.stringify(config, (_name, value) => (typeof value === 'function' ? `<${value}>` : value), 2)
  const source = text.replaceAll(/"<(.*)>"/g, (_all, body: string) => JSON.parse(`"${body}"`) as string)
  await writeFile(join(folder, 'syncline.config.js'), `export default ${source}`)
}

/** Starts `syncline <args> --json` in the folder. */
export function start(folder: string, ...args: string[]): Running {
  const begun = performance.now()
  const child = spawn(process.execPath, [program, ...args, '--json'], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, SYNCLINE_DEBUG: '1' },
  })
  const lines: Line[] = []
  const waiting = new Set<() => void>()
  const wake = () => {
    for (const waiter of [...waiting]) waiter()
  }
  let over = false
  let rest = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    const parts = (rest + chunk).split('\n')
    rest = parts.pop() ?? ''
    for (const part of parts) lines.push(JSON.parse(part) as Line)
    wake()
  })
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    stderr += chunk
  })
  const pid = child.pid ?? 0
  const hanging = setTimeout(() => child.kill('SIGKILL'), HANGS_AFTER_MS)
  const ended = once(child, 'close').then(([code, signal]): Ended => {
    clearTimeout(hanging)
    over = true
    wake()
    const durationMs = performance.now() - begun
    if (durationMs >= HANGS_AFTER_MS) throw new Error(`syncline ${args.join(' ')} hung:\n${stderr}`)
    return { code, signal, lines, finished: lines.flatMap(finishedOf), stderr, durationMs }
  })
  ended.catch(() => {})
  const until = (passes: (line: Line) => boolean) => {
    let seen = 0
    return new Promise<Line>((resolve, reject) => {
      const look = () => {
        const found = lines.slice(seen).find(passes)
        seen = lines.length
        if (found === undefined && !over) return
        waiting.delete(look)
        if (found === undefined) reject(new Error(`syncline ${args.join(' ')} ended before the line came: ${stderr}`))
        else resolve(found)
      }
      waiting.add(look)
      look()
    })
  }
  const started = until(({ event }) => event === 'run.started').then(
    () => {},
    () => {},
  )
  return { pid, started, until, ended, kill: (signal) => void child.kill(signal) }
}

/** Runs a command to its end. */
export function call(folder: string, ...args: string[]): Promise<Ended> {
  return start(folder, ...args).ended
}

/** Ends a process the hard way, and waits until it is gone. */
export async function killNow(running: Running): Promise<Ended> {
  running.kill('SIGKILL')
  const ended = await running.ended
  while (isAlive(running.pid)) await sleep(5)
  return ended
}

function finishedOf(line: Line): Finished[] {
  if (line.event !== 'run.finished') return []
  const error = line.error as { code: string; message: string } | undefined
  const written = Number(line.inserted) + Number(line.updated) + Number(line.deleted)
  return [
    {
      sync: line.sync,
      run: String(line.run),
      status: line.status as Finished['status'],
      inserted: Number(line.inserted),
      deleted: Number(line.deleted),
      written,
      read: Number(line.read),
      code: error?.code ?? null,
      message: error?.message ?? '',
    },
  ]
}
