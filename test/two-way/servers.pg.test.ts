/**
 * Two-way sync between real systems, by the real command, with people at work on both sides and runs that are killed.
 * `SYNCLINE_ORACLE_SEED` replays a seed, `SYNCLINE_ORACLE_ROUNDS` says how many rounds each combination plays.
 */
import { describe, test } from 'node:test'
import { type Combination, playRound, type Tally } from './servers/round.ts'

// CI plays the same seeds each time, so that a change is judged by itself; everywhere else they are new.
const seed = Number(process.env.SYNCLINE_ORACLE_SEED ?? (process.env.CI === 'true' ? 1 : Date.now() % 1_000_000_000))
const rounds = Number(process.env.SYNCLINE_ORACLE_ROUNDS ?? 1)

const combinations: readonly Combination[] = [
  { left: 'postgres', right: 'sqlite' },
  { left: 'sqlite with triggers', right: 'postgres' },
  { left: 'postgres', right: 'postgres' },
]

describe('after any edits and any kills, both sides agree, stay so, and nothing is lost (hazards 16, 17)', () => {
  for (const combination of combinations) {
    const name = `${combination.left} ⇄ ${combination.right}`
    test(`${name}, seeds ${seed} to ${seed + rounds - 1}`, { timeout: rounds * 120_000 }, async () => {
      const tally: Tally = { runs: 0, kills: 0, deeds: 0, conflicts: 0, writes: 0 }
      for (let round = 0; round < rounds; round++) await playRound(combination, seed + round, tally)
      const { runs, kills, deeds, conflicts, writes } = tally
      console.log(
        `two-way: ${name}: seeds ${seed}–${seed + rounds - 1}, ${runs} runs, ${kills} killed, ${deeds} deeds, ${conflicts} conflicts, ${writes} writes to come to rest`,
      )
    })
  }
})
