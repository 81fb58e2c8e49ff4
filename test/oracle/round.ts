/**
 * One round of the oracle: a random schema, random syncs, people who write before and during runs, runs that are killed;
 * then, when nobody writes any more, `verify` and a comparison by plain SQL must both say equal, and a further run
 * must write nothing. The seed decides everything but the timing of processes.
 */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { temporaryFolder } from '../../tools/database.ts'
import { type Cell, differences, type Rows } from './canonical.ts'
import { call, type Ended, type Finished, killNow, type Line, type Running, start, writeModule } from './project.ts'
import { Random, seedOf } from './random.ts'
import {
  type Column,
  postgresSource,
  postgresTarget,
  type Reach,
  type SourceOptions,
  type SourceSide,
  type SourceTable,
  sqliteTarget,
  type TargetSide,
} from './sides.ts'
import { sqliteSource } from './sqlite-writer.ts'

export interface Combination {
  readonly name: string
  readonly source: 'postgres' | 'sqlite' | 'sqlite with triggers'
  readonly target: 'postgres' | 'sqlite'
  /** Default: directly. */
  readonly reach?: Reach
}

/** What a combination's rounds did. */
export interface Tally {
  rounds: number
  runs: number
  kills: number
  checks: number
  rows: number
  writes: number
  held: number
}

interface Sync {
  readonly name: string
  readonly table: SourceTable
  readonly target: string
  readonly condition: string
  readonly deletes: 'propagate' | 'keep' | 'mark'
  readonly mode: 'auto' | 'full'
  /** Target names by source names; null: all fields, under their own names. */
  readonly fields: ReadonlyMap<string, string> | null
  /** Whether it has a computed field of its own. */
  readonly labels: boolean
  /** Then rows that it did not write stay. */
  readonly adopts: boolean
  readonly config: object
}

interface Stage {
  readonly random: Random
  readonly folder: string
  readonly source: SourceSide
  readonly target: TargetSide
  readonly syncs: readonly Sync[]
  readonly tally: Tally
  /** How long a run takes that nobody kills, from its first sync's start. */
  usualMs: number
}

/** What may end a run while people write, lock and alter: the run says so, and a later one goes on. */
const passing = new Set([
  'DATABASE_LOCKED',
  'CONNECTION_LOST',
  'SCHEMA_CHANGED',
  'INTERRUPTED',
  'GUARD_HELD',
  'ROWS_REJECTED',
])

const directly: Reach = async (url) => url

export async function playRound(combination: Combination, seed: number, tally: Tally): Promise<void> {
  const random = new Random(seedOf(seed, combination.name))
  await using folder = await temporaryFolder()
  const changesSchema = random.chance(0.35)
  const options: SourceOptions = {
    random: random.fork(),
    folder: folder.path,
    tables: random.between(1, 3),
    rows: random.pick([30, 300, 1500]),
    changesSchema,
    reach: combination.reach ?? directly,
  }
  await using source =
    combination.source === 'postgres'
      ? await postgresSource(options)
      : await sqliteSource(options, combination.source === 'sqlite with triggers')
  await using target =
    combination.target === 'postgres'
      ? await postgresTarget({ random: random.fork(), reach: options.reach })
      : await sqliteTarget({ folder: folder.path })
  const drawn = source.tables.map((table, at) => drawSync(random, table, `t${at}`, changesSchema))
  const configure = (syncs: readonly Sync[]) =>
    writeModule(folder.path, {
      connections: { source: source.connection, target: target.connection },
      syncs: Object.fromEntries(syncs.map(({ name, config }) => [name, config])),
    })
  await configure(drawn)
  const syncs: Sync[] = []
  for (const sync of drawn) syncs.push(random.chance(0.2) ? await foster(sync, folder.path, target) : sync)
  await configure(syncs)
  const stage: Stage = { random, folder: folder.path, source, target, syncs, tally, usualMs: 60 }
  try {
    for (let epoch = random.between(2, 3); epoch > 0; epoch--) {
      await disturb(stage)
      await check(stage)
    }
  } catch (error) {
    const about = {
      tables: source.tables.map((table) => table.describe()),
      syncs: syncs.map(({ config }) => config),
      statements: source.log().slice(-25),
    }
    throw new Error(
      `${combination.name}, seed ${seed}: ${error instanceof Error ? (error.stack ?? error.message) : error}\n${JSON.stringify(about, null, 2)}`,
      { cause: error },
    )
  }
  tally.rounds++
  tally.writes += source.writes()
}

/** The sync's target, filled, and then somebody else's, from whom the sync adopts it. */
async function foster(sync: Sync, folder: string, target: TargetSide): Promise<Sync> {
  await call(folder, 'run', sync.name)
  await target.disown(sync.target)
  return { ...sync, adopts: true, config: { ...sync.config, adopt: true } }
}

