/** What one run or plan found and still has to look at: in temporary tables of a session that is its own while it is open. */
import { z } from 'zod'
import type { SideName } from '../../core/two-way.ts'
import type { Mark, PairWork, Phase, WorkItem } from '../pairs.ts'
import type { Database, Session } from './database.ts'
import { forgetMarked, toBytes } from './pair-commit.ts'
import { PostgresSweep } from './sweep.ts'

const ALIKE_PER_COMMIT = 50_000

export async function openPairWork(database: Database, sync: string): Promise<PostgresPairWork> {
  const session = await database.session()
  try {
    await session.temporary(temporary)
    await forgetMarks(session)
    return new PostgresPairWork(session, sync)
  } catch (error) {
    await session[Symbol.asyncDispose]()
    throw error
  }
}

export class PostgresPairWork implements PairWork {
  readonly session: Session
  readonly sweep: PostgresSweep
  readonly #sync: string
  #outstanding = 0
  #open = true

  constructor(session: Session, sync: string) {
    this.session = session
    this.#sync = sync
    this.sweep = new PostgresSweep(session, sync, (count) => {
      this.#outstanding += count
    })
  }

  /** How many rows were marked and neither done nor settled. */
  get outstanding(): number {
    return this.#outstanding
  }

  async known(side: SideName): Promise<number> {
    const [row] = await this.session.query(statements.known, [this.#sync, side])
    return Number(row?.n)
  }

  async partners(
    side: SideName,
    matches: readonly string[],
    most: number | null = null,
  ): Promise<readonly { match: string; key: string }[]> {
    if (matches.length === 0) return []
    const rows = await this.session.query(statements.partners, [this.#sync, side, matches, most])
    return rows.map((row) => ({ match: String(row.match), key: String(row.key) }))
  }

  async add(marks: readonly Mark[]): Promise<void> {
    const pairs = marks.flatMap((mark) => ('pair' in mark ? [mark.pair] : []))
    const rows = marks.flatMap((mark) => ('pair' in mark ? [] : [mark]))
    const met = rows.flatMap((row) => (row.cells === undefined ? [] : [{ ...row, cells: row.cells }]))
    const found = rows.filter((row) => row.cells === undefined)
    if (pairs.length > 0) this.#outstanding += await this.session.execute(statements.markPairs, [pairs])
    if (met.length > 0)
      this.#outstanding += await this.session.execute(statements.meet, [
        ...columnsOf(met),
        met.map(({ cells }) => toBytes(cells)),
      ])
    if (found.length === 0) return
    const last = [...new Map(found.map((row) => [`${row.side} ${row.key}`, row])).values()]
    this.#outstanding += await this.session.execute(statements.markRows, [
      last.map(({ side }) => side),
      last.map(({ key }) => key),
    ])
    await this.session.execute(statements.find, columnsOf(last))
  }

  async next(phase: Phase, limit: number): Promise<readonly WorkItem[]> {
    const rows = await this.session.query(statements.next, [phase, limit])
    return rows.map((row): WorkItem => {
      const { seq, pair, side, key } = markedRow.parse(row)
      if (pair !== null) return { seq, pair, side: null }
      return { seq, pair: null, side: side ?? 'left', key: key ?? '' }
    })
  }

  async done(items: readonly WorkItem[]): Promise<void> {
    this.#outstanding -= await this.session.execute('delete from pg_temp.marked where seq = any ($1::bigint[])', [
      seqsOf(items),
    ])
  }

  async postpone(items: readonly WorkItem[]): Promise<void> {
    await this.session.execute("update pg_temp.marked set phase = 'deletes' where seq = any ($1::bigint[])", [
      seqsOf(items),
    ])
  }

  async count(phase: Phase): Promise<number> {
    const [row] = await this.session.query('select count(*) as n from pg_temp.marked where phase = $1', [phase])
    return Number(row?.n)
  }

  /** To be called when rows were committed as dealt with: none of them is looked at again. */
  async settle(rows: readonly { readonly side: SideName; readonly key: string }[]): Promise<void> {
    if (rows.length > 0) this.#outstanding -= await forgetMarked(this.session, rows)
  }

  async passAlike(): Promise<number> {
    return await this.#divide(async (after, until) => {
      const [row] = await this.session.query(seeAlike, [after, until])
      return Number(row?.n)
    })
  }

  /** `commit`: runs a statement in a fenced transaction and returns the `n` that it counted. */
  async pairAlike(
    layout: number,
    commit: (sql: string, values: readonly unknown[]) => Promise<number>,
  ): Promise<number> {
    return await this.#divide((after, until) => commit(pairAlike, [after, until, this.#sync, layout]))
  }

  /** Gives those that are alike to `take`, in parts, and marks the others. */
  async #divide(take: (after: number, until: number) => Promise<number>): Promise<number> {
    // Sorted once they are all there: keeping an index while they come in any order costs several times as much.
    await this.session.temporary('create index met_by_match on met (side, match, key); analyze met')
    const [bounds] = await this.session.query('select coalesce(max(n), 0) as last, count(*) as met from pg_temp.met')
    const last = Number(bounds?.last)
    let pairs = 0
    // In the order they were read, which is the order of keys as a rule: then the indexes of pairs grow at their ends.
    for (let after = 0; after < last; after += ALIKE_PER_COMMIT) pairs += await take(after, after + ALIKE_PER_COMMIT)
    let apart = 0
    for (const side of ['left', 'right'] as const) apart += await this.#markApart(side)
    await this.session.temporary('drop index pg_temp.met_by_match; truncate pg_temp.met, pg_temp.seen')
    this.#outstanding += apart - Number(bounds?.met)
    return pairs
  }

  /** What found no counterpart is work. */
  async #markApart(side: SideName): Promise<number> {
    const from = `from pg_temp.met where side = '${side}'
      and not exists (select 1 from pair where pair.pairing = ${pairing} and pair.${side}_key = met.key)
      and not exists (select 1 from pg_temp.seen where seen.key = '${side}' || met.key)
      order by n on conflict do nothing`
    await this.session.execute(`insert into pg_temp.found (side, key, match) select side, key, match ${from}`, [
      this.#sync,
    ])
    return await this.session.execute(
      `insert into pg_temp.marked (phase, side, key) select 'writes', side, key ${from}`,
      [this.#sync],
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#open) return
    this.#open = false
    // A session that is lost has lost its temporary tables, too.
    await forgetMarks(this.session).catch(() => {})
    await this.session[Symbol.asyncDispose]()
  }
}

