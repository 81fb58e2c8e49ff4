/** All that a run may do to the pairs of its sync: every write under the fence of its lease. */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import {
  type CommittedConflict,
  goneKey,
  type Intent,
  type PairCommit,
  type PairRun,
  type PairState,
  statusOf,
} from '../pairs.ts'
import { leaseLost, marksLost } from '../refusals.ts'
import { valuesOf } from './pair-rows.ts'
import { SqlitePairWork } from './pair-work.ts'
import { prepared, transact } from './statements.ts'

export class SqlitePairRun implements PairRun {
  readonly work: SqlitePairWork
  readonly #database: DatabaseSync
  readonly #sync: string
  readonly #pairing: number

  constructor(database: DatabaseSync, sync: string) {
    this.#database = database
    this.#sync = sync
    this.#prepare('insert into pairing (sync) values (?) on conflict do nothing').run(sync)
    this.#pairing = Number(this.#prepare('select id from pairing where sync = ?').get(sync)?.id ?? 0)
    this.work = new SqlitePairWork(database, sync)
  }

  async pairAlike(generation: number, layout: number): Promise<number> {
    return this.work.pairAlike(layout, (work) =>
      transact(this.#database, () => {
        this.#fence(generation)
        return work()
      }),
    )
  }

  async intend(generation: number, intents: readonly Intent[]): Promise<void> {
    transact(this.#database, () => {
      this.#fence(generation)
      const insert = this.#prepare('insert into intent (pairing, id, side, body) values (?, ?, ?, ?)')
      for (const { id, side, body } of intents) insert.run(this.#pairing, id, side, body)
    })
  }

  async commit(generation: number, change: PairCommit): Promise<readonly CommittedConflict[]> {
    const conflicts = transact(this.#database, () => {
      this.#fence(generation)
      this.#commitPairs(change)
      this.#commitRest(change)
      return this.#commitConflicts(change)
    })
    this.work.settle([...change.settled, ...change.unpaired])
    return conflicts
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
    for (const { side, key } of change.settled) {
      settle.run(p, side, key)
    }
    const keep = this.#prepare(
      'insert or replace into unpaired (pairing, side, key, match, state, code, message) values (?, ?, ?, ?, ?, ?, ?)',
    )
    for (const { side, key, match, state, code, message } of change.unpaired) {
      keep.run(p, side, key, match, state, code, message)
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

  async claiming(generation: number): Promise<void> {
    transact(this.#database, () => {
      this.#fence(generation)
      this.#prepare('update pairing set claims = claims + 1 where id = ?').run(this.#pairing)
    })
  }

  async claimed(generation: number, { left, right }: PairState['fences']): Promise<void> {
    transact(this.#database, () => {
      this.#fence(generation)
      this.#prepare('update pairing set left_fence = ?, right_fence = ?, claims = 0 where id = ?').run(
        left,
        right,
        this.#pairing,
      )
    })
  }

  async finish(generation: number, { cursors, layouts, runs }: Omit<PairState, 'fences' | 'claims'>): Promise<void> {
    if (this.work.outstanding !== 0) throw marksLost(this.#sync, this.work.outstanding)
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
    await this.work[Symbol.asyncDispose]()
  }

  #fence(generation: number): void {
    const row = this.#prepare('select 1 from lease where sync = ? and generation = ? and holder is not null').get(
      this.#sync,
      generation,
    )
    if (row !== undefined) return
    throw leaseLost(this.#sync)
  }

  #prepare(sql: string): StatementSync {
    return prepared(this.#database, sql)
  }
}
