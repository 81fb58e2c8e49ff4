/** Takes writes into the memory that an earlier run asked for and did not live to see done. */
import { otherSide } from '../../core/two-way.ts'
import { anyFence, type PairCommit, type PairState } from '../../store/pairs.ts'
import { takeResult } from './apply.ts'
import { Changes } from './changes.ts'
import { readIntent } from './intents.ts'
import type { RunUnderWay } from './under-way.ts'

export async function recover(run: RunUnderWay): Promise<void> {
  const { sides, lease } = run
  const { memory } = sides
  const intents = await memory.intents()
  if (intents.length === 0) return
  const writers = await run.claimForWrites()
  const changes = new Changes(sides, lease.run)
  for (const { id, side, body } of intents) {
    const asked = readIntent(sides, side, body)
    const results = (await writers[side].recall(id)) ?? []
    const ids = asked.writes.flatMap(({ pair }) => (pair === null ? [] : [pair]))
    const pairs = new Map((await memory.byIds(ids)).map((pair) => [pair.id, pair]))
    // A repair may have found the pairs of rows that were inserted.
    const origins = asked.writes.flatMap(({ keys }) => keys[otherSide(side)] ?? [])
    const paired = new Set((await memory.byKeys(otherSide(side), origins)).map((pair) => pair[otherSide(side)]))
    asked.writes.forEach((one, at) => {
      const result = results[at]
      const pair = one.pair === null ? null : (pairs.get(one.pair) ?? null)
      if (result?.status !== 'written' || (one.pair !== null && pair === null)) return
      if (one.pair === null && paired.has(one.keys[otherSide(side)] ?? '')) return
      takeResult(sides, changes, one, result.row === null ? null : asked.row(result.row), pair)
      run.count(one.kind)
    })
    changes.carried(id)
  }
  const change = changes.commit()
  await run.pairs.commit(lease.generation, isForgotten(sides.state) ? withoutAgreement(change) : change)
  await run.close()
}

/** Whether what both sides agreed on was forgotten since the last run. */
function isForgotten({ fences }: PairState): boolean {
  return fences.left === anyFence || fences.right === anyFence
}

/** Which rows belong together, and nothing of what they held when they were written. */
function withoutAgreement(change: PairCommit): PairCommit {
  return {
    ...change,
    insert: change.insert.map((pair) => ({ ...pair, layout: 0 })),
    update: change.update.map((pair) => ({ ...pair, layout: 0, recent: null })),
  }
}
