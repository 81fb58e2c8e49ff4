/** What one batch of a two-way sync changes, as a few statements: one per kind, however many rows there are. */
import { type CommittedConflict, goneKey, type PairCommit, type StoredPair, statusOf } from '../pairs.ts'
import type { Queries } from './database.ts'

/** To be called in a fenced transaction. */
export async function commitPairs(
  queries: Queries,
  sync: string,
  pairing: number,
  change: PairCommit,
): Promise<readonly CommittedConflict[]> {
  await removePairs(queries, pairing, change)
  await writePairs(queries, pairing, change)
  await writePending(queries, pairing, change)
  await writeUnpaired(queries, pairing, change)
  if (change.carried.length > 0)
    await queries.execute('delete from intent where pairing = $1 and id = any ($2)', [pairing, change.carried])
  const conflicts: CommittedConflict[] = []
  for (const conflict of change.conflicts) conflicts.push(await writeConflict(queries, sync, conflict))
  await writeJournal(queries, change.journal)
  return conflicts
}

/** Hashes are told from values by a first character that no JSON has; their other characters are bytes. */
export function toBytes(base: string): Buffer {
  return Buffer.from(base, base.startsWith('#') ? 'latin1' : 'utf8')
}

export function toBase(stored: Uint8Array): string {
  const bytes = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength)
  return bytes.toString(bytes[0] === HASH ? 'latin1' : 'utf8')
}

const HASH = '#'.charCodeAt(0)

async function removePairs(queries: Queries, pairing: number, { remove, taken }: PairCommit): Promise<void> {
  if (remove.length > 0) {
    await queries.execute('delete from pair where pairing = $1 and id = any ($2::bigint[])', [pairing, remove])
    await queries.execute('delete from pending where pairing = $1 and pair = any ($2::bigint[])', [pairing, remove])
  }
  for (const { side, key } of taken) {
    const [owner] = await queries.query(`select id from pair where pairing = $1 and ${side}_key = $2`, [pairing, key])
    if (owner === undefined) continue
    const id = Number(owner.id)
    await queries.execute(`update pair set ${side}_key = $2 where id = $1`, [id, goneKey(id)])
  }
}

async function writePairs(queries: Queries, pairing: number, { update, insert }: PairCommit): Promise<void> {
  if (update.length > 0) {
    const values = [pairing, ...columnsOf(update), update.map(({ id }) => id)]
    // A key may go from one pair to another: uniqueness is checked row by row, in no order that could be relied on.
    await queries.execute(statements.vacate, [pairing, values[1], values[2], values.at(-1)])
    await queries.execute(statements.update, values)
  }
  if (insert.length > 0) await queries.execute(statements.insert, [pairing, ...columnsOf(insert)])
}

async function writePending(queries: Queries, pairing: number, { unpend, pending }: PairCommit): Promise<void> {
  if (unpend.length > 0)
    await queries.execute('delete from pending where pairing = $1 and pair = any ($2::bigint[])', [pairing, unpend])
  const last = [...new Map(pending.map((entry) => [entry.pair, entry])).values()]
  if (last.length === 0) return
  await queries.execute(statements.pend, [
    pairing,
    last.map(({ pair }) => pair),
    last.map(({ state }) => state),
    last.map(({ code }) => code),
    last.map(({ message }) => message),
  ])
}

async function writeUnpaired(queries: Queries, pairing: number, { settled, unpaired }: PairCommit): Promise<void> {
  if (settled.length > 0) await queries.execute(statements.settle, [pairing, ...placesOf(settled)])
  const last = [...new Map(unpaired.map((row) => [`${row.side} ${row.key}`, row])).values()]
  if (last.length > 0)
    await queries.execute(statements.keep, [
      pairing,
      ...placesOf(last),
      last.map(({ match }) => match),
      last.map(({ state }) => state),
      last.map(({ code }) => code),
      last.map(({ message }) => message),
    ])
}

/** Rows that are dealt with are not looked at again, also if they were marked by themselves. Returns how many were. */
export async function forgetMarked(
  queries: Queries,
  rows: readonly { readonly side: string; readonly key: string }[],
): Promise<number> {
  await queries.execute(statements.forgetFound, [...placesOf(rows)])
  return await queries.execute(statements.forgetMarked, [...placesOf(rows)])
}

