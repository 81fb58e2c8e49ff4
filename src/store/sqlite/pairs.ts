/** What two-way syncs remember, in SQLite. What a run marks lives in temporary tables, which a reader may write, too. */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import type { SideName } from '../../core/two-way.ts'
import {
  type CommittedConflict,
  type ConflictStore,
  goneKey,
  type Intent,
  type JournalStore,
  type PairCommit,
  type PairMemory,
  type PairState,
  type PairStore,
  type Pending,
  type StoredPair,
  type Sweep,
  statusOf,
  type Unpaired,
  type WorkList,
} from '../pairs.ts'
import { leaseLost } from '../refusals.ts'
import { SqliteConflictStore } from './conflicts.ts'
import { SqliteJournalStore } from './journal.ts'
import { numberOrNull, textOrNull, toPair, toUnpaired, valuesOf } from './pair-rows.ts'
import { prepared } from './statements.ts'
import { SqliteSweep, SqliteWorkList, temporary } from './work-list.ts'

/** How many values go into one statement. */
const PER_STATEMENT = 500

export class SqlitePairStore implements PairStore {
  readonly conflicts: ConflictStore
  readonly journal: JournalStore
  readonly #database: DatabaseSync

  constructor(database: DatabaseSync) {
    this.#database = database
    this.conflicts = new SqliteConflictStore(database)
    this.journal = new SqliteJournalStore(database)
  }

