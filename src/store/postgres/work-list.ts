/** What a run still has to look at, and the keys that a sweep met: in temporary tables of a session. */
import { z } from 'zod'
import type { SideName } from '../../core/two-way.ts'
import type { Mark, Phase, Sweep, WorkItem, WorkList } from '../pairs.ts'
import type { Session } from './database.ts'
import { fence } from './leases.ts'
import { toBytes } from './pair-commit.ts'

const ALIKE_PER_COMMIT = 50_000

export class PostgresWorkList implements WorkList {
  readonly #session: Session
  readonly #sync: string
  readonly #pairing: number

  constructor(session: Session, sync: string, pairing: number) {
    this.#session = session
    this.#sync = sync
    this.#pairing = pairing
  }

  async add(marks: readonly Mark[]): Promise<void> {
    const pairs = marks.flatMap((mark) => ('pair' in mark ? [mark.pair] : []))
    const rows = marks.flatMap((mark) => ('pair' in mark ? [] : [mark]))
    const met = rows.flatMap((row) => (row.cells === undefined ? [] : [{ ...row, cells: row.cells }]))
    const found = rows.filter((row) => row.cells === undefined)
    if (pairs.length > 0) await this.#session.execute(statements.markPairs, [pairs])
    if (met.length > 0)
      await this.#session.execute(statements.meet, [...columnsOf(met), met.map(({ cells }) => toBytes(cells))])
    if (found.length === 0) return
    const last = [...new Map(found.map((row) => [`${row.side} ${row.key}`, row])).values()]
    await this.#session.execute(statements.markRows, [last.map(({ side }) => side), last.map(({ key }) => key)])
    await this.#session.execute(statements.find, columnsOf(last))
  }

  async next(phase: Phase, limit: number): Promise<readonly WorkItem[]> {
    const rows = await this.#session.query(statements.next, [phase, limit])
    return rows.map((row): WorkItem => {
      const { seq, pair, side, key } = markedRow.parse(row)
      if (pair !== null) return { seq, pair, side: null }
      return { seq, pair: null, side: side ?? 'left', key: key ?? '' }
    })
  }

  async done(items: readonly WorkItem[]): Promise<void> {
    await this.#session.execute('delete from pg_temp.marked where seq = any ($1::bigint[])', [seqsOf(items)])
  }

  async postpone(items: readonly WorkItem[]): Promise<void> {
    await this.#session.execute("update pg_temp.marked set phase = 'deletes' where seq = any ($1::bigint[])", [
      seqsOf(items),
    ])
  }

  async count(phase: Phase): Promise<number> {
    const [row] = await this.#session.query('select count(*) as n from pg_temp.marked where phase = $1', [phase])
    return Number(row?.n)
  }

  async pairAlike(generation: number | null, layout: number): Promise<number> {
    // Sorted once they are all there: keeping an index while they come in any order costs several times as much.
    await this.#session.temporary('create index met_by_match on met (side, match, key); analyze met')
    const [bounds] = await this.#session.query('select coalesce(max(n), 0) as last from pg_temp.met')
    const last = Number(bounds?.last)
    let pairs = 0
    // In the order they were read, which is the order of keys as a rule: then the indexes of pairs grow at their ends.
    for (let after = 0; after < last; after += ALIKE_PER_COMMIT)
      pairs += await this.#pairSome(generation, [this.#pairing, after, after + ALIKE_PER_COMMIT, layout])
    for (const side of ['left', 'right'] as const) await this.#markApart(side)
    await this.#session.temporary('drop index pg_temp.met_by_match; truncate pg_temp.met, pg_temp.seen')
    return pairs
  }

  async #pairSome(generation: number | null, bounds: readonly number[]): Promise<number> {
    if (generation === null) {
      const [row] = await this.#session.query(seeAlike, bounds)
      return Number(row?.n)
    }
    return await this.#session.transaction(async (queries) => {
      await fence(queries, this.#sync, generation)
      return await queries.execute(pairAlike, bounds)
    })
  }

  /** What found no counterpart is work. */
  async #markApart(side: SideName): Promise<void> {
    const apart = `side = '${side}'
      and not exists (select 1 from pair where pair.pairing = $1 and pair.${side}_key = met.key)
      and not exists (select 1 from pg_temp.seen where seen.key = '${side}' || met.key)`
    await this.#session.execute(
      `insert into pg_temp.found (side, key, match) select side, key, match from pg_temp.met where ${apart} order by n
       on conflict do nothing`,
      [this.#pairing],
    )
    await this.#session.execute(
      `insert into pg_temp.marked (phase, side, key) select 'writes', side, key from pg_temp.met where ${apart} order by n
       on conflict do nothing`,
      [this.#pairing],
    )
  }
}

