/** A row's story as JSON: what the command line prints with --json and the API answers. */
import { parseKeyText } from '../../core/key-text.ts'
import type { JournalEntry, PairStore } from '../../store/pairs.ts'
import { conflictObject, keyNames } from './conflict-object.ts'
import type { Story } from './explain.ts'

export async function storyObject(story: Story, pairs: PairStore): Promise<Record<string, unknown>> {
  const names = await keyNames(pairs, story.sync)
  const { sync, pair, unpaired, waiting, there, fields } = story
  return {
    ...{ sync, pair, there, fields },
    unpaired: unpaired === null ? null : { side: unpaired.side, state: unpaired.state, message: unpaired.message },
    waiting: waiting === null ? null : { state: waiting.state, code: waiting.code, message: waiting.message },
    conflicts: story.conflicts.map((record) => conflictObject(record, names)),
    writes: story.writes.map(writeObject),
  }
}

/** Inserts have no fields: they are kept by key only. */
function writeObject(entry: JournalEntry): Record<string, unknown> {
  const { run, atMs, side, kind, reason } = entry
  const [before, after] = [valuesOf(entry.before), valuesOf(entry.after)]
  const fields = Object.fromEntries(
    entry.fields.map((name, at) => [name, { before: before?.[at] ?? null, after: after?.[at] ?? null }]),
  )
  return { run, at: new Date(atMs).toISOString(), side, kind, fields, reason }
}

/** Null: none are kept. */
export function valuesOf(text: string | null) {
  return text === null ? null : parseKeyText(text)
}