  async open(sync: string, options: { readonly readOnly: boolean }): Promise<PairMemory> {
    return new SqlitePairMemory(this.#database, sync, options.readOnly)
  }

  async counterparts(sync: string, side: SideName, keys: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const rows = this.#database
      .prepare(
        `select ${side}_key as key, ${side === 'left' ? 'right' : 'left'}_key as other from pair
         where pairing = (select id from pairing where sync = ?) and ${side}_key in (select value from json_each(?))`,
      )
      .all(sync, JSON.stringify(keys))
    return new Map(rows.map((row) => [String(row.key), String(row.other)]))
  }

  async reset(sync: string, { keepPairs } = { keepPairs: false }): Promise<void> {
    const found = prepared(this.#database, 'select id from pairing where sync = ?').get(sync)
    if (found === undefined) return
    if (keepPairs) {
      transact(this.#database, () => {
        prepared(this.#database, 'update pair set layout = 0, recent = null where pairing = ?').run(found.id ?? null)
        prepared(this.#database, forgetAgreed).run(found.id ?? null)
      })
      return
    }
    transact(this.#database, () => {
      for (const table of ['pair', 'unpaired', 'pending', 'intent'])
        prepared(this.#database, `delete from ${table} where pairing = ?`).run(found.id ?? null)
      prepared(this.#database, 'delete from pairing where id = ?').run(found.id ?? null)
      prepared(this.#database, "delete from conflict where sync = ? and status in ('open', 'decided')").run(sync)
    })
  }
}

const forgetAgreed = `
  update pairing set left_cursor = null, right_cursor = null, left_fence = null, right_fence = null,
    layouts = case layouts when '[]' then layouts else json_set(layouts, '$[#-1].complete', json('false')) end
  where id = ?`

export function transact<T>(database: DatabaseSync, work: () => T): T {
  database.exec('begin immediate')
  try {
    const result = work()
    database.exec('commit')
    return result
  } catch (error) {
    if (database.isTransaction) database.exec('rollback')
    throw error
  }
}

class SqlitePairMemory implements PairMemory {
  readonly work: WorkList
  readonly sweep: Sweep
  readonly #database: DatabaseSync
  readonly #sync: string
  /** 0: the sync has no pairs yet, and nothing may be written. */
  readonly #pairing: number

  constructor(database: DatabaseSync, sync: string, readOnly: boolean) {
    this.#database = database
    this.#sync = sync
    if (!readOnly) prepared(database, 'insert into pairing (sync) values (?) on conflict do nothing').run(sync)
    this.#pairing = Number(prepared(database, 'select id from pairing where sync = ?').get(sync)?.id ?? 0)
    database.exec(temporary)
    this.#clear()
    this.work = new SqliteWorkList(database, this.#pairing, (generation, work) =>
      transact(database, () => {
        this.#fence(generation)
        return Number(work().changes)
      }),
    )
    this.sweep = new SqliteSweep((sql) => this.#prepare(sql), this.#pairing, database)
  }

  async state(): Promise<PairState> {
    const row = prepared(this.#database, 'select * from pairing where id = ?').get(this.#pairing)
    return {
      cursors: { left: textOrNull(row?.left_cursor), right: textOrNull(row?.right_cursor) },
      layouts: row === undefined ? [] : (JSON.parse(String(row.layouts)) as PairState['layouts']),
      runs: Number(row?.runs ?? 0),
      fences: { left: numberOrNull(row?.left_fence), right: numberOrNull(row?.right_fence) },
    }
  }

  async known(side: SideName): Promise<number> {
    const row = this.#prepare(
      `select (select count(*) from pair where pairing = :p) + (select count(*) from unpaired where pairing = :p and side = :side)
        + (select count(*) from temp.found where pairing = :p and side = :side
            and not exists (select 1 from unpaired where unpaired.pairing = :p and unpaired.side = :side and unpaired.key = found.key))
        + (select count(*) from temp.met where pairing = :p and side = :side) as n`,
    ).get({ p: this.#pairing, side })
    return Number(row?.n)
  }

  async byKeys(side: SideName, keys: readonly string[]): Promise<readonly StoredPair[]> {
    const column = `${side}_key`
    return chunks(keys).flatMap((part) =>
      this.#prepare(`select * from pair where pairing = ? and ${column} in (${marks(part.length)})`)
        .all(this.#pairing, ...part)
        .map(toPair),
    )
  }

  async byIds(ids: readonly number[]): Promise<readonly StoredPair[]> {
    return chunks(ids).flatMap((part) =>
      this.#prepare(`select * from pair where pairing = ? and id in (${marks(part.length)})`)
        .all(this.#pairing, ...part)
        .map(toPair),
    )
  }

  async after(id: number, limit: number): Promise<readonly StoredPair[]> {
    return this.#prepare('select * from pair where pairing = ? and id > ? order by id limit ?')
      .all(this.#pairing, id, limit)
      .map(toPair)
  }

  async unpaired(side: SideName, keys: readonly string[]): Promise<readonly Unpaired[]> {
    return chunks(keys).flatMap((part) =>
      this.#prepare(`select * from unpaired where pairing = ? and side = ? and key in (${marks(part.length)})`)
        .all(this.#pairing, side, ...part)
        .map(toUnpaired),
    )
  }

  async partners(side: SideName, matches: readonly string[]): Promise<readonly { match: string; key: string }[]> {
    return chunks(matches).flatMap((part) => {
      const list = marks(part.length)
      return this.#prepare(
        `select match, key from unpaired where pairing = ? and side = ? and match in (${list})
           and key not in (select key from temp.found as newer where newer.pairing = unpaired.pairing and newer.side = unpaired.side)
         union select match, key from temp.found where pairing = ? and side = ? and match in (${list})`,
      )
        .all(this.#pairing, side, ...part, this.#pairing, side, ...part)
        .map((row) => ({ match: String(row.match), key: String(row.key) }))
    })
  }

  async waiting(): Promise<{ pairs: readonly Pending[]; unpaired: readonly Unpaired[] }> {
    const pairs = this.#prepare('select pair, state, code, message from pending where pairing = ?')
      .all(this.#pairing)
      .map((row) => ({
        pair: Number(row.pair),
        state: String(row.state) as Pending['state'],
        code: textOrNull(row.code),
        message: textOrNull(row.message),
      }))
    const unpaired = this.#prepare("select * from unpaired where pairing = ? and state not in ('alone', 'parted')")
      .all(this.#pairing)
      .map(toUnpaired)
    return { pairs, unpaired }
  }

  async intents(): Promise<readonly Intent[]> {
    return this.#prepare('select id, side, body from intent where pairing = ? order by id')
      .all(this.#pairing)
      .map((row) => ({ id: String(row.id), side: String(row.side) as SideName, body: String(row.body) }))
  }

  async intend(generation: number, intents: readonly Intent[]): Promise<void> {
    transact(this.#database, () => {
      this.#fence(generation)
      const insert = this.#prepare('insert into intent (pairing, id, side, body) values (?, ?, ?, ?)')
      for (const { id, side, body } of intents) insert.run(this.#pairing, id, side, body)
    })
  }

  async commit(generation: number, change: PairCommit): Promise<readonly CommittedConflict[]> {
    return transact(this.#database, () => {
      this.#fence(generation)
      this.#commitPairs(change)
      this.#commitRest(change)
      return this.#commitConflicts(change)
    })
  }

  #commitPairs(change: PairCommit): void {
    const p = this.#pairing
    const remove = this.#prepare('delete from pair where pairing = ? and id = ?')
    const unpend = this.#prepare('delete from pending where pairing = ? and pair = ?')
    for (const id of change.remove) {
      remove.run(p, id)
      unpend.run(p, id)
    }
    for (const { side, key } of change.taken) {
      const owner = this.#prepare(`select id from pair where pairing = ? and ${side}_key = ?`).get(p, key)
      if (owner !== undefined)
        this.#prepare(`update pair set ${side}_key = ? where id = ?`).run(goneKey(Number(owner.id)), Number(owner.id))
    }
    const update = this.#prepare(
      'update pair set left_key = ?, right_key = ?, left_base = ?, right_base = ?, layout = ?, recent = ? where pairing = ? and id = ?',
    )
    for (const pair of change.update) update.run(...valuesOf(pair), p, pair.id)
    const insert = this.#prepare(
      'insert into pair (left_key, right_key, left_base, right_base, layout, recent, pairing) values (?, ?, ?, ?, ?, ?, ?)',
    )
    for (const pair of change.insert) insert.run(...valuesOf(pair), p)
    for (const id of change.unpend) unpend.run(p, id)
    const pend = this.#prepare(
      'insert or replace into pending (pairing, pair, state, code, message) values (?, ?, ?, ?, ?)',
    )
    for (const { pair, state, code, message } of change.pending) pend.run(p, pair, state, code, message)
    const settle = this.#prepare('delete from unpaired where pairing = ? and side = ? and key = ?')
    const found = this.#prepare('delete from temp.found where pairing = ? and side = ? and key = ?')
    const marked = this.#prepare('delete from temp.marked where pairing = ? and side = ? and key = ? and pair is null')
    // A row that is dealt with is not looked at again, also if it was marked by itself.
    const forget = {
      run: (...of: [number, SideName, string]) => {
        found.run(...of)
        marked.run(...of)
      },
    }
    for (const { side, key } of change.settled) {
      settle.run(p, side, key)
      forget.run(p, side, key)
    }
    const keep = this.#prepare(
      'insert or replace into unpaired (pairing, side, key, match, state, code, message) values (?, ?, ?, ?, ?, ?, ?)',
    )
    for (const { side, key, match, state, code, message } of change.unpaired) {
      keep.run(p, side, key, match, state, code, message)
      forget.run(p, side, key)
    }
  }

  #commitRest(change: PairCommit): void {
    const carried = this.#prepare('delete from intent where pairing = ? and id = ?')
    for (const id of change.carried) carried.run(this.#pairing, id)
    const note = this.#prepare(
      `insert into journal (sync, run, at, side, kind, pair, left_key, right_key, fields, before, after, reason)
       values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    for (const entry of change.journal) {
      const fields = entry.fields.length === 0 ? null : JSON.stringify(entry.fields)
      note.run(
        entry.sync,
        entry.run,
        entry.atMs,
        entry.side,
        entry.kind,
        entry.pair,
        entry.left,
        entry.right,
        fields,
        entry.before,
        entry.after,
        entry.reason,
      )
    }
  }

  #commitConflicts(change: PairCommit): CommittedConflict[] {
    const open = this.#prepare(
      `insert into conflict (sync, kind, pair, left_key, right_key, fields, status, run, opened_at, closed_at)
       values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    const find = this.#prepare('select fields from conflict where id = ?')
    const move = this.#prepare(
      'update conflict set left_key = ?, right_key = ?, fields = ?, status = ?, closed_at = ? where id = ?',
    )
    return change.conflicts.map(({ id, kind, pair, left, right, fields: changed, run, atMs }) => {
      const known = id === null ? undefined : find.get(id)
      const fields = { ...(known === undefined ? {} : (JSON.parse(String(known.fields)) as object)), ...changed }
      const status = statusOf(fields)
      const closedAt = status === 'open' || status === 'decided' ? null : atMs
      const text = JSON.stringify(fields)
      if (id !== null) {
        move.run(left, right, text, status, closedAt, id)
        return { id, status }
      }
      const { lastInsertRowid } = open.run(this.#sync, kind, pair, left, right, text, status, run, atMs, closedAt)
      return { id: Number(lastInsertRowid), status }
    })
  }

  async claimed(generation: number, { left, right }: PairState['fences']): Promise<void> {
    transact(this.#database, () => {
      this.#fence(generation)
      this.#prepare('update pairing set left_fence = ?, right_fence = ? where id = ?').run(left, right, this.#pairing)
    })
  }

  async finish(generation: number, { cursors, layouts, runs }: Omit<PairState, 'fences'>): Promise<void> {
    transact(this.#database, () => {
      this.#fence(generation)
      this.#prepare('update pairing set left_cursor = ?, right_cursor = ?, layouts = ?, runs = ? where id = ?').run(
        cursors.left,
        cursors.right,
        JSON.stringify(layouts),
        runs,
        this.#pairing,
      )
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#database.isOpen) this.#clear()
  }

  #fence(generation: number): void {
    const row = this.#prepare('select 1 from lease where sync = ? and generation = ? and holder is not null').get(
      this.#sync,
      generation,
    )
    if (row !== undefined) return
    throw leaseLost(this.#sync)
  }

  #clear(): void {
    for (const table of ['found', 'met', 'marked', 'seen']) {
      const other = this.#prepare(`select 1 from temp.${table} where pairing <> ? limit 1`).get(this.#pairing)
      // Without a condition SQLite empties a table at once.
      if (other === undefined) this.#prepare(`delete from temp.${table}`).run()
      else this.#prepare(`delete from temp.${table} where pairing = ?`).run(this.#pairing)
    }
  }

  #prepare(sql: string): StatementSync {
    return prepared(this.#database, sql)
  }
}

function marks(count: number): string {
  return Array(count).fill('?').join(', ')
}

/** Whole chunks first, so that few different statements are prepared; the rest is padded with its last value. */
function chunks<T extends SQLInputValue>(values: readonly T[]): T[][] {
  const parts: T[][] = []
  for (let start = 0; start < values.length; start += PER_STATEMENT) {
    const part = values.slice(start, start + PER_STATEMENT)
    const size = part.length <= 10 ? part.length : PER_STATEMENT
    while (part.length < size) part.push(part.at(-1) as T)
    parts.push(part)
  }
  return parts
}
