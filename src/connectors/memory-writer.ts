/** Writing into a collection in memory: each write on its own, so that a batch may take effect in part. */
import { keyText } from '../core/key-text.ts'
import type { Schema } from '../core/schema.ts'
import { canonical, equal, type Key, type Row, type Type, type Value } from '../core/value.ts'
import type { Patch, Write, WriteResult, Writer, WriterSpec } from './connector.ts'
import type { MemorySystem } from './memory-system.ts'
import { type Attempt, applyOneByOne, leaseLost } from './write.ts'

export async function openMemoryWriter(system: MemorySystem, schema: Schema, spec: WriterSpec): Promise<Writer> {
  const fence = `${spec.project}/${spec.name}`
  await system.fault('claimWriter', schema.name)
  const before = system.fences.get(fence) ?? 0
  if (spec.held !== null && spec.held !== before) throw leaseLost(spec)
  let generation = before + 1
  const claimed = generation
  system.fences = new Map(system.fences).set(fence, generation)
  const held = () => {
    if (system.fences.get(fence) === generation) return
    throw leaseLost(spec)
  }
  const record = (id: string, results: readonly (WriteResult | null)[]) => {
    const mine = new Map(system.results.get(fence)).set(id, results)
    system.results = new Map(system.results).set(fence, mine)
  }
  const forget = (ids: readonly string[]) => {
    const mine = new Map(system.results.get(fence))
    for (const id of ids) mine.delete(id)
    system.results = new Map(system.results).set(fence, mine)
  }
  return {
    generation: claimed,
    write: async (id, writes, settled) => {
      await system.fault('write', schema.name)
      held()
      forget(settled)
      const results: (WriteResult | null)[] = writes.map(() => null)
      const done = await applyOneByOne(writes, {
        // Each write takes effect on its own: a crash leaves those before it.
        attempt: async (write, at) => {
          if (at > 0) await system.fault('write', schema.name)
          held()
          const result = apply(system, schema, spec, write)
          if (result.status !== 'taken') results[at] = result
          record(id, [...results])
          return result
        },
        swap: async (members) => {
          const before = system.tables
          for (const { write, columns } of members) {
            const parked = Object.fromEntries(columns.map((name) => [name, null]))
            apply(system, schema, spec, { ...write, fields: parked })
          }
          const swapped = members.map(({ write }) => apply(system, schema, spec, { ...write, expected: {} }))
          if (swapped.every((result): result is WriteResult => result.status === 'written')) {
            members.forEach(({ at }, i) => {
              results[at] = swapped[i] as WriteResult
            })
            record(id, [...results])
            return swapped
          }
          system.tables = before
          return null
        },
      })
      await system.fault('written', schema.name)
      return done
    },
    recall: async (id) => {
      await system.fault('recall', schema.name)
      held()
      return system.results.get(fence)?.get(id) ?? null
    },
    forget: async () => {
      await system.fault('forget', schema.name)
      held()
      const all = [...(system.results.get(fence)?.keys() ?? [])]
      if (all.length === 0) return generation
      forget(all)
      system.fences = new Map(system.fences).set(fence, ++generation)
      return generation
    },
    [Symbol.asyncDispose]: async () => {},
  }
}

function apply(system: MemorySystem, schema: Schema, spec: WriterSpec, write: Write): Attempt {
  const { rows } = system.table(schema.name)
  if (write.kind === 'insert') {
    const row = system.normalize(schema.name, assigned(system, schema, patched(schema, null, write.row)))
    const key = keyOf(schema, row)
    if (rows.has(keyText(key)))
      return { status: 'rejected', code: 'VALUE_TAKEN', message: `there is a row ${keyText(key)} already` }
    const clash = clashes(system, schema, row, null)
    if (clash !== null) return clash
    system.put(schema.name, row)
    return { status: 'written', row: project(schema, row, spec.fields) }
  }
  const before = rows.get(keyText(write.key))
  if (before === undefined || !holds(schema, before, write.expected)) return { status: 'stale' }
  if (write.kind === 'delete') {
    system.delete(schema.name, write.key)
    return { status: 'written', row: null }
  }
  const row = system.normalize(schema.name, patched(schema, before, write.fields))
  const key = keyOf(schema, row)
  const moved = keyText(key) !== keyText(write.key)
  if (moved && rows.has(keyText(key)))
    return { status: 'rejected', code: 'VALUE_TAKEN', message: `there is a row ${keyText(key)} already` }
  const clash = clashes(system, schema, row, keyText(write.key))
  if (clash !== null) return clash
  if (moved) system.delete(schema.name, write.key)
  system.put(schema.name, row)
  return { status: 'written', row: project(schema, row, spec.fields) }
}

function clashes(system: MemorySystem, schema: Schema, row: Row, own: string | null): Attempt | null {
  for (const name of system.unique.get(schema.name) ?? []) {
    const at = schema.fields.findIndex((field) => field.name === name)
    for (const [key, other] of system.table(schema.name).rows)
      if (key !== own && row[at] !== null && other[at] === row[at]) {
        return { status: 'taken', columns: [name], message: `another row has this ${name}` }
      }
  }
  return null
}

function patched(schema: Schema, row: Row | null, patch: Patch): Row {
  return schema.fields.map(({ name }, at) => (Object.hasOwn(patch, name) ? (patch[name] ?? null) : (row?.[at] ?? null)))
}

/** A key that is left out is the next number. */
function assigned(system: MemorySystem, schema: Schema, row: Row): Row {
  const at = schema.fields.findIndex(({ name }) => name === schema.key[0])
  if (schema.key.length !== 1 || row[at] !== null) return row
  const id = ++system.assigned
  return row.map((value, i) => (i === at ? (schema.fields[at]?.type === 'integer' ? id : `id-${id}`) : value))
}

function holds(schema: Schema, row: Row, expected: Patch): boolean {
  return schema.fields.every(
    ({ name, type }, at) => !Object.hasOwn(expected, name) || equal(type, row[at] ?? null, expected[name] ?? null),
  )
}

function project(schema: Schema, row: Row, fields: readonly string[]): Row {
  return fields.map((name) => row[schema.fields.findIndex((field) => field.name === name)] ?? null)
}

function keyOf(schema: Schema, row: Row): Key {
  return schema.key.map((name): Value => {
    const at = schema.fields.findIndex((field) => field.name === name)
    return canonical(schema.fields[at]?.type as Type, row[at] ?? null)
  })
}
