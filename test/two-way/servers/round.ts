/**
 * One round: people work on both sides before and during runs, runs are killed; then, when nobody writes any more, both
 * sides must be equal by `verify` and by plain SQL, nothing that somebody wrote may be lost, and a further run must write
 * nothing. The seed decides everything but the timing of processes.
 */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { temporaryFolder } from '../../../tools/database.ts'
import { call, type Ended, killNow, type Line, type Running, start, writeModule } from '../../oracle/project.ts'
import { Random, seedOf } from '../../oracle/random.ts'
import { History } from './history.ts'
import { fields, openSide, type Person, type Side, type System } from './people.ts'

export interface Combination {
  readonly left: System
  readonly right: System
}

/** What the rounds of a combination did. */
export interface Tally {
  runs: number
  kills: number
  deeds: number
  conflicts: number
  writes: number
}

interface Stage {
  readonly random: Random
  readonly folder: string
  readonly left: Side
  readonly right: Side
  readonly history: History
  readonly sync: object
  readonly tally: Tally
  /** How long a run takes that nobody kills, from its first sync's start. */
  usualMs: number
}

/** What may end a run while people hold locks. */
const passing = new Set(['DATABASE_LOCKED', 'CONNECTION_LOST', 'INTERRUPTED'])

export async function playRound(combination: Combination, seed: number, tally: Tally): Promise<void> {
  const name = `${combination.left} ⇄ ${combination.right}`
  const random = new Random(seedOf(seed, name))
  await using folder = await temporaryFolder()
  const history = new History()
  const sharedKeys = random.chance(0.2)
  const common = { folder: folder.path, history, sharedKeys }
  await using left = await openSide({ ...common, name: 'left', system: combination.left, random: random.fork() })
  await using right = await openSide({ ...common, name: 'right', system: combination.right, random: random.fork() })
  const sync = drawSync(random, sharedKeys)
  await writeModule(folder.path, {
    connections: { left: left.connection, right: right.connection },
    syncs: { people: sync },
  })
  const stage: Stage = { random, folder: folder.path, left, right, history, sync, tally, usualMs: 60 }
  try {
    for (let epoch = 0; epoch < 2; epoch++) {
      await disturb(stage)
      await check(stage)
    }
  } catch (error) {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
    const rule = (_name: string, value: unknown) => (typeof value === 'function' ? String(value) : value)
    throw new Error(
      `${name}, seed ${seed}: ${message}\n${JSON.stringify(sync, rule)}\n${history.deeds.slice(-40).join('\n')}`,
      { cause: error },
    )
  }
  tally.deeds += history.deeds.length
}

type Rule = string | ((base: unknown, left: unknown, right: unknown) => unknown)
const rules: readonly Rule[] = [
  'left',
  'right',
  'newest',
  'ask',
  (_base, left, right) => (String(left) > String(right) ? left : right),
  (_base, left, right) => (left === null || right === null ? 'ask' : right),
]
const merge: Rule = (_base, left, right) => (left === null || right === null ? (left ?? right) : `${left} & ${right}`)

function drawSync(random: Random, sharedKeys: boolean): object {
  const rule = random.pick(rules)
  const needsValues = rule === 'ask' || typeof rule === 'function'
  const bases = !needsValues && random.chance(0.4) ? 'hash' : 'values'
  const oneWay = random.chance(0.25)
    ? { direction: random.pick(['left-to-right', 'right-to-left']), edits: random.pick(['revert', 'ignore']) }
    : bases === 'values' && random.chance(0.3)
      ? { onConflict: merge }
      : {}
  return {
    between: ['left.people', 'right.people'],
    match: sharedKeys ? ['id'] : random.chance(0.6) ? ['email'] : [],
    fields: {
      ...(sharedKeys ? { id: 'id' } : {}),
      token: 'token',
      email: 'email',
      name: { right: 'Full Name' },
      note: oneWay,
      level: 'level',
      vip: 'vip',
    },
    onConflict: rule,
    onDeleteConflict: random.pick(['keep', 'keep', 'delete', 'ask']),
    stamp: { left: 'changed', right: 'changed' },
    guard: { maxDeletes: 1e9, maxDeleteShare: 1 },
    bases,
    batch: { rows: random.pick([1, 3, 1000]) },
  }
}

