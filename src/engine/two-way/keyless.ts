/**
 * Rows without a whole key: a part of it is NULL, or bytes that are no text. No look-up finds them, so the side is read for them, once
 * while it is open, and only where one was met.
 */
import { type Collection, everything } from '../../connectors/connector.ts'
import { isWhole, keyText } from '../../core/key-text.ts'
import type { SideName } from '../../core/two-way.ts'

/** Why rows of a key can't be taken, by the text of what is known of it: several may have the same. */
export type Keyless = ReadonlyMap<string, { readonly code: string; readonly message: string }>

/** Asks a side. The first question reads it. */
export function keylessRows(collections: Readonly<Record<SideName, Collection>>): (side: SideName) => Promise<Keyless> {
  const found = new Map<SideName, Promise<Keyless>>()
  return (side) => {
    const known = found.get(side) ?? readKeyless(collections[side])
    found.set(side, known)
    return known
  }
}

async function readKeyless({ schema, view: open }: Collection): Promise<Keyless> {
  const rows = new Map<string, { code: string; message: string; count: number }>()
  if (open === undefined) return rows
  await using view = await open({ fields: schema.key, where: null })
  for await (const { rejects } of view.scan(everything, schema.key))
    for (const { key, code, message } of rejects) {
      if (isWhole(key)) continue
      const text = keyText(key)
      rows.set(text, { code, message, count: (rows.get(text)?.count ?? 0) + 1 })
    }
  return new Map(
    [...rows].map(([text, { code, message, count }]) => [
      text,
      { code, message: count === 1 ? message : `${count} rows: ${message}` },
    ]),
  )
}
