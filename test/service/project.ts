/** A project on disk with SQLite files, and the command run in it as a person runs it. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

const program = join(import.meta.dirname, '..', '..', 'bin', 'syncline.js')

export interface Ended {
  readonly code: number | null
  readonly lines: readonly Readonly<Record<string, unknown>>[]
  readonly stderr: string
}

export class ServiceProject implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'syncline-service-'))
  readonly #children = new Set<ChildProcess>()
  readonly #environment: Readonly<Record<string, string>>

  constructor(config: unknown, environment: Readonly<Record<string, string>> = {}) {
    this.#environment = environment
    this.configure(config)
  }

  configure(config: unknown): void {
    if (typeof config === 'string') writeFileSync(join(this.folder, 'syncline.config.ts'), config)
    else writeFileSync(join(this.folder, 'syncline.config.json'), JSON.stringify(config))
  }

  /** Runs SQL on one of the files. */
  change(file: string, sql: string): void {
    const database = new DatabaseSync(join(this.folder, file), { timeout: 10_000 })
    database.exec(sql)
    database.close()
  }

  query(file: string, sql: string): readonly Readonly<Record<string, unknown>>[] {
    const database = new DatabaseSync(join(this.folder, file), { timeout: 10_000 })
    try {
      return database.prepare(sql).all()
    } finally {
      database.close()
    }
  }

  /** Starts the command; it goes on by itself. */
  start(...args: readonly string[]): Running {
    const child = spawn(process.execPath, [program, ...args, '--json'], {
      cwd: this.folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NODE_OPTIONS: '', ...this.#environment },
    })
    this.#children.add(child)
    return new Running(child)
  }

  /** What the command prints to people. */
  async text(...args: readonly string[]): Promise<string> {
    const environment = { ...process.env, NODE_OPTIONS: '', ...this.#environment }
    const { stdout } = await promisify(execFile)(process.execPath, [program, ...args], {
      cwd: this.folder,
      env: environment,
    })
    return stdout
  }

  /** Runs the command to its end. */
  async run(...args: readonly string[]): Promise<Ended> {
    return await this.start(...args).end()
  }

  [Symbol.dispose](): void {
    for (const child of this.#children) if (child.exitCode === null) child.kill('SIGKILL')
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** A command that is running. */
export class Running {
  readonly child: ChildProcess
  readonly lines: Readonly<Record<string, unknown>>[] = []
  readonly #closed: Promise<unknown>
  stderr = ''

  constructor(child: ChildProcess) {
    this.child = child
    this.#closed = once(child, 'close')
    if (child.stdout !== null)
      createInterface(child.stdout).on('line', (line) => this.lines.push(JSON.parse(line) as Record<string, unknown>))
    child.stderr?.on('data', (chunk: Buffer) => {
      this.stderr += chunk
    })
  }

  /** Waits until it printed an event that fits. */
  async event(name: string, fits: (line: Readonly<Record<string, unknown>>) => boolean = () => true): Promise<void> {
    await eventually(() => this.lines.some((line) => line.event === name && fits(line)), `${name} of ${this.stderr}`)
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }

  async end(): Promise<Ended> {
    await this.#closed
    return { code: this.child.exitCode, lines: this.lines, stderr: this.stderr }
  }
}

/** Waits until something holds: by default half a minute, which is long for what should take moments. */
export async function eventually(
  holds: () => boolean | Promise<boolean>,
  what: string,
  withinMs = 30_000,
): Promise<void> {
  const deadline = performance.now() + withinMs
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`)
    await sleep(50)
  }
}
