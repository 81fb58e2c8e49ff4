/** One sync's pairs, on a session of their own: what a run marks lives in its temporary tables, which a reader may write, too. */
import { z } from 'zod'
import type { SideName } from '../../core/two-way.ts'
import type {
  CommittedConflict,
  Intent,
  PairCommit,
  PairMemory,
  PairState,
  Pending,
  StoredPair,
  Sweep,
  Unpaired,
  WorkList,
} from '../pairs.ts'
import type { StoredRow } from '../rows.ts'
import type { Database, Session } from './database.ts'
import { fence } from './leases.ts'
import { commitPairs, toBase } from './pair-commit.ts'
import { PostgresSweep, PostgresWorkList } from './work-list.ts'

export async function openPairMemory(database: Database, sync: string, readOnly: boolean): Promise<PairMemory> {
  const session = await database.session()
  try {
    if (!readOnly) await session.execute('insert into pairing (sync) values ($1) on conflict do nothing', [sync])
    const [pairing] = await session.query('select id from pairing where sync = $1', [sync])
    await session.temporary(temporary)
    await forgetMarks(session)
    return new PostgresPairMemory(session, sync, Number(pairing?.id ?? 0))
  } catch (error) {
    await session[Symbol.asyncDispose]()
    throw error
  }
}

class PostgresPairMemory implements PairMemory {
  readonly work: WorkList
  readonly sweep: Sweep
  readonly #session: Session
  readonly #sync: string
  /** 0: the sync has no pairs yet, and nothing may be written. */
  readonly #pairing: number
  #open = true

  constructor(session: Session, sync: string, pairing: number) {
    this.#session = session
    this.#sync = sync
    this.#pairing = pairing
    this.work = new PostgresWorkList(session, sync, pairing)
    this.sweep = new PostgresSweep(session, pairing)
  }

  async state(): Promise<PairState> {
    const [row] = await this.#query('select * from pairing where id = $1')
    if (row === undefined) return { cursors: nowhere, layouts: [], runs: 0, fences: nowhere }
    const { left_cursor, right_cursor, left_fence, right_fence, layouts, runs } = pairingRow.parse(row)
    // The engine wrote it, and nobody else does.
    return {
      cursors: { left: left_cursor, right: right_cursor },
      layouts: JSON.parse(layouts) as PairState['layouts'],
      runs,
      fences: { left: left_fence, right: right_fence },
    }
  }

  async known(side: SideName): Promise<number> {
    const [row] = await this.#query(statements.known, side)
    return Number(row?.n)
  }

  async byKeys(side: SideName, keys: readonly string[]): Promise<readonly StoredPair[]> {
    if (keys.length === 0) return []
    return (
      await this.#query(`select * from pair where pairing = $1 and ${side}_key = any ($2) order by ${side}_key`, keys)
    ).map(pairOf)
  }

  async byIds(ids: readonly number[]): Promise<readonly StoredPair[]> {
    if (ids.length === 0) return []
    return (
      await this.#query('select * from pair where pairing = $1 and id = any ($2::bigint[]) order by id', ids)
    ).map(pairOf)
  }

