/** How far a run or a verification is: one line drawn again and again on a terminal, a line now and then elsewhere. */
import { count, duration } from './format.ts'
import type { Shell } from './shell.ts'

export interface Step {
  readonly sync: string
  /** `copy`, `verify` … Rates begin anew with each. */
  readonly phase: string
  /** Rows done in this phase. */
  readonly done: number
  readonly total: number | null
}

const DRAW_EVERY_MS = 100
const LINE_EVERY_MS = 2000
/** What is over sooner needs no progress. */
const QUIET_MS = 100
const BAR_WIDTH = 24

export class ProgressLine {
  readonly #shell: Shell
  readonly #now: () => number
  readonly #startedAt: number
  #phase: { readonly name: string; readonly since: number } | null = null
  #shownAt = Number.NEGATIVE_INFINITY
  #drawn = false

  constructor(shell: Shell, now: () => number = () => performance.now()) {
    this.#shell = shell
    this.#now = now
    this.#startedAt = now()
  }

  update(step: Step): void {
    const { json, terminal } = this.#shell
    if (json) return
    const now = this.#now()
    if (this.#phase?.name !== step.phase) this.#phase = { name: step.phase, since: now }
    const every = terminal.columns === null ? LINE_EVERY_MS : DRAW_EVERY_MS
    if (now - this.#startedAt < (terminal.columns === null ? LINE_EVERY_MS : QUIET_MS) || now - this.#shownAt < every)
      return
    this.#shownAt = now
    const elapsedMs = now - this.#phase.since
    if (terminal.columns === null) terminal.err(`${describe(step, elapsedMs)}\n`)
    else {
      terminal.err(`\r\x1b[2K${draw(step, elapsedMs).slice(0, terminal.columns - 1)}`)
      this.#drawn = true
    }
  }

  /** Takes the drawn line away, so that something else can be printed. */
  clear(): void {
    if (this.#drawn) this.#shell.terminal.err('\r\x1b[2K')
    this.#drawn = false
  }
}

/** `everything/orders  [████████            ]  40 %  40,000 of 100,000 rows  210,000 rows/s  3 s left` */
function draw(step: Step, elapsedMs: number): string {
  const { total } = step
  if (total === null || total === 0) return describe(step, elapsedMs)
  const share = Math.min(1, step.done / total)
  const full = Math.floor(share * BAR_WIDTH)
  const bar = `[${'█'.repeat(full)}${' '.repeat(BAR_WIDTH - full)}] ${String(Math.floor(share * 100)).padStart(3)} %`
  return `${step.sync}  ${step.phase}  ${bar}  ${details(step, elapsedMs).join('  ')}`
}

/** `everything/orders: copy, 40,000 of 100,000 rows, 210,000 rows/s, 3 s left` */
export function describe(step: Step, elapsedMs: number): string {
  return `${step.sync}: ${[step.phase, ...details(step, elapsedMs)].join(', ')}`
}

function details({ done, total }: Step, elapsedMs: number): string[] {
  const rows = total === null ? `${count(done)} rows` : `${count(Math.min(done, total))} of ${count(total)} rows`
  if (elapsedMs < 200 || done === 0) return [rows]
  const perSecond = (done / elapsedMs) * 1000
  const left =
    total === null || done >= total ? [] : [`${duration(Math.max(1000, ((total - done) / perSecond) * 1000))} left`]
  return [rows, `${count(perSecond)} rows/s`, ...left]
}
