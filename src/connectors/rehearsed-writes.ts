/** Which writes of a two-way sync a table would refuse: they are tried as rows of an adopted target are. */
import { fieldNamed, type Schema } from '../core/schema.ts'
import type { Row } from '../core/value.ts'
import type { TargetSpec, Write } from './connector.ts'

type Rehearse = (spec: TargetSpec, rows: readonly Row[]) => Promise<readonly (Row | null)[]>

/** One answer per write, in order; of a deletion nothing is foreseen. */
export async function refusedWrites(
  schema: Schema,
  writes: readonly Write[],
  rehearse: Rehearse,
): Promise<readonly boolean[]> {
  const refused = writes.map(() => false)
  for (const { names, update, places } of alike(writes)) {
    // An insert may leave its key to the table.
    const key = update || schema.key.every((name) => names.includes(name)) ? schema.key : []
    const all = update ? [...key, ...names.filter((name) => !key.includes(name))] : names
    const fields = all.map((name) => fieldNamed(schema, name))
    const spec: TargetSpec = {
      sync: '',
      project: '',
      collection: schema.name,
      schema: { ...schema, fields, key },
      adopt: true,
      deletes: 'propagate',
    }
    const rows = places.map((place) => rowOf(writes[place] as Write, schema.key, all))
    const stored = await rehearse(spec, rows)
    for (const [at, place] of places.entries()) refused[place] = stored[at] === null
  }
  return refused
}

interface Alike {
  readonly names: readonly string[]
  readonly update: boolean
  /** Among the writes. */
  readonly places: number[]
}

/** Inserts and updates that write the same fields. */
function alike(writes: readonly Write[]): readonly Alike[] {
  const groups = new Map<string, Alike>()
  for (const [place, write] of writes.entries()) {
    if (write.kind === 'delete') continue
    const names = Object.keys(write.kind === 'insert' ? write.row : write.fields)
    const text = JSON.stringify([write.kind, ...names])
    const group = groups.get(text) ?? { names, update: write.kind === 'update', places: [] }
    groups.set(text, group)
    group.places.push(place)
  }
  return [...groups.values()]
}

function rowOf(write: Write, key: readonly string[], names: readonly string[]): Row {
  if (write.kind === 'insert') return names.map((name) => write.row[name] ?? null)
  const fields = write.kind === 'update' ? write.fields : {}
  return names.map((name) =>
    key.includes(name)
      ? write.kind === 'update'
        ? (write.key[key.indexOf(name)] ?? null)
        : null
      : (fields[name] ?? null),
  )
}