export class PostgresSweep implements Sweep {
  readonly #session: Session
  readonly #pairing: number
  #side: SideName = 'left'

  constructor(session: Session, pairing: number) {
    this.#session = session
    this.#pairing = pairing
  }

  async begin(side: SideName): Promise<void> {
    this.#side = side
    await this.#session.temporary('truncate pg_temp.seen')
  }

  async saw(keys: readonly string[]): Promise<void> {
    const sql = 'insert into pg_temp.seen (key) select * from unnest($1::text[]) on conflict do nothing'
    await this.#session.execute(sql, [keys])
  }

  async end(): Promise<number> {
    const unseen = (column: string) => `not exists (select 1 from pg_temp.seen where seen.key = ${column})`
    const pairs = await this.#session.execute(
      `insert into pg_temp.marked (phase, pair)
       select 'writes', id from pair where pairing = $1 and ${unseen(`${this.#side}_key`)} order by id on conflict do nothing`,
      [this.#pairing],
    )
    const rows = await this.#session.execute(
      `insert into pg_temp.marked (phase, side, key)
       select 'writes', side, key from unpaired where pairing = $1 and side = $2 and ${unseen('unpaired.key')} order by key
       on conflict do nothing`,
      [this.#pairing, this.#side],
    )
    await this.#session.temporary('truncate pg_temp.seen')
    return pairs + rows
  }
}

function seqsOf(items: readonly WorkItem[]): readonly number[] {
  return items.map(({ seq }) => seq)
}

function columnsOf(
  rows: readonly { readonly side: string; readonly key: string; readonly match: string | null }[],
): readonly (readonly unknown[])[] {
  return [rows.map(({ side }) => side), rows.map(({ key }) => key), rows.map(({ match }) => match)]
}

/** Rows with one match value, the only ones on their sides, and with the same cells. */
const alike = `
  select l.key as left_key, r.key as right_key, l.cells, min(l.n) as n
  from pg_temp.met as l join pg_temp.met as r on r.side = 'right' and r.match = l.match
  where l.n > $2 and l.n <= $3 and l.side = 'left' and l.cells = r.cells
    and not exists (select 1 from pg_temp.met as twin where twin.side = 'left' and twin.match = l.match and twin.key <> l.key)
    and not exists (select 1 from pg_temp.met as twin where twin.side = 'right' and twin.match = l.match and twin.key <> r.key)
  group by l.key, r.key, l.cells`

const pairAlike = `
  insert into pair (pairing, left_key, right_key, left_base, layout)
  select $1::bigint, left_key, right_key, cells, $4::integer from (${alike}) as alike order by n`

const seeAlike = `
  with alike as materialized (${alike}), marked as (
    insert into pg_temp.seen (key)
    select 'left' || left_key from alike union all select 'right' || right_key from alike on conflict do nothing
  )
  select count(*) as n from alike where $1::bigint is not null and $4::integer is not null`

const statements = {
  markPairs: `
    insert into pg_temp.marked (phase, pair)
    select 'writes', pair from unnest($1::bigint[]) with ordinality as new (pair, place) order by place on conflict do nothing`,
  markRows: `
    insert into pg_temp.marked (phase, side, key)
    select 'writes', side, key from unnest($1::text[], $2::text[]) with ordinality as new (side, key, place) order by place
    on conflict do nothing`,
  find: `
    insert into pg_temp.found (side, key, match) select * from unnest($1::text[], $2::text[], $3::text[])
    on conflict (side, key) do update set match = excluded.match`,
  meet: `
    insert into pg_temp.met (side, key, match, cells) select side, key, match, cells
    from unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) with ordinality as new (side, key, match, cells, place) order by place`,
  next: `
    select seq, pair, side, key from pg_temp.marked where phase = $1 order by (pair is null), seq limit $2`,
} as const

const markedRow = z.object({
  seq: z.number(),
  pair: z.number().nullable(),
  side: z.enum(['left', 'right']).nullable(),
  key: z.string().nullable(),
})