/** People work; runs start in between, and some are killed. */
async function disturb(stage: Stage): Promise<void> {
  const { random, tally } = stage
  const step = () => (random.chance(0.5) ? stage.left : stage.right).step()
  for (let run = random.between(2, 4); run > 0; run--) {
    for (let steps = random.between(0, 40); steps > 0; steps--) await step()
    const running = start(stage.folder, 'run')
    let over = false
    const end = chooseEnd(stage, running).finally(() => {
      over = true
    })
    const watched = end.catch(() => {})
    while (!over) {
      await step()
      await Promise.race([watched, sleep(random.between(0, 8))])
    }
    const ended = await end
    tally.runs++
    if (ended.signal === 'SIGKILL') tally.kills++
    else accept(ended, passing)
  }
}

/** Lets the run end by itself, or kills it at any moment. */
async function chooseEnd(stage: Stage, running: Running): Promise<Ended> {
  const { random } = stage
  const dies = random.chance(0.6)
  const waitMs = random.next() * stage.usualMs
  await running.started
  const startedAt = performance.now()
  if (dies) {
    await Promise.race([running.ended.catch(() => {}), sleep(waitMs)])
    return await killNow(running)
  }
  const ended = await running.ended
  stage.usualMs = (stage.usualMs + performance.now() - startedAt) / 2
  return ended
}

/** A run that ended by itself must have a good reason if it did not succeed. */
function accept(ended: Ended, reasons: ReadonlySet<string>): void {
  for (const { status, code, message } of ended.finished)
    assert.ok(
      status === 'succeeded' || reasons.has(code ?? ''),
      `run ${status}: ${code} ${message}\n${ended.stderr.slice(-3000)}`,
    )
  assert.ok(ended.finished.length > 0, `exit code ${ended.code}, and nothing was said:\n${ended.stderr.slice(-3000)}`)
}

/** Nobody writes any more: both sides become equal within two runs, and stay so without another write. */
async function check(stage: Stage): Promise<void> {
  const { folder, tally } = stage
  await stage.left.settle()
  await stage.right.settle()
  for (let run = 0; run < 2; run++) {
    const ended = await call(folder, 'run')
    accept(ended, new Set())
    tally.runs++
    tally.writes += ended.finished[0]?.written ?? 0
  }
  const conflicts = await records(stage)
  proveNothingLost(stage, await everybody(stage), conflicts)
  await proveEqual(stage, conflicts)
  const [planned] = await lines(stage, 'plan')
  assert.deepEqual([planned?.inserts, planned?.updates, planned?.deletes], [0, 0, 0], 'plan finds something to do')
  const again = await call(folder, 'run')
  tally.runs++
  assert.deepEqual(
    again.finished.map(({ status, written }) => [status, written]),
    [['succeeded', 0]],
    'the third run was not idle',
  )
}

interface Conflict extends Line {
  readonly kind: 'fields' | 'delete' | 'match' | 'undo'
  readonly status: string
  readonly key: Readonly<Record<'left' | 'right', { readonly id: unknown } | null>>
  readonly fields: Readonly<
    Record<string, { readonly left: unknown; readonly right: unknown; readonly rule: string; readonly status: string }>
  >
}

type Sides = Readonly<Record<'left' | 'right', readonly Person[]>>

async function everybody({ left, right }: Stage): Promise<Sides> {
  return { left: await left.everybody(), right: await right.everybody() }
}

async function records(stage: Stage): Promise<Conflict[]> {
  return (await lines(stage, 'conflicts', '--all', '--limit', '1000000')) as Conflict[]
}

async function lines({ folder }: Stage, ...args: string[]): Promise<readonly Line[]> {
  const { lines, code, stderr } = await call(folder, ...args)
  assert.equal(code, 0, stderr)
  return lines.filter(({ event }) => event === args[0] || event === 'conflict')
}

