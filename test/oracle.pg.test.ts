/**
 * The oracle: random schemas, writes, transactions and kills, then proof. `SYNCLINE_ORACLE_SEED` replays a seed,
 * `SYNCLINE_ORACLE_ROUNDS` says how many rounds each combination plays (seed, seed + 1, …).
 */
import { describe, test } from 'node:test'
import { type Combination, playRound, type Tally } from './oracle/round.ts'

// CI plays the same seeds each time, so that a change is judged by itself; everywhere else they are new.
const seed = Number(process.env.SYNCLINE_ORACLE_SEED ?? (process.env.CI === 'true' ? 1 : Date.now() % 1_000_000_000))
const rounds = Number(process.env.SYNCLINE_ORACLE_ROUNDS ?? 3)

const combinations: readonly Combination[] = [
  { name: 'postgres → sqlite', source: 'postgres', target: 'sqlite' },
  { name: 'postgres → postgres', source: 'postgres', target: 'postgres' },
  { name: 'sqlite → sqlite', source: 'sqlite', target: 'sqlite' },
  { name: 'sqlite with triggers → sqlite', source: 'sqlite with triggers', target: 'sqlite' },
  { name: 'sqlite → postgres', source: 'sqlite', target: 'postgres' },
  { name: 'sqlite with triggers → postgres', source: 'sqlite with triggers', target: 'postgres' },
]

console.log(`oracle: seed ${seed}, ${rounds} rounds of each combination`)

describe('after any writes and any kills, both sides are equal and stay so (hazards 1, 2, 3, 5, 7)', () => {
  for (const combination of combinations) {
    test(`${combination.name}, seeds ${seed} to ${seed + rounds - 1}`, { timeout: rounds * 60_000 }, async () => {
      const tally: Tally = { rounds: 0, runs: 0, kills: 0, checks: 0, rows: 0, writes: 0, held: 0 }
      for (let round = 0; round < rounds; round++) await playRound(combination, seed + round, tally)
      const { runs, kills, checks, rows, writes, held } = tally
      console.log(
        `oracle: ${combination.name}: seeds ${seed}–${seed + rounds - 1}, ${runs} runs, ${kills} killed, ${held} held, ${writes} writes, ${rows} rows compared in ${checks} checks`,
      )
    })
  }
})
