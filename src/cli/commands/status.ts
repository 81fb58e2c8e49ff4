/** `syncline status`: how each sync stands, and what waits for a person. */
import type { Command } from 'commander'
import type { ProjectConfig } from '../../config/project-config.ts'
import { keyText, parseKeyText } from '../../core/key-text.ts'
import type { RunRecord } from '../../core/run.ts'
import type { Key } from '../../core/value.ts'
import { systemClock } from '../../engine/clock.ts'
import { partsOf } from '../../engine/connections/handler-syncs.ts'
import { runObject } from '../../protocol/objects.ts'
import type { PairStore } from '../../store/pairs.ts'
import type { RunStore } from '../../store/store.ts'
import { type OpenProject, openProject } from '../project/open-project.ts'
import { exitCodes } from '../terminal/exit-code.ts'
import { count, counted, duration, instant, table } from '../terminal/format.ts'
import { type Shell, show } from '../terminal/shell.ts'
import type { Execute } from './command.ts'

export function addStatus(program: Command, execute: Execute): void {
  program
    .command('status')
    .description('how each sync stands: last run, lag, what is held and what to do')
    .addHelpText(
      'after',
      `
Lag is the time since the last run that succeeded began: what the source changed since then may be missing.
With --json, one object per sync: sync, status (never, if it has not run), run, startedAt, the counts, lagMs,
heldDeletes, released (how many deletions the next run may do), todo, error. Of a two-way sync also openConflicts,
decidedConflicts and waiting (rows that are tried again on every run, and why).`,
    )
    .action(() => execute(status))
}

async function status(shell: Shell): Promise<number> {
  await using opened = await openProject(shell, { readOnly: true })
  const { runs } = opened.project.store
  const syncs = [
    ...(await standing(opened.config, runs, systemClock.now())),
    ...(await standingOfConnections(shell, opened, systemClock.now())),
  ]
  const pairs = new Map<string, PairStanding>()
  for (const { kind, name } of opened.config.syncs)
    if (kind === 'two-way') pairs.set(name, await pairStanding(name, opened.project.store.pairs))
  for (const sync of syncs) show(shell, { ...objectOf(sync), ...pairObject(pairs.get(sync.name)) }, () => {})
  if (shell.json) return exitCodes.fine
  if (syncs.length === 0) shell.terminal.out('the config defines no syncs')
  for (const line of table(syncs.map(cells), header)) shell.terminal.out(line)
  for (const sync of syncs.filter(({ todo }) => todo !== null)) shell.terminal.out(`\n${sync.name}: ${sync.todo}`)
  for (const [name, waits] of pairs) for (const line of linesOf(name, waits)) shell.terminal.out(line)
  return exitCodes.fine
}

/** What waits in a two-way sync: for a person, or for the next run. */
interface PairStanding {
  readonly conflicts: { readonly open: number; readonly decided: number }
  /** Rows that are tried again on every run, at most 20. */
  readonly waiting: readonly {
    readonly left: unknown
    readonly right: unknown
    readonly state: string
    readonly code: string | null
    readonly message: string | null
  }[]
}

const MAX_WAITING = 20

async function pairStanding(name: string, pairs: PairStore): Promise<PairStanding> {
  await using memory = await pairs.read(name)
  const found = await memory.waiting()
  const stored = await memory.byIds(found.pairs.map(({ pair }) => pair))
  const keyOf = (text: string | undefined) => (text === undefined ? null : parseKeyText(text))
  const paired = found.pairs.map(({ pair, state, code, message }) => {
    const one = stored.find(({ id }) => id === pair)
    return { left: keyOf(one?.left), right: keyOf(one?.right), state, code, message }
  })
  const alone = found.unpaired.map(({ side, key, state, code, message }) => ({
    left: side === 'left' ? keyOf(key) : null,
    right: side === 'right' ? keyOf(key) : null,
    state,
    code,
    message,
  }))
  return { conflicts: await pairs.conflicts.counts(name), waiting: [...paired, ...alone].slice(0, MAX_WAITING) }
}

function pairObject(standing: PairStanding | undefined): Record<string, unknown> {
  if (standing === undefined) return {}
  const { conflicts, waiting } = standing
  return { openConflicts: conflicts.open, decidedConflicts: conflicts.decided, waiting }
}

function linesOf(name: string, { conflicts, waiting }: PairStanding): string[] {
  const { open } = conflicts
  const lines = open === 0 ? [] : [`\n${name}: ${counted(open, 'open conflict')}. Look: syncline conflicts ${name}`]
  if (waiting.length > 0) lines.push(`\n${name}: tried again on every run:`)
  for (const { left, right, state, message } of waiting) {
    const keys = [
      left === null ? '' : `left ${keyText(left as Key)}`,
      right === null ? '' : `right ${keyText(right as Key)}`,
    ]
    lines.push(`  ${keys.filter((part) => part !== '').join(', ')}  ${state}${message === null ? '' : `: ${message}`}`)
  }
  return lines
}

