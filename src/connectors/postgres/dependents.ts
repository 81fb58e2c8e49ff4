/** Rows that Postgres deletes or changes by itself with a row of a table. */
import { formatName } from '../../core/name.ts'
import { fieldNamed, type Schema } from '../../core/schema.ts'
import type { Key } from '../../core/value.ts'
import { type Acting, cascadeFrom, type Dialect, reachedBy, reaches, withReached } from '../cascades.ts'
import type { Dependent } from '../connector.ts'
import { quote } from '../sql.ts'
import { qualified, type Table, tableSql } from './catalog.ts'
import type { Client } from './client.ts'
import { literal } from './copy.ts'
import { sameSql } from './loose.ts'
import { fromText } from './types.ts'

/** Of partitioned tables the constraint of the whole; what the role may not read can't be looked into. */
export async function actingKeys(client: Client): Promise<Acting[]> {
  const names = (of: string, numbers: string) => `
    (SELECT json_agg(a.attname ORDER BY k.place) FROM unnest(${numbers}) WITH ORDINALITY AS k (number, place)
     JOIN pg_attribute a ON a.attrelid = ${of} AND a.attnum = k.number)`
  const rows = await client.query(`
    SELECT cn.nspname, c.relname, ${names('f.conrelid', 'f.conkey')}, pn.nspname, p.relname, ${names('f.confrelid', 'f.confkey')},
      f.confdeltype
    FROM pg_constraint f
    JOIN pg_class c ON c.oid = f.conrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
    JOIN pg_class p ON p.oid = f.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
    WHERE f.contype = 'f' AND f.conparentid = 0 AND has_table_privilege(c.oid, 'SELECT')
    ORDER BY f.oid`)
  return rows.map(([childSchema, child, childFields, parentSchema, parent, parentFields, action]) => ({
    child: formatName([childSchema ?? '', child ?? '']),
    childFields: JSON.parse(childFields ?? '[]') as string[],
    parent: formatName([parentSchema ?? '', parent ?? '']),
    parentFields: JSON.parse(parentFields ?? '[]') as string[],
    effect: action === 'c' ? 'deleted' : action === 'n' || action === 'd' ? 'changed' : 'refused',
  }))
}

const dialect: Dialect = {
  tableSql,
  identity: () => ['tableoid', 'ctid'],
  // A recursive part may name itself once.
  follow: (steps) => {
    const found = steps.map(
      ({ select, tables, where }) => `SELECT ${select.join(', ')} FROM ${tables.join(', ')} WHERE ${where}`,
    )
    return `SELECT _reached._ord, _next.* FROM _reached CROSS JOIN LATERAL (${found.join(' UNION ALL ')}) AS _next`
  },
}

/** By collection that is to stay: whether a row of the table, called by its name, reaches rows of it. */
export async function keptConditions(
  client: Client,
  schema: Schema,
  keeps: readonly string[],
): Promise<{ readonly collection: string; readonly sql: string }[]> {
  if (keeps.length === 0) return []
  const names = keptNames(keeps)
  const kept = (name: string) => names.has(name)
  const cascade = cascadeFrom(schema.name, await actingKeys(client), kept)
  const keys = cascade.keys.filter(({ child, effect }) => kept(child) && effect !== 'refused')
  return [...Map.groupBy(keys, ({ child }) => child)].map(([child, of]) => ({
    collection: names.get(child) ?? '',
    sql: reaches(cascade, dialect, tableSql(schema.name), of),
  }))
}

/** The names that we were given, by those that the catalog has. */
function keptNames(keeps: readonly string[]): ReadonlyMap<string, string> {
  return new Map(keeps.map((name) => [qualified(name), name]))
}

export async function dependentsOf(
  client: Client,
  { schema, loose }: Table,
  keys: readonly Key[],
  keeps: readonly string[],
): Promise<Dependent[]> {
  const dependents: Dependent[] = []
  const names = keptNames(keeps)
  const acting = keys.length === 0 ? [] : await actingKeys(client)
  const parts = schema.key.map((name) => fieldNamed(schema, name))
  const tuples = keys.map((key, at) => [
    at + 1,
    ...parts.map((field, i) => literal(field, key[i] ?? null, field.native)),
  ])
  const listed = `(VALUES ${tuples.map((tuple) => `(${tuple.join(', ')})`).join(', ')}) AS w (${['ord', ...parts.map((_, i) => `k${i}`)].join(', ')})`
  const where = schema.key
    .map((name, part) => sameSql(`_root.${quote(name)}`, `w.k${part}`, loose.includes(name)))
    .join(' AND ')
  const start = `SELECT w.ord, _root.tableoid, _root.ctid FROM ${listed} JOIN ${tableSql(schema.name)} AS _root ON ${where}`
  const cascade = cascadeFrom(schema.name, acting, (name) => names.has(name))
  const reached = withReached(cascade, dialect, start)
  const others = cascade.keys.filter(({ child }) => child !== schema.name)
  // By table and effect: a row may refer to rows that go in more than one way.
  for (const of of Map.groupBy(others, ({ child, effect }) => `${effect} ${child}`).values()) {
    const [first] = of
    if (first === undefined) continue
    const { child, effect, childFields: fields } = first
    const rows = of.map(
      (key) => `SELECT _reached._ord, _child.tableoid, _child.ctid ${reachedBy(cascade, dialect, key)}`,
    )
    const counted = await client.query(
      `${reached} SELECT _ord, count(*) FROM (${rows.join(' UNION ')}) AS _found GROUP BY _ord`,
    )
    for (const [ord, count] of counted) {
      const collection = names.get(child) ?? child
      dependents.push({ at: Number(ord) - 1, collection, effect, fields, rows: Number(count), own: [] })
    }
  }
  const key = schema.key.map((name) => `_child.${quote(name)}`).join(', ')
  for (const acted of cascade.keys.filter(({ child }) => child === schema.name)) {
    const { child: collection, effect, childFields: fields } = acted
    const rows = await client.query(`${reached} SELECT _reached._ord, ${key} ${reachedBy(cascade, dialect, acted)}`)
    for (const [ord, ...values] of rows) {
      const own = values.map((value, at) => (value === null ? null : fromText(parts[at]?.type ?? 'text', value)))
      dependents.push({ at: Number(ord) - 1, collection, effect, fields, rows: 1, own: [own] })
    }
  }
  return dependents
}
