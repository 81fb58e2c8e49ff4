/**
 * What one run or plan found and still has to look at, in temporary tables. The tables belong to the handle, which runs,
 * plans and readers of one process share: every row carries the number of its opening.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { hashNumber } from '../../core/base.ts'
import type { SideName } from '../../core/two-way.ts'
import type { Mark, PairWork, Phase, WorkItem } from '../pairs.ts'
import { attempt } from './errors.ts'
import { toStored } from './pair-rows.ts'
import { chunks, marks, prepared, transact } from './statements.ts'
import { SqliteSweep } from './sweep.ts'

// found: rows without a pair met in this run, with their match values. marked: what is still to be looked at.
const temporary = `
  create temp table if not exists opening (last integer not null);
  insert into temp.opening select 0 where not exists (select 1 from temp.opening);
  create temp table if not exists found (
    opening integer not null, side text not null, key text not null, match text, primary key (opening, side, key)
  ) without rowid;
  create index if not exists temp.found_by_match on found (opening, side, match) where match is not null;
  -- rows of a first pairing, with their cells
  create temp table if not exists met (
    opening integer not null, side text not null, key text not null, match text, hash integer, cells any
  );
  create temp table if not exists twin (opening integer not null, l integer not null, r integer not null, primary key (opening, l)) without rowid;
  create temp table if not exists marked (
    seq integer primary key, opening integer not null, phase text not null, pair integer, side text, key text
  );
  create unique index if not exists temp.marked_pair on marked (opening, pair) where pair is not null;
  create unique index if not exists temp.marked_key on marked (opening, side, key) where pair is null;
  create index if not exists temp.marked_phase on marked (opening, phase, pair is null, seq);
  create temp table if not exists seen (opening integer not null, key text not null, primary key (opening, key)) without rowid;
`
const tables = ['found', 'met', 'twin', 'marked', 'seen'] as const

const ALIKE_PER_COMMIT = 50_000
const ALL = Number.MAX_SAFE_INTEGER

/**
 * Candidates, in the order the left side was read: one row of each side with a hash of its match that nobody else has. Found
 * in one pass over numbers in order, and joined in the order of reading: looking each match up costs twice as much.
 */
const findTwins = `
  insert into temp.twin (opening, l, r)
  select :o, min(iif(side = 'left', at, null)) as l, min(iif(side = 'right', at, null)) as r
    from (select side, hash, rowid as at from temp.met where opening = :o and hash is not null)
   group by hash having count(*) = 2 and l is not null and r is not null order by l`
const alike = `
  from temp.twin join temp.met as l on l.rowid = twin.l join temp.met as r on r.rowid = twin.r
  where twin.opening = :o and twin.l > :after and twin.l <= :until and l.match = r.match and l.cells = r.cells order by twin.l`
const insertAlike = `insert into pair (pairing, left_key, right_key, left_base, layout) select :p, l.key, r.key, l.cells, :layout ${alike}`
const sides = ['left', 'right'] as const
/** A row that has a pair is not kept as one that has none. */
const forgetUnpaired = (side: SideName) => `
  delete from unpaired where pairing = :p and side = '${side}'
    and exists (select 1 from pair where pair.pairing = :p and pair.${side}_key = unpaired.key)`
const seeAlike = (table: 'l' | 'r', side: SideName) =>
  `insert into temp.seen (opening, key) select :o, '${side}' || ${table}.key ${alike}`

export class SqlitePairWork implements PairWork {
  readonly sweep: SqliteSweep
  readonly #database: DatabaseSync
  readonly #sync: string
  readonly #opening: number
  #outstanding = 0

  constructor(database: DatabaseSync, sync: string) {
    this.#database = database
    this.#sync = sync
    attempt(database, () => database.exec(temporary))
    const opened = this.#prepare('update temp.opening set last = last + 1 returning last').get()
    this.#opening = Number(opened?.last)
    this.sweep = new SqliteSweep(database, {
      opening: this.#opening,
      pairing: () => this.#pairing,
      marked: (count) => {
        this.#outstanding += count
      },
    })
  }