function drawSync(random: Random, table: SourceTable, name: string, changesSchema: boolean): Sync {
  const [where, condition] = random.chance(0.4) ? random.pick(filters) : [undefined, 'true']
  const deletes = random.weighted<Sync['deletes']>([
    [7, 'propagate'],
    [2, 'mark'],
    [1, 'keep'],
  ])
  const fields = !changesSchema && random.chance(0.4) ? drawFields(random, table) : null
  const labels = fields !== null && random.chance(0.5)
  const mode = random.chance(0.1) ? 'full' : 'auto'
  const cursor = table.cursor !== null && random.chance(0.7) ? { cursor: table.cursor } : {}
  const config = {
    from: `source.${table.collection}`,
    to: `target.${name}`,
    deletes,
    mode,
    batch: { rows: random.pick([1, 7, 50, 50_000]) },
    ...(random.chance(0.9) ? { guard: { maxDeletes: 1e9, maxDeleteShare: 1 } } : {}),
    ...(where === undefined ? {} : { where }),
    ...cursor,
    ...(fields === null
      ? {}
      : { fields: { ...Object.fromEntries([...fields].map(([from, to]) => [to, from])), ...(labels ? label : {}) } }),
  }
  return { name, table, target: name, condition, deletes, mode, fields, labels, adopts: false, config }
}

/** A computed field, and the same by the oracle's own means. */
const label = { label: { compute: (row: Record<string, unknown>) => `${row.level ?? '-'}/${row.grade ?? '-'}` } }
const labelOf = (level: Cell, grade: Cell): Cell => `${level ?? '-'}/${grade ?? '-'}`

const filters: readonly (readonly [object, string])[] = [
  [{ grade: { in: ['a', 'ä', 'B'] } }, `grade IN ('a', 'ä', 'B')`],
  [{ grade: { '!=': 'a' } }, `grade <> 'a'`],
  [{ level: { '>=': 3 } }, 'level >= 3'],
  [{ level: { null: false } }, 'level IS NOT NULL'],
  [{ or: [{ level: { '<': 4 } }, { grade: null }] }, '(level < 4 OR grade IS NULL)'],
  [{ not: { grade: 'z' }, level: { 'not in': [1, 2] } }, `NOT (grade = 'z') AND level NOT IN (1, 2)`],
]

/** Some of the fields, some renamed, in another order; the key always. */
function drawFields(random: Random, table: SourceTable): ReadonlyMap<string, string> {
  const columns = table.columns()
  const chosen = random.sample(columns, columns.length).filter((column) => column.isKey || random.chance(0.8))
  return new Map(chosen.map(({ name }, at) => [name, random.chance(0.4) ? `Renamed ${at}` : name]))
}

/** People write; runs start in between, and some are killed. */
async function disturb(stage: Stage): Promise<void> {
  const { random, source, tally } = stage
  for (let run = random.between(1, 4); run > 0; run--) {
    for (let steps = random.between(0, 40); steps > 0; steps--) await source.step()
    if (random.chance(0.3)) await source.upheave()
    const running = start(stage.folder, 'run')
    const end = chooseEnd(stage, running)
    let over = false
    const watched = end.then(
      () => {
        over = true
      },
      () => {
        over = true
      },
    )
    while (!over) {
      await source.step()
      await Promise.race([watched, sleep(random.between(0, 6))])
    }
    const ended = await end
    tally.runs++
    if (ended.signal === 'SIGKILL') tally.kills++
    else await accept(stage, ended, passing)
  }
}

/** Lets the run end by itself, or kills it at any moment, or interrupts it. */
async function chooseEnd(stage: Stage, running: Running): Promise<Ended> {
  const { random } = stage
  const fate = random.weighted<'ends' | 'killed' | 'killed early' | 'interrupted'>([
    [5, 'ends'],
    [5, 'killed'],
    [1, 'killed early'],
    [1, 'interrupted'],
  ])
  const waitMs = random.next() * stage.usualMs
  if (fate === 'ends') {
    await running.started
    const startedAt = performance.now()
    const ended = await running.ended
    stage.usualMs = (stage.usualMs + performance.now() - startedAt) / 2
    return ended
  }
  if (fate !== 'killed early') await running.started
  await Promise.race([running.ended.catch(() => {}), sleep(waitMs)])
  if (fate !== 'interrupted') return await killNow(running)
  running.kill('SIGINT')
  return await running.ended
}

/** A run that ended by itself must have a good reason if it did not succeed. Held ones are released. */
async function accept(stage: Stage, ended: Ended, reasons: ReadonlySet<string>): Promise<void> {
  for (const { sync, run, status, code, message } of ended.finished) {
    if (status === 'succeeded') continue
    const rows = code === 'ROWS_REJECTED' && !reasons.has(code) ? await stage.target.rejections() : []
    assert.ok(
      reasons.has(code ?? ''),
      `run of ${sync} ${status}: ${code} ${message} ${rows.join('; ')}\n${ended.stderr.slice(-3000)}`,
    )
    if (status !== 'held') continue
    stage.tally.held++
    const released = await call(stage.folder, 'release', run)
    assert.equal(released.code, 0, released.stderr)
  }
  if (ended.finished.length === 0)
    assert.ok(
      ended.code === 130 || ended.code === 0,
      `exit code ${ended.code}, and nothing was said:\n${ended.stderr.slice(-3000)}`,
    )
}