/** S1 to S4: what somebody wrote is there, was seen by who wrote over it, or is on record; and nothing is there twice. */
function proveNothingLost({ history, tally }: Stage, sides: Sides, conflicts: readonly Conflict[]): void {
  const there = new Set([...sides.left, ...sides.right].flatMap((row) => Object.values(row)))
  const kept = new Set<unknown>(conflicts.flatMap((one) => Object.values(one.fields).flatMap((f) => [f.left, f.right])))
  tally.conflicts += conflicts.length
  const lost = history.unseen().filter(([text]) => !there.has(text) && !kept.has(text))
  assert.equal(lost.length, 0, lost.map(([text, about]) => `lost is ${text}:\n${history.about(about)}`).join('\n'))
  const undeletable = new Set(
    conflicts
      .filter(({ kind }) => kind === 'delete')
      .flatMap((one) => [one.fields.token?.left, one.fields.token?.right]),
  )
  for (const [side, rows] of Object.entries(sides)) {
    const tokens = rows.map(({ token }) => String(token))
    assert.equal(new Set(tokens).size, tokens.length, `a row is there twice on the ${side}: ${tokens.sort()}`)
    const risen = tokens.filter((token) => history.deleted.has(token) && !undeletable.has(token))
    assert.deepEqual(risen, [], `a deleted row is back on the ${side}`)
    for (const row of rows)
      for (const value of ['token', 'email', 'name', 'note'].flatMap((field) => row[field] ?? []))
        for (const text of String(value).split(' & ')) assert.ok(history.wrote.has(text), `nobody wrote ${text}`)
  }
}

/** By `verify`, and by what plain SQL gives. Rows with an open conflict are equal but for its fields. */
async function proveEqual(stage: Stage, conflicts: readonly Conflict[]): Promise<void> {
  const sides = await everybody(stage)
  const rows = {
    left: new Map(sides.left.map((row) => [row.id, row])),
    right: new Map(sides.right.map((row) => [row.id, row])),
  }
  const spell = (row: Person, without: readonly string[]) =>
    JSON.stringify(fields.map((field) => (without.includes(field) ? '-' : row[field])))
  const ignored = ignoredFields(stage.sync)
  const open = new Map<string, { left: unknown; right: unknown; fields: string[]; deleted: boolean }>()
  for (const { kind, key, fields, status } of conflicts.filter(({ status }) => status === 'open')) {
    assert.ok(kind === 'fields' || kind === 'delete', `a ${kind} conflict is ${status}`)
    const names = Object.keys(fields).filter((name) => fields[name]?.status === 'open')
    for (const name of names) {
      const field = fields[name]
      assert.ok(mayStayOpen(stage.sync, kind, name, field), `${name} is open under the rule ${field?.rule}`)
    }
    const id = JSON.stringify(key)
    const known = open.get(id)?.fields ?? []
    const ids = { left: key.left?.id, right: key.right?.id }
    open.set(id, { ...ids, fields: [...known, ...names], deleted: kind === 'delete' || open.get(id)?.deleted === true })
  }
  for (const { left, right, fields: names, deleted } of open.values()) {
    const [a, b] = [rows.left.get(String(left)), rows.right.get(String(right))]
    rows.left.delete(String(left))
    rows.right.delete(String(right))
    if (deleted) assert.ok((a === undefined) !== (b === undefined), 'a deletion is open, and both sides have the row')
    else {
      assert.ok(
        a !== undefined && b !== undefined,
        `a conflict of fields is open, and a side has no row: ${left} ${right}`,
      )
      assert.equal(spell(a, [...names, ...ignored]), spell(b, [...names, ...ignored]), 'outside an open conflict')
    }
  }
  const left = [...rows.left.values()].map((row) => spell(row, ignored)).sort()
  const right = [...rows.right.values()].map((row) => spell(row, ignored)).sort()
  assert.deepEqual(left, right, 'the sides differ')
  const [verdict] = await lines(stage, 'verify')
  assert.equal(verdict?.equal, true, JSON.stringify(verdict))
  assert.equal(verdict?.settled, 0, JSON.stringify(verdict))
}

/** A one-way field whose edits are ignored may differ for good. */
function ignoredFields(sync: object): string[] {
  const { note } = (sync as { fields: { note: { edits?: string } } }).fields
  return note.edits === 'ignore' ? ['note'] : []
}

function mayStayOpen(
  sync: object,
  kind: string,
  name: string,
  { rule, left, right }: Partial<Conflict['fields'][string]> = {},
): boolean {
  const { onConflict, onDeleteConflict } = sync as { onConflict: Rule; onDeleteConflict: string }
  if (kind === 'delete') return onDeleteConflict === 'ask'
  // Two of few values, taken in turns by people who never stop: that looks like two systems that correct each other. Texts are
  // all different, but for null.
  if (rule === 'oscillation') return name === 'level' || name === 'vip' || left === null || right === null
  return onConflict === 'ask' || String(onConflict).includes("'ask'")
}
