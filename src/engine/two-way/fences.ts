/** The fences of a two-way sync's sides: who claims them writes, and whoever claimed before writes nothing more. */

import type { Writer } from '../../connectors/connector.ts'
import { SyncError } from '../../core/error.ts'
import { type SideName, sideNames, type TwoWaySync } from '../../core/two-way.ts'
import type { PairRun } from '../../store/pairs.ts'
import type { PairSides } from './pair-sides.ts'

/** The generations of a run's fences, as far as it has taken them: whoever takes them over meanwhile ends it. */
export type Fences = Partial<Record<SideName, number>>

/** Errors of a claim that certainly did not take the fence. */
const unclaimed: readonly string[] = ['LEASE_LOST', 'CONNECTION_REFUSED']

export function fenceName(sync: TwoWaySync, side: SideName): string {
  return `${sync.id}:${side}`
}

/** Takes the fence of both sides: whoever wrote for this sync before writes nothing more. `generation`: of the lease. */
export async function openWriters(
  sides: PairSides,
  pairs: PairRun,
  fences: Fences,
  generation: number,
): Promise<Readonly<Record<SideName, Writer>> & AsyncDisposable> {
  const open = async (name: SideName): Promise<Writer> => {
    const { fields } = sides.pairing[name]
    const claim = async (held: number | null) =>
      await sides.collections[name].writer?.({
        project: sides.project.id,
        name: fenceName(sides.sync, name),
        fields,
        held,
        keeps: sides.held[name],
      })
    const writer = await claimSeen(sides, name, fences[name] ?? null, pairs, generation, claim).catch((error) => {
      // When the answer to a claim is lost, nobody knows whose the fence is: the next try takes it again.
      if (!(error instanceof SyncError) || !unclaimed.includes(error.code)) delete fences[name]
      throw error
    })
    if (writer !== undefined) fences[name] = writer.generation
    return writer ?? readOnlyWriter(sides, name)
  }
  const writers: Partial<Record<SideName, Writer>> = {}
  // Before: a run that dies while it takes them must not make its state look older than the sides.
  await pairs.claiming(generation)
  const dispose = async () => {
    const closed = await Promise.allSettled(sideNames.map((side) => writers[side]?.[Symbol.asyncDispose]()))
    for (const one of closed) if (one.status === 'rejected') throw one.reason
  }
  try {
    const left = await open('left')
    writers.left = left
    const right = await open('right')
    writers.right = right
    // Before anything is written: what a run does that is killed later must not look like it was never done.
    await pairs.claimed(generation, { left: seenOf(left), right: seenOf(right) })
    return { left, right, [Symbol.asyncDispose]: dispose }
  } catch (error) {
    // What closing makes of it is no news.
    await dispose().catch(() => {})
    throw error
  }
}

/**
 * Claims a fence only if its generation is the one that this run has read, so that a process without the lease can't raise it. If another
 * has claimed since, and the lease is still ours, it claims again.
 */
async function claimSeen(
  sides: PairSides,
  name: SideName,
  held: number | null,
  pairs: PairRun,
  generation: number,
  claim: (held: number | null) => Promise<Writer | undefined>,
): Promise<Writer | undefined> {
  const { sync, project, collections, fences } = sides
  try {
    return await claim(held ?? (fences[name] === null ? null : (fences[name].get(project.id) ?? 0)))
  } catch (error) {
    if (held !== null || !(error instanceof SyncError) || error.code !== 'LEASE_LOST') throw error
  }
  await pairs.claiming(generation)
  const now = await collections[name].fences?.(fenceName(sync, name))
  return await claim(now?.get(project.id) ?? null)
}

/** Lets both sides forget what became of writes, which raises their fences, and remembers those. */
export async function closeWrites(
  pairs: PairRun,
  writers: Readonly<Record<SideName, Writer>>,
  fences: Fences,
  generation: number,
): Promise<void> {
  await pairs.claiming(generation)
  const forget = async (side: SideName) => {
    // When the answer is lost, nobody knows how far the fence went.
    delete fences[side]
    const now = await writers[side].forget()
    if (now > 0) fences[side] = now
    return now === 0 ? null : now
  }
  await pairs.claimed(generation, { left: await forget('left'), right: await forget('right') })
}

function seenOf({ generation }: Writer): number | null {
  return generation === 0 ? null : generation
}

/** Of a side that nothing flows to. */
function readOnlyWriter({ sync }: PairSides, side: SideName): Writer {
  return {
    generation: 0,
    write: async () => {
      throw new SyncError('READ_ONLY', `the ${side} side of sync ${sync.id} can't be written`)
    },
    recall: async () => null,
    forget: async () => 0,
    [Symbol.asyncDispose]: async () => {},
  }
}
