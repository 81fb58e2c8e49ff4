/** All that a run may do to the pairs of its sync: every write under the fence of its lease. */
import type { CommittedConflict, Intent, PairCommit, PairRun, PairState } from '../pairs.ts'
import { marksLost } from '../refusals.ts'
import type { Database, Queries } from './database.ts'
import { fence } from './leases.ts'
import { commitPairs } from './pair-commit.ts'
import { openPairWork, type PostgresPairWork } from './pair-work.ts'

export async function openPairRun(database: Database, sync: string): Promise<PairRun> {
  await database.execute('insert into pairing (sync) values ($1) on conflict do nothing', [sync])
  const [pairing] = await database.query('select id from pairing where sync = $1', [sync])
  return new PostgresPairRun(await openPairWork(database, sync), sync, Number(pairing?.id ?? 0))
}

class PostgresPairRun implements PairRun {
  readonly work: PostgresPairWork
  readonly #sync: string
  readonly #pairing: number

  constructor(work: PostgresPairWork, sync: string, pairing: number) {
    this.work = work
    this.#sync = sync
    this.#pairing = pairing
  }

  async pairAlike(generation: number, layout: number): Promise<number> {
    return await this.work.pairAlike(layout, (sql, values) =>
      this.#fenced(generation, async (queries) => Number((await queries.query(sql, values))[0]?.n)),
    )
  }

  async intend(generation: number, intents: readonly Intent[]): Promise<void> {
    await this.#fenced(generation, (queries) =>
      queries.execute(statements.intend, [
        this.#pairing,
        intents.map(({ id }) => id),
        intents.map(({ side }) => side),
        intents.map(({ body }) => body),
      ]),
    )
  }

  async commit(generation: number, change: PairCommit): Promise<readonly CommittedConflict[]> {
    const conflicts = await this.#fenced(generation, (queries) =>
      commitPairs(queries, this.#sync, this.#pairing, change),
    )
    await this.work.settle([...change.settled, ...change.unpaired])
    return conflicts
  }

  async claiming(generation: number): Promise<void> {
    await this.#fenced(generation, (queries) =>
      queries.execute('update pairing set claims = claims + 1 where id = $1', [this.#pairing]),
    )
  }

  async claimed(generation: number, { left, right }: PairState['fences']): Promise<void> {
    await this.#fenced(generation, (queries) => queries.execute(statements.claimed, [this.#pairing, left, right]))
  }

  async finish(generation: number, { cursors, layouts, runs }: Omit<PairState, 'fences' | 'claims'>): Promise<void> {
    if (this.work.outstanding !== 0) throw marksLost(this.#sync, this.work.outstanding)
    const values = [this.#pairing, cursors.left, cursors.right, JSON.stringify(layouts), runs]
    await this.#fenced(generation, (queries) => queries.execute(statements.finish, values))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.work[Symbol.asyncDispose]()
  }

  async #fenced<Result>(generation: number, work: (queries: Queries) => Promise<Result>): Promise<Result> {
    return await this.work.session.transaction(async (queries) => {
      await fence(queries, this.#sync, generation)
      return await work(queries)
    })
  }
}

const statements = {
  intend: `
    insert into intent (pairing, id, side, body)
    select $1::bigint, * from unnest($2::text[], $3::text[], $4::text[])`,
  claimed: `update pairing set left_fence = $2, right_fence = $3, claims = 0 where id = $1`,
  finish: `update pairing set left_cursor = $2, right_cursor = $3, layouts = $4, runs = $5 where id = $1`,
} as const