  /** How many rows were marked and neither done nor settled. */
  get outstanding(): number {
    return this.#outstanding
  }

  async known(side: SideName): Promise<number> {
    const row = this.#prepare(
      `select (select count(*) from pair where pairing = :p) + (select count(*) from unpaired where pairing = :p and side = :side)
        + (select count(*) from temp.found where opening = :o and side = :side
            and not exists (select 1 from unpaired where unpaired.pairing = :p and unpaired.side = :side and unpaired.key = found.key))
        + (select count(*) from temp.met where opening = :o and side = :side) as n`,
    ).get({ p: this.#pairing, o: this.#opening, side })
    return Number(row?.n)
  }

  async partners(
    side: SideName,
    matches: readonly string[],
    most = ALL,
  ): Promise<readonly { match: string; key: string }[]> {
    return chunks(matches).flatMap((part) => {
      const list = marks(part.length)
      const all = `select match, key from unpaired where pairing = ? and side = ? and match in (${list})
           and key not in (select key from temp.found as newer where newer.opening = ? and newer.side = unpaired.side)
         union select match, key from temp.found where opening = ? and side = ? and match in (${list})`
      const some = `select match, key from (
        select match, key, row_number() over (partition by match order by key) as place from (${all})) where place <= ${most}`
      return this.#prepare(most === ALL ? all : some)
        .all(this.#pairing, side, ...part, this.#opening, this.#opening, side, ...part)
        .map((row) => ({ match: String(row.match), key: String(row.key) }))
    })
  }

  async add(marked: readonly Mark[]): Promise<void> {
    const pair = this.#prepare(
      "insert into temp.marked (opening, phase, pair) values (?, 'writes', ?) on conflict do nothing",
    )
    const row = this.#prepare(
      "insert into temp.marked (opening, phase, side, key) values (?, 'writes', ?, ?) on conflict do nothing",
    )
    const found = this.#prepare(
      `insert into temp.found (opening, side, key, match) values (?, ?, ?, ?)
       on conflict do update set match = excluded.match`,
    )
    const metOn = (side: SideName) =>
      this.#prepare(`insert into temp.met (opening, side, key, match, hash, cells) values (?, '${side}', ?, ?, ?, ?)`)
    const met = { left: metOn('left'), right: metOn('right') }
    this.#together(() => {
      let added = 0
      for (const mark of marked) {
        if ('pair' in mark) added += Number(pair.run(this.#opening, mark.pair).changes)
        else if (mark.cells !== undefined) {
          const hash = mark.match === null ? null : hashNumber(mark.match)
          met[mark.side].run(this.#opening, mark.key, mark.match, hash, toStored(mark.cells))
          added++
        } else {
          added += Number(row.run(this.#opening, mark.side, mark.key).changes)
          found.run(this.#opening, mark.side, mark.key, mark.match)
        }
      }
      this.#outstanding += added
    })
  }

  async passAlike(): Promise<number> {
    return this.#divide((bounds) => {
      const pairs = Number(this.#prepare(seeAlike('l', 'left')).run(bounds).changes)
      this.#prepare(seeAlike('r', 'right')).run(bounds)
      return pairs
    })
  }

  /** `commit`: runs its work in a fenced transaction. */
  pairAlike(layout: number, commit: (work: () => number) => number): number {
    const insert = this.#prepare(insertAlike)
    const paired = sides.map((side) => this.#prepare(forgetUnpaired(side)))
    return this.#divide((bounds) =>
      commit(() => {
        const { changes } = insert.run({ ...bounds, p: this.#pairing, layout })
        if (changes > 0) for (const statement of paired) statement.run({ p: this.#pairing })
        return Number(changes)
      }),
    )
  }

  /** Gives those that are alike to `take`, in parts, and marks the others. */
  #divide(take: (bounds: { o: number; after: number; until: number }) => number): number {
    const o = this.#opening
    this.#prepare(findTwins).run({ o })
    const met = Number(this.#prepare('select count(*) as n from temp.met where opening = ?').get(o)?.n)
    let pairs = 0
    // In the order they were read, which is the order of keys as a rule: then the indexes of pairs grow at their ends.
    const last = Number(this.#prepare('select max(l) as last from temp.twin where opening = ?').get(o)?.last ?? 0)
    for (let after = 0; after < last; after += ALIKE_PER_COMMIT)
      pairs += take({ o, after, until: after + ALIKE_PER_COMMIT })
    let apart = 0
    for (const side of met === 2 * pairs ? [] : ['left', 'right']) apart += this.#markApart(side)
    for (const table of ['met', 'twin', 'seen'] as const) this.#empty(table)
    this.#outstanding += apart - met
    return pairs
  }

  /** What found no counterpart is work. */
  #markApart(side: string): number {
    const from = `from temp.met where opening = :o and side = '${side}'
      and not exists (select 1 from pair where pair.pairing = :p and pair.${side}_key = met.key)
      and not exists (select 1 from temp.seen where seen.opening = :o and seen.key = '${side}' || met.key)
      order by rowid on conflict do nothing`
    const of = { o: this.#opening, p: this.#pairing }
    this.#prepare(`insert into temp.found (opening, side, key, match) select opening, side, key, match ${from}`).run(of)
    const marked = this.#prepare(
      `insert into temp.marked (opening, phase, side, key) select opening, 'writes', side, key ${from}`,
    ).run(of)
    return Number(marked.changes)
  }

  async next(phase: Phase, limit: number): Promise<readonly WorkItem[]> {
    return this.#prepare(
      'select seq, pair, side, key from temp.marked where opening = ? and phase = ? order by pair is null, seq limit ?',
    )
      .all(this.#opening, phase, limit)
      .map((row): WorkItem => {
        const seq = Number(row.seq)
        if (row.pair !== null) return { seq, pair: Number(row.pair), side: null }
        return { seq, pair: null, side: String(row.side) as SideName, key: String(row.key) }
      })
  }

  async done(items: readonly WorkItem[]): Promise<void> {
    // SQLite gives the number of a row that is gone to another, which may be another opening's.
    const remove = this.#prepare('delete from temp.marked where seq = ? and opening = ?')
    this.#together(() => {
      for (const { seq } of items) this.#outstanding -= Number(remove.run(seq, this.#opening).changes)
    })
  }

  /** A row that is dealt with is not looked at again, also if it was marked by itself. */
  settle(rows: readonly { readonly side: SideName; readonly key: string }[]): void {
    if (rows.length === 0) return
    const found = this.#prepare('delete from temp.found where opening = ? and side = ? and key = ?')
    const marked = this.#prepare('delete from temp.marked where opening = ? and side = ? and key = ? and pair is null')
    this.#together(() => {
      for (const { side, key } of rows) {
        found.run(this.#opening, side, key)
        this.#outstanding -= Number(marked.run(this.#opening, side, key).changes)
      }
    })
  }

  async postpone(items: readonly WorkItem[]): Promise<void> {
    const move = this.#prepare("update temp.marked set phase = 'deletes' where seq = ? and opening = ?")
    for (const { seq } of items) move.run(seq, this.#opening)
  }

  async count(phase: Phase): Promise<number> {
    const row = this.#prepare('select count(*) as n from temp.marked where opening = ? and phase = ?').get(
      this.#opening,
      phase,
    )
    return Number(row?.n)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#database.isOpen) for (const table of tables) this.#empty(table)
  }

  #empty(table: (typeof tables)[number]): void {
    const other = this.#prepare(`select 1 from temp.${table} where opening <> ? limit 1`).get(this.#opening)
    // Without a condition SQLite empties a table at once.
    if (other === undefined) this.#prepare(`delete from temp.${table}`).run()
    else this.#prepare(`delete from temp.${table} where opening = ?`).run(this.#opening)
  }

  /** One transaction, where a transaction per statement would cost more than the statement. */
  #together(work: () => void): void {
    transact(this.#database, work, 'begin')
  }

  /** 0: the sync has no pairs yet. */
  get #pairing(): number {
    return Number(this.#prepare('select id from pairing where sync = ?').get(this.#sync)?.id ?? 0)
  }

  #prepare(sql: string): StatementSync {
    return prepared(this.#database, sql)
  }
}
