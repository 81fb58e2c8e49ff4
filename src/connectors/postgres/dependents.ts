/** Rows that Postgres deletes or changes by itself with a row of a table. */
import { formatName } from '../../core/name.ts'
import { fieldNamed, type Schema } from '../../core/schema.ts'
import type { Key } from '../../core/value.ts'
import { type Acting, pathsFrom, reachedBy, reachedRows } from '../cascades.ts'
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

/** By collection that is to stay: whether a row of the table, called by its name, reaches rows of it. */
export async function keptConditions(
  client: Client,
  schema: Schema,
  keeps: readonly string[],
): Promise<{ readonly collection: string; readonly sql: string }[]> {
  if (keeps.length === 0) return []
  const names = keptNames(keeps)
  const kept = (name: string) => names.has(name)
  return pathsFrom(schema.name, await actingKeys(client), kept)
    .filter((path) => kept(reachedBy(path).child) && reachedBy(path).effect !== 'refused')
    .map((path) => {
      const root = { root: tableSql(schema.name), table: schema.name, key: schema.key }
      return {
        collection: names.get(reachedBy(path).child) ?? '',
        sql: `EXISTS (SELECT 1 FROM ${reachedRows(path, root, tableSql).from})`,
      }
    })
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
  for (const path of pathsFrom(schema.name, acting, (name) => names.has(name))) {
    const { child, effect, childFields: fields } = reachedBy(path)
    const where = schema.key
      .map((name, part) => sameSql(`_root.${quote(name)}`, `w.k${part}`, loose.includes(name)))
      .join(' AND ')
    const { from, alias } = reachedRows(path, { root: '_root', table: schema.name, key: schema.key }, tableSql)
    const tables = `${listed} JOIN ${tableSql(schema.name)} AS _root ON ${where}, ${from}`
    if (child !== schema.name) {
      const counted = await client.query(`SELECT w.ord, count(*) FROM ${tables} GROUP BY w.ord`)
      for (const [ord, rows] of counted)
        dependents.push({
          at: Number(ord) - 1,
          collection: names.get(child) ?? child,
          effect,
          fields,
          rows: Number(rows),
          own: [],
        })
      continue
    }
    const key = schema.key.map((name) => `${alias}.${quote(name)}`).join(', ')
    for (const [ord, ...values] of await client.query(`SELECT w.ord, ${key} FROM ${tables}`)) {
      const own = values.map((value, at) => (value === null ? null : fromText(parts[at]?.type ?? 'text', value)))
      dependents.push({ at: Number(ord) - 1, collection: child, effect, fields, rows: 1, own: [own] })
    }
  }
  return dependents
}