/** Nobody writes any more: both sides become equal, and stay so without another write. */
async function check(stage: Stage): Promise<void> {
  const { source, tally } = stage
  await source.settle()
  const planned = await plan(stage)
  const before = { ...tally }
  const last = await runUntilFine(stage)
  if (tally.runs === before.runs + 1 && tally.held === before.held) comparePlan(stage, planned, last)
  await proveEqual(stage)
  for (const { sync, inserts, updates, deletes } of await plan(stage))
    assert.deepEqual([sync, inserts, updates, deletes], [sync, 0, 0, 0], 'plan finds differences between equal sides')
  const again = await call(stage.folder, 'run')
  tally.runs++
  for (const { sync, status, written } of again.finished)
    assert.deepEqual(
      [sync, status, written],
      [sync, 'succeeded', 0],
      `the run after ${JSON.stringify(last)} was not idle`,
    )
  assert.equal(again.code, 0, again.stderr)
  refuseNeedlessComparison(stage, again)
  tally.checks++
}

async function plan(stage: Stage): Promise<readonly Line[]> {
  const { lines, code, stderr } = await call(stage.folder, 'plan')
  assert.equal(code, 0, stderr)
  return lines.filter(({ event }) => event === 'plan')
}

/** What plan announces is what the run does. Of an adopted table it does not know which rows were only found equal: those stay. */
function comparePlan({ syncs }: Stage, planned: readonly Line[], done: readonly Finished[]): void {
  for (const { name } of syncs.filter(({ adopts, table }) => !adopts && !table.twins)) {
    const announced = planned.find(({ sync }) => sync === name)
    const finished = done.find(({ sync }) => sync === name)
    assert.deepEqual(
      [name, announced?.inserts, announced?.deletes],
      [name, finished?.inserted, finished?.deleted],
      'plan and run differ',
    )
  }
}

/** Without a change, a source that can be followed is not read in full. */
function refuseNeedlessComparison({ syncs }: Stage, idle: Ended): void {
  for (const { name, table, mode } of syncs) {
    const compared = idle.lines.some(
      ({ event, sync, phase }) => event === 'run.progress' && sync === name && phase === 'compare',
    )
    if (table.follows && mode === 'auto') assert.equal(compared, false, `${name} was compared in full for nothing`)
  }
}

async function runUntilFine(stage: Stage): Promise<readonly Finished[]> {
  let changes = 0
  for (let tries = 0; tries < 6; tries++) {
    const heldBefore = stage.tally.held
    const ended = await call(stage.folder, 'run')
    stage.tally.runs++
    await accept(stage, ended, new Set(['GUARD_HELD']))
    if (stage.tally.held === heldBefore && ended.finished.some(({ written }) => written > 0)) changes++
    assert.ok(changes <= 2, 'more than two runs changed something although nobody wrote')
    if (ended.code === 0) return ended.finished
  }
  throw new Error('no run succeeded although nobody wrote')
}

async function proveEqual(stage: Stage): Promise<void> {
  const found: string[] = []
  for (const sync of stage.syncs) {
    const { left, right, names } = await bothSides(stage, sync)
    found.push(
      ...differences(left, right, names, sync.deletes === 'keep' || sync.adopts).map((line) => `${sync.name}: ${line}`),
    )
    stage.tally.rows += left.size
  }
  const verified = await call(stage.folder, 'verify')
  const verdicts = verified.lines.filter(({ event }) => event === 'verify')
  const said = verdicts.filter(({ equal }) => equal !== true).map((line) => JSON.stringify(line))
  assert.deepEqual({ sql: found, verify: said }, { sql: [], verify: [] })
  assert.equal(verdicts.length, stage.syncs.length, verified.stderr)
  assert.equal(verified.code, 0, verified.stderr)
}

async function bothSides(
  { target }: Stage,
  sync: Sync,
): Promise<{ left: Rows; right: Rows; names: readonly string[] }> {
  const columns = sync.table.columns().filter((column) => sync.fields === null || sync.fields.has(column.name))
  const renamed = columns.map((column): Column => ({ ...column, name: sync.fields?.get(column.name) ?? column.name }))
  const sources = sync.labels ? ['level', 'grade'].map(columnNamed(sync.table)) : []
  const read = await sync.table.read([...columns, ...sources], sync.condition)
  const left = new Map(
    [...read].map(([key, row]) => {
      const cells = columns.map(({ kind }, at) => target.loss(kind, row[at] ?? null))
      const [level, grade] = row.slice(columns.length)
      return [key, sync.labels ? [...cells, labelOf(level ?? null, grade ?? null)] : cells]
    }),
  )
  const labels: Column[] = sync.labels ? [{ name: 'label', kind: 'text', isKey: false }] : []
  const live = sync.deletes === 'mark' ? '_deleted_at IS NULL' : 'true'
  const right = await target.read(sync.target, [...renamed, ...labels], live)
  return { left, right, names: [...columns, ...labels].map(({ name }) => name) }
}

function columnNamed(table: SourceTable): (name: string) => Column {
  return (name) => {
    const column = table.columns().find((candidate) => candidate.name === name)
    if (column === undefined) throw new Error(`the table has no ${name}`)
    return { ...column, isKey: false }
  }
}
