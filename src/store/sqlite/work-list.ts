/** What a run still has to look at, and which keys it saw, in temporary tables: they are gone with the connection. */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { hashNumber } from '../../core/base.ts'
import type { SideName } from '../../core/two-way.ts'
import type { Mark, Phase, Sweep, WorkItem, WorkList } from '../pairs.ts'
import { toStored } from './pair-rows.ts'
import { prepared } from './statements.ts'

// found: rows without a pair met in this run, with their match values. marked: what is still to be looked at.
export const temporary = `
  create temp table if not exists found (
    pairing integer not null, side text not null, key text not null, match text, primary key (pairing, side, key)
  ) without rowid;
  create index if not exists temp.found_by_match on found (pairing, side, match) where match is not null;
  -- rows of a first pairing, with their cells
  create temp table if not exists met (
    pairing integer not null, side text not null, key text not null, match text, hash integer, cells any
  );
  create temp table if not exists twin (l integer primary key, r integer not null);
  create temp table if not exists marked (
    seq integer primary key, pairing integer not null, phase text not null, pair integer, side text, key text
  );
  create unique index if not exists temp.marked_pair on marked (pairing, pair) where pair is not null;
  create unique index if not exists temp.marked_key on marked (pairing, side, key) where pair is null;
  create index if not exists temp.marked_phase on marked (pairing, phase, pair is null, seq);
  create temp table if not exists seen (pairing integer not null, key text not null, primary key (pairing, key)) without rowid;
`

type Prepare = (sql: string) => StatementSync
/** Runs a statement in a fenced transaction and returns how many rows it wrote. */
type Commit = (generation: number, work: () => { readonly changes: number | bigint }) => number

const ALIKE_PER_COMMIT = 50_000

/**
 * Candidates, in the order the left side was read: one row of each side with a hash of its match that nobody else has. Found
 * in one pass over numbers in order, and joined in the order of reading: looking each match up costs twice as much.
 */
const findTwins = `
  insert into temp.twin (l, r)
  select min(iif(side = 'left', at, null)) as l, min(iif(side = 'right', at, null)) as r
    from (select side, hash, rowid as at from temp.met where pairing = :p and hash is not null)
   group by hash having count(*) = 2 and l is not null and r is not null order by l`
const alike = `
  from temp.twin join temp.met as l on l.rowid = twin.l join temp.met as r on r.rowid = twin.r
  where twin.l > :after and twin.l <= :until and l.match = r.match and l.cells = r.cells order by twin.l`
const insertAlike = `insert into pair (pairing, left_key, right_key, left_base, layout) select :p, l.key, r.key, l.cells, :layout ${alike}`
const seeAlike = (table: 'l' | 'r', side: SideName) =>
  `insert into temp.seen (pairing, key) select :p, '${side}' || ${table}.key ${alike.replace('where', 'where :layout > 0 and')}`

export class SqliteWorkList implements WorkList {
  readonly #database: DatabaseSync
  readonly #prepare: Prepare
  readonly #pairing: number
  readonly #commit: Commit

  constructor(database: DatabaseSync, pairing: number, commit: Commit) {
    this.#database = database
    this.#prepare = (sql) => prepared(database, sql)
    this.#pairing = pairing
    this.#commit = commit
  }