  async after(id: number, limit: number): Promise<readonly StoredPair[]> {
    const sql = 'select * from pair where pairing = $1 and id > $2 order by id limit $3'
    return (await this.#query(sql, id, limit)).map(pairOf)
  }

  async unpaired(side: SideName, keys: readonly string[]): Promise<readonly Unpaired[]> {
    if (keys.length === 0) return []
    const sql = 'select * from unpaired where pairing = $1 and side = $2 and key = any ($3) order by key'
    return (await this.#query(sql, side, keys)).map(unpairedOf)
  }

  async partners(side: SideName, matches: readonly string[]): Promise<readonly { match: string; key: string }[]> {
    if (matches.length === 0) return []
    const rows = await this.#query(statements.partners, side, matches)
    return rows.map((row) => ({ match: String(row.match), key: String(row.key) }))
  }

  async waiting(): Promise<{ pairs: readonly Pending[]; unpaired: readonly Unpaired[] }> {
    const pairs = await this.#query('select pair, state, code, message from pending where pairing = $1 order by pair')
    const unpaired = await this.#query(statements.unsettled)
    return { pairs: pairs.map((row) => pendingRow.parse(row)), unpaired: unpaired.map(unpairedOf) }
  }

  async intents(): Promise<readonly Intent[]> {
    const rows = await this.#query('select id, side, body from intent where pairing = $1 order by id')
    return rows.map((row) => intentRow.parse(row))
  }

  async intend(generation: number, intents: readonly Intent[]): Promise<void> {
    await this.#session.transaction(async (queries) => {
      await fence(queries, this.#sync, generation)
      await queries.execute(statements.intend, [
        this.#pairing,
        intents.map(({ id }) => id),
        intents.map(({ side }) => side),
        intents.map(({ body }) => body),
      ])
    })
  }

  async commit(generation: number, change: PairCommit): Promise<readonly CommittedConflict[]> {
    return await this.#session.transaction(async (queries) => {
      await fence(queries, this.#sync, generation)
      return await commitPairs(queries, this.#sync, this.#pairing, change)
    })
  }

  async claimed(generation: number, { left, right }: PairState['fences']): Promise<void> {
    await this.#session.transaction(async (queries) => {
      await fence(queries, this.#sync, generation)
      await queries.execute(statements.claimed, [this.#pairing, left, right])
    })
  }

  async finish(generation: number, { cursors, layouts, runs }: Omit<PairState, 'fences'>): Promise<void> {
    const values = [this.#pairing, cursors.left, cursors.right, JSON.stringify(layouts), runs]
    await this.#session.transaction(async (queries) => {
      await fence(queries, this.#sync, generation)
      await queries.execute(statements.finish, values)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#open) return
    this.#open = false
    // A session that is lost has lost its temporary tables, too.
    await forgetMarks(this.#session).catch(() => {})
    await this.#session[Symbol.asyncDispose]()
  }

  /** `$1` is the pairing. */
  async #query(sql: string, ...values: readonly unknown[]): Promise<readonly StoredRow[]> {
    return await this.#session.query(sql, [this.#pairing, ...values])
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

// In an order of their own everywhere, so that the same edits always come to the same.
const statements = {
  known: `
    select (select count(*) from pair where pairing = $1) + (select count(*) from unpaired where pairing = $1 and side = $2)
      + (select count(*) from pg_temp.found where side = $2
          and not exists (select 1 from unpaired where unpaired.pairing = $1 and unpaired.side = $2 and unpaired.key = found.key))
      + (select count(*) from pg_temp.met where side = $2) as n`,
  partners: `
    select match, key from unpaired where pairing = $1 and side = $2 and match = any ($3)
      and not exists (select 1 from pg_temp.found as newer where newer.side = unpaired.side and newer.key = unpaired.key)
    union select match, key from pg_temp.found where side = $2 and match = any ($3) order by match, key`,
  unsettled: `select * from unpaired where pairing = $1 and state not in ('alone', 'parted') order by side, key`,
  intend: `
    insert into intent (pairing, id, side, body)
    select $1::bigint, * from unnest($2::text[], $3::text[], $4::text[])`,
  claimed: `update pairing set left_fence = $2, right_fence = $3 where id = $1`,
  finish: `update pairing set left_cursor = $2, right_cursor = $3, layouts = $4, runs = $5 where id = $1`,
} as const

const nowhere = { left: null, right: null }
const text = z.string()
const side = z.enum(['left', 'right'])
const bytes = z.instanceof(Uint8Array)
const pairingRow = z.object({
  left_cursor: text.nullable(),
  right_cursor: text.nullable(),
  left_fence: z.number().nullable(),
  right_fence: z.number().nullable(),
  layouts: text,
  runs: z.number(),
})
const pairRow = z.object({
  id: z.number(),
  left_key: text,
  right_key: text,
  left_base: bytes,
  right_base: bytes.nullable(),
  layout: z.number(),
  recent: text.nullable(),
})
const unpairedRow = z.object({
  side,
  key: text,
  match: text.nullable(),
  state: z.enum(['alone', 'parted', 'ambiguous', 'deferred', 'rejected']),
  code: text.nullable(),
  message: text.nullable(),
})
const pendingRow = z.object({
  pair: z.number(),
  state: z.enum(['deferred', 'rejected', 'held', 'again']),
  code: text.nullable(),
  message: text.nullable(),
})
const intentRow = z.object({ id: text, side, body: text })

function pairOf(row: StoredRow): StoredPair {
  const { left_key, right_key, left_base, right_base, ...rest } = pairRow.parse(row)
  const rightBase = right_base === null ? null : toBase(right_base)
  return { ...rest, left: left_key, right: right_key, leftBase: toBase(left_base), rightBase }
}

function unpairedOf(row: StoredRow): Unpaired {
  return unpairedRow.parse(row)
}
