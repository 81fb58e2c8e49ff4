/** Whether a state and its sides belong together: either may have been lost, put back, or taken over by another. */
import { SyncError } from '../../core/error.ts'
import { ownValue } from '../../core/own-value.ts'
import { flows } from '../../core/reconcile.ts'
import { otherSide, type SideName, sideNames, type TwoWaySync } from '../../core/two-way.ts'
import { anyFence, type PairState } from '../../store/pairs.ts'
import type { PairSides } from './pair-sides.ts'

/** What a side is not any more; null: both are what they were. A side keeps its fence beside its rows, and fences only grow. */
export async function replacedSide(sides: PairSides): Promise<SyncError | null> {
  const { sync, project, fences, state } = sides
  if (state.fences.left !== anyFence && (await isStrange(sides))) return strangeState(sync)
  if (await isTakenOver(sides)) return takenOver(sync)
  for (const side of sideNames) {
    const seen = state.fences[side]
    const known = fences[side]
    if (seen === anyFence || known === null) continue
    const now = known.get(project.id) ?? null
    if (now !== null && isAhead(state, side, now)) {
      // Another run may have taken it since the state was read; it tells of that before.
      if (isAhead(await sides.memory.state(), side, now)) return olderState(sync, side)
      continue
    }
    if (seen === null || (now !== null && now >= seen)) continue
    const { connection, collection } = sync[side]
    return new SyncError(
      'SIDE_REPLACED',
      `the ${side} side of sync ${sync.id}, ${connection}.${collection}, ${now === null ? 'is another database than' : 'is older than'} the one that its pairs were made with${now === null ? ', or one restored from a backup' : ': it was restored from a backup, or is a copy'}`,
      {
        hint: `Nothing was written. If the connection is wrong, correct it. Else look at \`syncline plan ${sync.id}\`, and let the sync forget what both sides had agreed on: syncline reset ${sync.id} --keep-pairs. The next run then goes by its rules where rows differ, puts what gives way on record, and brings missing rows back by onDeleteConflict.`,
      },
    )
  }
  return null
}

/** By how much a claim that nobody told of may have raised a fence. */
const MOST_PER_CLAIM = 2

function isAhead({ fences, claims }: PairState, side: SideName, now: number): boolean {
  const seen = fences[side] ?? 0
  return seen !== anyFence && now > seen + MOST_PER_CLAIM * claims
}

/** Other projects that claimed every side this sync writes to: what they wrote, they may have paired. */
function rivals({ sync, project, fences }: PairSides): readonly string[] {
  const sides = writtenSides(sync).flatMap((side) => fences[side] ?? [])
  const others = [...(sides[0]?.keys() ?? [])].filter((other) => other !== project.id)
  return others.filter((other) => sides.every((side) => side.has(other)))
}

function writtenSides({ direction }: TwoWaySync): readonly SideName[] {
  return sideNames.filter((side) => flows(direction, otherSide(side)))
}

/** The fences of others, to be remembered: those that come later are news. */
export function fencesOfOthers({
  project,
  fences,
}: PairSides): Readonly<Record<SideName, Readonly<Record<string, number>>>> {
  const of = (side: SideName) => Object.fromEntries([...(fences[side] ?? [])].filter(([other]) => other !== project.id))
  return { left: of('left'), right: of('right') }
}

/** Whether another state has written to both sides since this one ran, and what it inserted would be doubled. */
async function isTakenOver(sides: PairSides): Promise<boolean> {
  const { sync, fences, state } = sides
  const before = state.layouts.at(-1)?.others
  if (before === undefined) return false
  const later = rivals(sides).some((other) =>
    writtenSides(sync).every((side) => (fences[side]?.get(other) ?? 0) > (ownValue(before[side], other) ?? 0)),
  )
  return later && (await hasUnmatched(sides, 'left')) && (await hasUnmatched(sides, 'right'))
}

/** Whether rows would be doubled: other states made pairs of both sides, and nothing tells this one which rows belong together. */
async function isStrange(sides: PairSides): Promise<boolean> {
  if (sides.state.layouts.length > 0 || rivals(sides).length === 0) return false
  return (await hasUnmatched(sides, 'left')) && (await hasUnmatched(sides, 'right'))
}

/** Whether a side has a row that no match pairs with another. */
async function hasUnmatched({ sync, project, collections, pairing }: PairSides, name: SideName): Promise<boolean> {
  if (sync.match.length === 0) return true
  const options = { fields: pairing[name].fields, where: null, signal: project.context.signal, readOnly: true }
  for await (const { puts } of collections[name].read(null, options))
    if (puts.some((row) => pairing.matchOf(name, row) === null)) return true
  return false
}

function olderState(sync: TwoWaySync, side: SideName): SyncError {
  const { connection, collection } = sync[side]
  return new SyncError(
    'STATE_OLDER',
    `the state of sync ${sync.id} is older than its ${side} side, ${connection}.${collection}: runs wrote there that it does not know of`,
    {
      hint: `Nothing was written. Was .syncline, or the store, restored from a backup, or is an older copy of it in use? If a newer one exists, use that. Else find the pairs that it does not know, by key, match or fields: syncline repair-pairs ${sync.id} --by … (shows what it would do), look at \`syncline plan ${sync.id}\`, and run.`,
    },
  )
}

function strangeState(sync: TwoWaySync): SyncError {
  return new SyncError(
    'STATE_OLDER',
    `this project knows no pairs of sync ${sync.id}, but both sides were synced under that name by another state: ${doubled(sync)}`,
    {
      hint: `Nothing was written. If .syncline, or the store, was lost or emptied, restore it. Else find the pairs again, by key or fields: syncline repair-pairs ${sync.id} --by … (shows what it would do), look at \`syncline plan ${sync.id}\`, and run. Of another sync, choose another name.`,
    },
  )
}

function takenOver(sync: TwoWaySync): SyncError {
  return new SyncError(
    'STATE_OLDER',
    `another project has synced both sides of sync ${sync.id} under that name since this one did: ${doubled(sync)}`,
    {
      hint: `Nothing was written. Let one of them go on, and only one. To go on here, find the pairs that the other made: syncline repair-pairs ${sync.id} --by … (shows what it would do), look at \`syncline plan ${sync.id}\`, and run.`,
    },
  )
}

function doubled({ match }: TwoWaySync): string {
  return `rows ${match.length === 0 ? 'that it does not know would be' : 'whose `match` is NULL would be'} doubled`
}