/** Most runs mark nothing, and truncating writes to the catalog. */
async function forgetMarks(session: Session): Promise<void> {
  const tables = ['found', 'met', 'marked', 'seen']
  const any = tables.map((table) => `exists (select 1 from pg_temp.${table})`).join(' or ')
  const [row] = await session.query(`select ${any} as some`)
  if (row?.some === true) await session.temporary(`truncate ${tables.map((table) => `pg_temp.${table}`).join(', ')}`)
}

// found: rows without a pair met in this run, with their match values. met: rows of a first pairing, with their cells.
// marked: what is still to be looked at. seen: keys that a sweep met.
const temporary = `
  create temp table if not exists found (
    side text not null, key text collate "C" not null, match text collate "C", primary key (side, key)
  );
  create index if not exists found_by_match on found (side, match) where match is not null;
  create temp table if not exists met (
    n bigserial, side text not null, key text collate "C" not null, match text collate "C", cells bytea
  );
  create temp table if not exists marked (
    seq bigserial primary key, phase text not null, pair bigint, side text, key text collate "C"
  );
  create unique index if not exists marked_pair on marked (pair) where pair is not null;
  create unique index if not exists marked_key on marked (side, key) where pair is null;
  create index if not exists marked_phase on marked (phase, (pair is null), seq);
  create temp table if not exists seen (key text collate "C" primary key);
`

const pairing = '(select id from pairing where sync = $1)'

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
  where l.n > $1 and l.n <= $2 and l.side = 'left' and l.cells = r.cells
    and not exists (select 1 from pg_temp.met as twin where twin.side = 'left' and twin.match = l.match and twin.key <> l.key)
    and not exists (select 1 from pg_temp.met as twin where twin.side = 'right' and twin.match = l.match and twin.key <> r.key)
  group by l.key, r.key, l.cells`

/** A row that gets a pair is not kept as one that has none. */
const pairAlike = `
  with made as (
    insert into pair (pairing, left_key, right_key, left_base, layout)
    select (select id from pairing where sync = $3), left_key, right_key, cells, $4::integer from (${alike}) as alike order by n
    returning pairing, left_key, right_key
  ), on_left as (
    delete from unpaired using made where unpaired.pairing = made.pairing and side = 'left' and key = made.left_key
  ), on_right as (
    delete from unpaired using made where unpaired.pairing = made.pairing and side = 'right' and key = made.right_key
  )
  select count(*) as n from made`

const seeAlike = `
  with alike as materialized (${alike}), marked as (
    insert into pg_temp.seen (key)
    select 'left' || left_key from alike union all select 'right' || right_key from alike on conflict do nothing
  )
  select count(*) as n from alike`

// In an order of their own everywhere, so that the same edits always come to the same.
const statements = {
  known: `
    select (select count(*) from pair where pairing = ${pairing}) + (select count(*) from unpaired where pairing = ${pairing} and side = $2)
      + (select count(*) from pg_temp.found where side = $2
          and not exists (select 1 from unpaired where unpaired.pairing = ${pairing} and unpaired.side = $2 and unpaired.key = found.key))
      + (select count(*) from pg_temp.met where side = $2) as n`,
  partners: `
    select match, key from (
      select match, key, row_number() over (partition by match order by key) as place from (
        select match, key from unpaired where pairing = ${pairing} and side = $2 and match = any ($3)
          and not exists (select 1 from pg_temp.found as newer where newer.side = unpaired.side and newer.key = unpaired.key)
        union select match, key from pg_temp.found where side = $2 and match = any ($3)
      ) as all_of_them
    ) as ranked where $4::bigint is null or place <= $4 order by match, key`,
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
