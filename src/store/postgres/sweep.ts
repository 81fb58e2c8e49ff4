/** The keys that a side still has, in a temporary table; what is known and not among them is marked. */
import type { SideName } from '../../core/two-way.ts'
import type { Sweep } from '../pairs.ts'
import type { Session } from './database.ts'

export class PostgresSweep implements Sweep {
  readonly #session: Session
  readonly #sync: string
  /** Hears how many rows were marked. */
  readonly #marked: (count: number) => void
  #side: SideName = 'left'

  constructor(session: Session, sync: string, marked: (count: number) => void) {
    this.#session = session
    this.#sync = sync
    this.#marked = marked
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
       select 'writes', id from pair where pairing = ${pairing} and ${unseen(`${this.#side}_key`)} order by id on conflict do nothing`,
      [this.#sync],
    )
    const rows = await this.#session.execute(
      `insert into pg_temp.marked (phase, side, key)
       select 'writes', side, key from unpaired where pairing = ${pairing} and side = $2 and ${unseen('unpaired.key')} order by key
       on conflict do nothing`,
      [this.#sync, this.#side],
    )
    await this.#session.temporary('truncate pg_temp.seen')
    this.#marked(pairs + rows)
    return pairs + rows
  }
}

const pairing = '(select id from pairing where sync = $1)'