async function writeConflict(
  queries: Queries,
  sync: string,
  { id, kind, pair, left, right, fields: changed, run, atMs }: PairCommit['conflicts'][number],
): Promise<CommittedConflict> {
  const [known] = id === null ? [] : await queries.query('select fields from conflict where id = $1 for update', [id])
  const fields = { ...(known === undefined ? {} : (JSON.parse(String(known.fields)) as object)), ...changed }
  const status = statusOf(fields)
  const closedAt = status === 'open' || status === 'decided' ? null : atMs
  const values = [left, right, JSON.stringify(fields), status, closedAt]
  if (id !== null) {
    await queries.execute(statements.moveConflict, [...values, id])
    return { id, status }
  }
  const [row] = await queries.query(statements.openConflict, [...values, sync, kind, pair, run, atMs])
  return { id: Number(row?.id), status }
}

async function writeJournal(queries: Queries, journal: PairCommit['journal']): Promise<void> {
  if (journal.length === 0) return
  await queries.execute(statements.note, [
    journal.map(({ sync }) => sync),
    journal.map(({ run }) => run),
    journal.map(({ atMs }) => atMs),
    journal.map(({ side }) => side),
    journal.map(({ kind }) => kind),
    journal.map(({ pair }) => pair),
    journal.map(({ left }) => left),
    journal.map(({ right }) => right),
    journal.map(({ fields }) => (fields.length === 0 ? null : JSON.stringify(fields))),
    journal.map(({ before }) => before),
    journal.map(({ after }) => after),
    journal.map(({ reason }) => reason),
  ])
}

function columnsOf(pairs: readonly Omit<StoredPair, 'id'>[]): readonly (readonly unknown[])[] {
  return [
    pairs.map(({ left }) => left),
    pairs.map(({ right }) => right),
    pairs.map(({ leftBase }) => toBytes(leftBase)),
    pairs.map(({ rightBase }) => (rightBase === null ? null : toBytes(rightBase))),
    pairs.map(({ layout }) => layout),
    pairs.map(({ recent }) => recent),
  ]
}

function placesOf(rows: readonly { readonly side: string; readonly key: string }[]): readonly (readonly string[])[] {
  return [rows.map(({ side }) => side), rows.map(({ key }) => key)]
}

const columns = '$2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::integer[], $7::text[]'
const places = 'unnest($2::text[], $3::text[])'

const statements = {
  // As `goneKey` spells it.
  vacate: `
    update pair set left_key = '[null,' || pair.id || ']', right_key = '[null,' || pair.id || ']'
    from unnest($2::text[], $3::text[], $4::bigint[]) as new (left_key, right_key, id)
    where pairing = $1 and pair.id = new.id and (pair.left_key <> new.left_key or pair.right_key <> new.right_key)`,
  update: `
    update pair set left_key = new.left_key, right_key = new.right_key, left_base = new.left_base,
      right_base = new.right_base, layout = new.layout, recent = new.recent
    from unnest(${columns}, $8::bigint[]) as new (left_key, right_key, left_base, right_base, layout, recent, id)
    where pairing = $1 and pair.id = new.id`,
  insert: `
    insert into pair (pairing, left_key, right_key, left_base, right_base, layout, recent)
    select $1::bigint, * from unnest(${columns})`,
  pend: `
    insert into pending (pairing, pair, state, code, message)
    select $1::bigint, * from unnest($2::bigint[], $3::text[], $4::text[], $5::text[])
    on conflict (pairing, pair) do update
      set state = excluded.state, code = excluded.code, message = excluded.message`,
  settle: `
    delete from unpaired using ${places} as done (side, key)
    where pairing = $1 and unpaired.side = done.side and unpaired.key = done.key`,
  keep: `
    insert into unpaired (pairing, side, key, match, state, code, message)
    select $1::bigint, * from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
    on conflict (pairing, side, key) do update
      set match = excluded.match, state = excluded.state, code = excluded.code, message = excluded.message`,
  forgetFound: `
    delete from pg_temp.found using unnest($1::text[], $2::text[]) as done (side, key)
    where found.side = done.side and found.key = done.key`,
  forgetMarked: `
    delete from pg_temp.marked using unnest($1::text[], $2::text[]) as done (side, key)
    where marked.side = done.side and marked.key = done.key and marked.pair is null`,
  openConflict: `
    insert into conflict (left_key, right_key, fields, status, closed_at, sync, kind, pair, run, opened_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) returning id`,
  moveConflict: `
    update conflict set left_key = $1, right_key = $2, fields = $3, status = $4, closed_at = $5 where id = $6`,
  note: `
    insert into journal (sync, run, at, side, kind, pair, left_key, right_key, fields, before, after, reason)
    select * from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[],
      $9::text[], $10::text[], $11::text[], $12::text[])`,
} as const