  async add(marked: readonly Mark[]): Promise<void> {
    const pair = this.#prepare(
      "insert into temp.marked (pairing, phase, pair) values (?, 'writes', ?) on conflict do nothing",
    )
    const row = this.#prepare(
      "insert into temp.marked (pairing, phase, side, key) values (?, 'writes', ?, ?) on conflict do nothing",
    )
    const found = this.#prepare(
      `insert into temp.found (pairing, side, key, match) values (?, ?, ?, ?)
       on conflict do update set match = excluded.match`,
    )
    const metOn = (side: SideName) =>
      this.#prepare(
        `insert into temp.met (pairing, side, key, match, hash, cells) values (${this.#pairing}, '${side}', ?, ?, ?, ?)`,
      )
    const met = { left: metOn('left'), right: metOn('right') }
    this.#together(() => {
      for (const mark of marked) {
        if ('pair' in mark) pair.run(this.#pairing, mark.pair)
        else if (mark.cells !== undefined) {
          const hash = mark.match === null ? null : hashNumber(mark.match)
          met[mark.side].run(mark.key, mark.match, hash, toStored(mark.cells))
        } else {
          row.run(this.#pairing, mark.side, mark.key)
          found.run(this.#pairing, mark.side, mark.key, mark.match)
        }
      }
    })
  }

  async pairAlike(generation: number | null, layout: number): Promise<number> {
    // A run that died may have left some behind.
    this.#database.exec('delete from temp.twin')
    this.#prepare(findTwins).run({ p: this.#pairing })
    let pairs = 0
    // In the order they were read, which is the order of keys as a rule: then the indexes of pairs grow at their ends.
    const last = Number(this.#prepare('select max(rowid) as last from temp.met').get()?.last ?? 0)
    for (let after = 0; after < last; after += ALIKE_PER_COMMIT) {
      const bounds = { p: this.#pairing, after, until: after + ALIKE_PER_COMMIT, layout }
      if (generation !== null) pairs += this.#commit(generation, () => this.#prepare(insertAlike).run(bounds))
      else {
        pairs += Number(this.#prepare(seeAlike('l', 'left')).run(bounds).changes)
        this.#prepare(seeAlike('r', 'right')).run(bounds)
      }
    }
    const rest =
      Number(this.#prepare('select count(*) as n from temp.met where pairing = ?').get(this.#pairing)?.n) - 2 * pairs
    for (const side of rest === 0 ? [] : ['left', 'right']) {
      const apart = `pairing = :p and side = '${side}'
        and not exists (select 1 from pair where pair.pairing = :p and pair.${side}_key = met.key)
        and not exists (select 1 from temp.seen where seen.pairing = :p and seen.key = '${side}' || met.key)`
      this.#prepare(
        `insert into temp.found (pairing, side, key, match) select pairing, side, key, match from temp.met where ${apart} order by rowid on conflict do nothing`,
      ).run({ p: this.#pairing })
      this.#prepare(
        `insert into temp.marked (pairing, phase, side, key) select pairing, 'writes', side, key from temp.met where ${apart} order by rowid on conflict do nothing`,
      ).run({ p: this.#pairing })
    }
    this.#database.exec('delete from temp.met; delete from temp.twin; delete from temp.seen')
    return pairs
  }

  /** One transaction, where a transaction per statement would cost more than the statement. */
  #together(work: () => void): void {
    this.#database.exec('begin')
    try {
      work()
    } finally {
      this.#database.exec('commit')
    }
  }

  async next(phase: Phase, limit: number): Promise<readonly WorkItem[]> {
    return this.#prepare(
      'select seq, pair, side, key from temp.marked where pairing = ? and phase = ? order by pair is null, seq limit ?',
    )
      .all(this.#pairing, phase, limit)
      .map((row): WorkItem => {
        const seq = Number(row.seq)
        if (row.pair !== null) return { seq, pair: Number(row.pair), side: null }
        return { seq, pair: null, side: String(row.side) as SideName, key: String(row.key) }
      })
  }

  async done(items: readonly WorkItem[]): Promise<void> {
    const remove = this.#prepare('delete from temp.marked where seq = ?')
    this.#together(() => {
      for (const { seq } of items) remove.run(seq)
    })
  }

  async postpone(items: readonly WorkItem[]): Promise<void> {
    const move = this.#prepare("update temp.marked set phase = 'deletes' where seq = ?")
    for (const { seq } of items) move.run(seq)
  }

  async count(phase: Phase): Promise<number> {
    const row = this.#prepare('select count(*) as n from temp.marked where pairing = ? and phase = ?').get(
      this.#pairing,
      phase,
    )
    return Number(row?.n)
  }
}

export class SqliteSweep implements Sweep {
  readonly #prepare: Prepare
  readonly #pairing: number
  readonly #database: DatabaseSync
  #side: SideName = 'left'

  constructor(prepare: Prepare, pairing: number, database: DatabaseSync) {
    this.#prepare = prepare
    this.#pairing = pairing
    this.#database = database
  }

  async begin(side: SideName): Promise<void> {
    this.#side = side
    prepared(this.#database, 'delete from temp.seen where pairing = ?').run(this.#pairing)
  }

  async saw(keys: readonly string[]): Promise<void> {
    const see = this.#prepare('insert into temp.seen (pairing, key) values (?, ?) on conflict do nothing')
    for (const key of keys) see.run(this.#pairing, key)
  }

  async end(): Promise<number> {
    const unseen = (column: string) =>
      `not exists (select 1 from temp.seen where seen.pairing = :p and seen.key = ${column})`
    const column = `${this.#side}_key`
    const pairs = this.#prepare(
      `insert into temp.marked (pairing, phase, pair) select :p, 'writes', id from pair where pairing = :p and ${unseen(column)}
       on conflict do nothing`,
    ).run({ p: this.#pairing })
    const rows = this.#prepare(
      `insert into temp.marked (pairing, phase, side, key) select :p, 'writes', side, key from unpaired
       where pairing = :p and side = :side and ${unseen('unpaired.key')} on conflict do nothing`,
    ).run({ p: this.#pairing, side: this.#side })
    prepared(this.#database, 'delete from temp.seen where pairing = ?').run(this.#pairing)
    return Number(pairs.changes) + Number(rows.changes)
  }
}