interface Standing {
  readonly name: string
  readonly last: RunRecord | null
  readonly lagMs: number | null
  /** How many deletions a release allows; null: none stands. */
  readonly released: number | null
  readonly todo: string | null
}

/** From the history alone, so that no system need be reachable. */
async function standing({ syncs }: ProjectConfig, runs: RunStore, nowMs: number): Promise<Standing[]> {
  const { last, standingOf } = await historyOf(runs, nowMs)
  const standings: Standing[] = []
  for (const { name, patterns } of syncs) {
    const members = last.filter((run) => (patterns === null ? run.sync === name : run.sync.startsWith(`${name}/`)))
    // A pattern whose source could not be read failed under its own name; that is over once its members ran again.
    const failed = last.filter(
      (run) => run.sync === name && members.every((member) => member.startedAt < run.startedAt),
    )
    const found = patterns === null ? members : [...failed, ...members.toSorted((a, b) => (a.sync < b.sync ? -1 : 1))]
    if (found.length === 0) standings.push(nothingYet(name))
    for (const run of found) standings.push(await standingOf(run))
  }
  return standings
}

/** What connections run by themselves or ran. */
async function standingOfConnections(
  shell: Shell,
  { config, project }: OpenProject,
  nowMs: number,
): Promise<Standing[]> {
  const { last, standingOf } = await historyOf(project.store.runs, nowMs)
  const scheduled = (await project.store.schedules.list({ origin: 'api' })).map(({ sync }) => sync)
  const names = new Set([...scheduled, ...last.map(({ sync }) => sync)].filter((sync) => partsOf(sync) !== null))
  if (names.size === 0) return []
  const { madeConnections } = await import('./connections.ts')
  const connections = new Set((await madeConnections(shell, project.store, config.folder)).map(({ id }) => id))
  const standings: Standing[] = []
  for (const name of [...names].toSorted()) {
    if (!connections.has(partsOf(name)?.connectionId ?? '')) continue
    const run = last.find(({ sync }) => sync === name)
    standings.push(run === undefined ? nothingYet(name) : await standingOf(run))
  }
  return standings
}

function nothingYet(name: string): Standing {
  return { name, last: null, lagMs: null, released: null, todo: null }
}

/** The last run of each sync, and how that leaves it. */
async function historyOf(runs: RunStore, nowMs: number) {
  const limit = 100_000
  const last = await runs.list({ latest: true, limit })
  const succeeded = new Map(
    (await runs.list({ latest: true, status: 'succeeded', limit })).map((run) => [run.sync, run]),
  )
  const standingOf = async (run: RunRecord): Promise<Standing> => {
    const success = succeeded.get(run.sync)
    const released = await runs.released(run.sync)
    const lagMs = success === undefined ? null : Math.max(0, nowMs - success.startedAt)
    return { name: run.sync, last: run, lagMs, released, todo: todoOf(run, released) }
  }
  return { last, standingOf }
}

function todoOf(run: RunRecord, released: number | null): string | null {
  if (run.status === 'held' && run.heldDeletes !== null) {
    if (released !== null) return `released: the next run may delete ${count(released)}. syncline run ${run.sync}`
    return `${count(run.heldDeletes)} deletions are held. Look: syncline plan ${run.sync}   Let them go: syncline release ${run.id}`
  }
  if (run.error === null) return run.status === 'interrupted' ? `interrupted. Go on: syncline run ${run.sync}` : null
  return [run.error.message, run.error.hint].filter((part) => part !== null).join('\n  ')
}

function objectOf({ name, last, lagMs, released, todo }: Standing): Record<string, unknown> {
  const run = last === null ? { sync: name, status: 'never', run: null } : runObject(last)
  return { event: 'status', ...run, lagMs, released, todo }
}

const header = ['sync', 'status', 'last run', 'lag', 'read', 'inserted', 'updated', 'deleted', 'rejected']

function cells({ name, last, lagMs }: Standing): (string | number)[] {
  if (last === null) return [name, 'never run', '', '', 0, 0, 0, 0, 0]
  const lag = lagMs === null ? '' : duration(lagMs)
  return [
    name,
    last.status,
    instant(last.startedAt),
    lag,
    last.read,
    last.inserted,
    last.updated,
    last.deleted,
    last.rejected,
  ]
}
