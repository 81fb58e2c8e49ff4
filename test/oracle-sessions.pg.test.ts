/**
 * The oracle where sessions can't be trusted: once through pgbouncer in transaction mode, once by a role whose settings are
 * hostile. The seed decides as in oracle.pg.test.ts.
 */
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import pg from 'pg'
import { poolerMissing, startPooler } from '../tools/pgbouncer.ts'
import { hostile, setHostile } from './hazards/hostile-settings.ts'
import { type Combination, playRound, type Tally } from './oracle/round.ts'
import type { Reach } from './oracle/sides.ts'

const seed = Number(process.env.SYNCLINE_ORACLE_SEED ?? (process.env.CI === 'true' ? 1 : Date.now() % 1_000_000_000))
const rounds = Number(process.env.SYNCLINE_ORACLE_ROUNDS ?? 1)
const serverUrl = process.env.TEST_POSTGRES_URL ?? ''

const combinations = [
  { source: 'postgres', target: 'sqlite' },
  { source: 'postgres', target: 'postgres' },
  { source: 'sqlite with triggers', target: 'postgres' },
] as const

console.log(`oracle: seed ${seed}, ${rounds} rounds of each combination`)

async function play(combination: Omit<Combination, 'name'>, reach: Reach): Promise<void> {
  const tally: Tally = { rounds: 0, runs: 0, kills: 0, checks: 0, rows: 0, writes: 0, held: 0 }
  const name = `${combination.source} → ${combination.target}`
  for (let round = 0; round < rounds; round++) await playRound({ ...combination, name, reach }, seed + round, tally)
  console.log(`oracle: ${name}: ${tally.runs} runs, ${tally.kills} killed, ${tally.rows} rows compared`)
}

describe('point 28: through a pooler in transaction mode both sides are equal and stay so (hazard 31)', {
  skip: poolerMissing() ?? false,
}, () => {
  for (const combination of combinations)
    test(`${combination.source} → ${combination.target}`, { timeout: rounds * 60_000 }, async () => {
      await using pooler = await startPooler(serverUrl, { size: 20 })
      await play(combination, async (url) => pooler.through(url))
    })
})

describe('point 37: by a role with hostile settings both sides are equal and stay so (hazard 38)', () => {
  for (const combination of combinations)
    test(`${combination.source} → ${combination.target}`, { timeout: rounds * 60_000 }, async () => {
      const role = `hostile_${randomBytes(4).toString('hex')}`
      await administer(serverUrl, `CREATE ROLE ${role} LOGIN SUPERUSER PASSWORD 'secret'`)
      try {
        await play(combination, (url) => asRole(url, role))
      } finally {
        await administer(serverUrl, `DROP ROLE ${role}`)
      }
    })
})

async function asRole(url: string, role: string): Promise<string> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await setHostile(
    async (sql) => (await client.query({ text: sql, rowMode: 'array' })).rows,
    Object.keys(hostile),
    role,
  )
  await client.end()
  const as = new URL(url)
  as.username = role
  as.password = 'secret'
  return as.href
}

async function administer(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(sql)
  } finally {
    await client.end()
  }
}
