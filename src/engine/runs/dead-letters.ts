/** Rows that could not be written, of any sync: kept beside the checkpoint or with the pairs, and tried again on every run. */
import { isHeldByReference } from '../../connectors/connector.ts'
import { parseKeyText } from '../../core/key-text.ts'
import type { PrintedKey } from '../../core/run.ts'
import { type AnySync, isTwoWay } from '../../core/two-way.ts'
import { printKey } from '../one-way/comparison.ts'
import { openSides } from '../one-way/open.ts'
import type { Project } from '../project.ts'

export interface DeadLetter {
  /** Of a two-way sync: per side, with the values alone. */
  readonly key: PrintedKey
  readonly code: string
  readonly message: string
}

export async function deadLetters(sync: AnySync, project: Project): Promise<readonly DeadLetter[]> {
  if (isTwoWay(sync)) return await refusedPairs(sync.id, project)
  await using sides = await openSides(sync, project)
  const rejections = await sides.sink.rejections(sides.spec)
  return rejections.map(({ key, code, message }) => ({ key: printKey(sides, key), code, message }))
}

async function refusedPairs(sync: string, { store }: Project): Promise<readonly DeadLetter[]> {
  await using memory = await store.pairs.read(sync)
  const { pairs, unpaired } = await memory.waiting()
  const found = await memory.byIds(pairs.map(({ pair }) => pair))
  const stored = new Map(found.map((pair) => [pair.id, pair]))
  const text = (key: string) =>
    parseKeyText(key)
      .map((part) => part ?? 'NULL')
      .join(', ')
  const refused = pairs
    .filter(({ code }) => code !== null)
    .map(({ pair, code, message }) => {
      const keys = stored.get(pair)
      return {
        key: keys === undefined ? {} : { left: text(keys.left), right: text(keys.right) },
        code: code ?? '',
        message: message ?? '',
      }
    })
  const alone = unpaired
    .filter(({ code }) => code !== null)
    .map(({ side, key, code, message }) => ({ key: { [side]: text(key) }, code: code ?? '', message: message ?? '' }))
  return [...refused, ...alone]
}

/** Whether a reference stood in the way of something that waits for other syncs. */
export async function waitsForOthers(sync: AnySync, project: Project): Promise<boolean> {
  if (!isTwoWay(sync)) return (await deadLetters(sync, project)).some(isHeldByReference)
  await using memory = await project.store.pairs.read(sync.id)
  const { pairs, unpaired } = await memory.waiting()
  return [...pairs, ...unpaired].some((one) => one.state === 'deferred' && isHeldByReference(one))
}
