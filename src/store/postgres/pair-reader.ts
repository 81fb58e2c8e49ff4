/** What is durable of one sync's pairs, to look at: on connections of the pool, and beside any run. */
import { z } from 'zod'
import type { SideName } from '../../core/two-way.ts'
import type { Intent, PairReader, PairState, Pending, StoredPair, Unpaired } from '../pairs.ts'
import type { StoredRow } from '../rows.ts'
import type { Database } from './database.ts'
import { toBase } from './pair-commit.ts'

export class PostgresPairReader implements PairReader {
  readonly #database: Database
  readonly #sync: string

  constructor(database: Database, sync: string) {
    this.#database = database
    this.#sync = sync
  }

  async state(): Promise<PairState> {
    const [row] = await this.#query('select * from pairing where sync = $1')
    if (row === undefined) return { cursors: nowhere, layouts: [], runs: 0, fences: nowhere, claims: 0 }
    const { left_cursor, right_cursor, left_fence, right_fence, layouts, runs, claims } = pairingRow.parse(row)
    // The engine wrote it, and nobody else does.
    return {
      cursors: { left: left_cursor, right: right_cursor },
      layouts: JSON.parse(layouts) as PairState['layouts'],
      runs,
      fences: { left: left_fence, right: right_fence },
      claims,
    }
  }

  async byKeys(side: SideName, keys: readonly string[]): Promise<readonly StoredPair[]> {
    if (keys.length === 0) return []
    return (
      await this.#query(
        `select * from pair where pairing = ${pairing} and ${side}_key = any ($2) order by ${side}_key`,
        keys,
      )
    ).map(pairOf)
  }

  async byIds(ids: readonly number[]): Promise<readonly StoredPair[]> {
    if (ids.length === 0) return []
    return (
      await this.#query(`select * from pair where pairing = ${pairing} and id = any ($2::bigint[]) order by id`, ids)
    ).map(pairOf)
  }

  async after(id: number, limit: number): Promise<readonly StoredPair[]> {
    const sql = `select * from pair where pairing = ${pairing} and id > $2 order by id limit $3`
    return (await this.#query(sql, id, limit)).map(pairOf)
  }

  async unpaired(side: SideName, keys: readonly string[]): Promise<readonly Unpaired[]> {
    if (keys.length === 0) return []
    const sql = `select * from unpaired where pairing = ${pairing} and side = $2 and key = any ($3) order by key`
    return (await this.#query(sql, side, keys)).map(unpairedOf)
  }

  async waiting(): Promise<{ pairs: readonly Pending[]; unpaired: readonly Unpaired[] }> {
    const pairs = await this.#query(
      `select pair, state, code, message from pending where pairing = ${pairing} order by pair`,
    )
    const unpaired = await this.#query(unsettled)
    return { pairs: pairs.map((row) => pendingRow.parse(row)), unpaired: unpaired.map(unpairedOf) }
  }

  async intents(): Promise<readonly Intent[]> {
    const rows = await this.#query(`select id, side, body from intent where pairing = ${pairing} order by id`)
    return rows.map((row) => intentRow.parse(row))
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  /** `$1` is the sync. */
  async #query(sql: string, ...values: readonly unknown[]): Promise<readonly StoredRow[]> {
    return await this.#database.query(sql, [this.#sync, ...values])
  }
}

const pairing = '(select id from pairing where sync = $1)'

// In an order of their own everywhere, so that the same edits always come to the same.
const unsettled = `select * from unpaired where pairing = ${pairing} and state not in ('alone', 'parted') order by side, key`

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
  claims: z.number(),
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
