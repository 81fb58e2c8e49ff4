/** What tables a Postgres database has. */
import { SyncError } from '../../core/error.ts'
import { formatName, nearestNames, parseName } from '../../core/name.ts'
import type { Field, Schema } from '../../core/schema.ts'
import { quote } from '../sql.ts'
import type { Client } from './client.ts'
import { quoteText } from './copy.ts'
import { typeOf } from './types.ts'

/** A table, view or foreign table: its schema, and what decides how it can be read. */
export interface Table {
  readonly schema: Schema
  readonly oid: string
  /** r table, p partitioned, v view, m materialized view, f foreign table. */
  readonly kind: string
  /** The key the catalog declares; the schema's key may be the user's choice. */
  readonly declaredKey: readonly string[]
  /** Whether tables inherit from it, whose rows are its rows, too: no index of its own is about those. */
  readonly inherited: boolean
  /** Columns GENERATED ALWAYS AS IDENTITY: they take values in new rows only. */
  readonly identities: readonly string[]
  /** Columns that take differently spelled texts for one. */
  readonly loose: readonly string[]
}

/** All tables and views this role can see, without the system's and Syncline's own. */
export async function discoverTables(client: Client): Promise<Table[]> {
  return describe(
    client,
    `n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)' AND c.relname !~ '^_syncline_' AND NOT c.relispartition`,
  )
}

/** One table, or COLLECTION_UNKNOWN with the nearest names. A name without a schema is in `public`. */
export async function requireTable(client: Client, name: string): Promise<Table> {
  const found = await findTable(client, name)
  if (found !== null) return found
  const nearest = nearestNames(
    qualified(name),
    (await discoverTables(client)).map((table) => table.schema.name),
  )
  throw new SyncError('COLLECTION_UNKNOWN', `there is no table ${qualified(name)}`, {
    hint:
      nearest.length > 0
        ? `Did you mean ${nearest.join(' or ')}?`
        : 'Check the name and the USAGE grant on its schema.',
  })
}

export async function findTable(client: Client, name: string): Promise<Table | null> {
  const [schema, table] = nameParts(name)
  const tables = await describe(client, `n.nspname = ${quoteText(schema)} AND c.relname = ${quoteText(table)}`)
  return tables[0] ?? null
}

/**
 * What of a table is not kept as Postgres keeps its own tables, in words: a partition or child that is a foreign table, or one
 * of another table access method. Null: nothing. Rows of such a part have no transaction numbers of this server.
 */
export async function foreignPart(client: Client, { oid }: Table): Promise<string | null> {
  const [part] = await client.query(
    `WITH RECURSIVE tree (oid) AS (SELECT ${oid}::oid UNION SELECT i.inhrelid FROM tree JOIN pg_inherits i ON i.inhparent = tree.oid)
     SELECT c.oid::regclass, c.relkind, am.amname FROM tree JOIN pg_class c ON c.oid = tree.oid LEFT JOIN pg_am am ON am.oid = c.relam
     WHERE c.oid <> ${oid} AND c.relkind NOT IN ('r', 'p') OR c.relkind = 'r' AND am.amname <> 'heap' ORDER BY c.oid LIMIT 1`,
  )
  if (part === undefined) return null
  const [name, kind, method] = part
  return `${name} is ${kind === 'f' ? 'a foreign table' : `kept by ${method}`}`
}

/** Schema and table of a collection's name. */
export function nameParts(name: string): [string, string] {
  const parts = parseName(name)
  return parts.length === 1 ? ['public', parts[0] as string] : [parts[0] as string, parts.slice(1).join('.')]
}

/** A table reference in SQL. */
export function tableSql(name: string): string {
  return nameParts(name).map(quote).join('.')
}

/** A collection's name with its schema, as the catalog's tables have it. */
export function qualified(name: string): string {
  return formatName(nameParts(name))
}

async function describe(client: Client, condition: string): Promise<Table[]> {
  const rows = await client.query(`${columnsQuery} AND ${condition} ORDER BY n.nspname, c.relname, a.attnum`)
  const keys = await client.query(
    `${keysQuery} AND ${condition} ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid`,
  )
  const keyOf = new Map<string, string[]>()
  for (const [oid, names] of keys) if (oid && names && !keyOf.has(oid)) keyOf.set(oid, JSON.parse(names) as string[])
  const tables = new Map<string, Table & { schema: { fields: Field[] }; identities: string[]; loose: string[] }>()
  for (const [
    oid,
    namespace,
    relation,
    kind,
    inherited,
    column,
    native,
    required,
    generated,
    identity,
    loose,
  ] of rows) {
    if (!oid || !namespace || !relation || !kind) continue
    const key = keyOf.get(oid) ?? []
    const table = tables.get(oid) ?? {
      oid,
      kind,
      inherited: inherited === 't',
      declaredKey: key,
      identities: [],
      loose: [],
      schema: { name: formatName([namespace, relation]), system: 'postgres', fields: [], key },
    }
    tables.set(oid, table)
    if (!column || !native) continue
    if (identity === 't') table.identities.push(column)
    if (loose === 't') table.loose.push(column)
    table.schema.fields.push({
      name: column,
      type: typeOf(native),
      native,
      nullable: required !== 't',
      writable: generated !== 't',
    })
  }
  return [...tables.values()]
}

/** Columns with their types; domains are resolved to what they are made of, and types outside pg_catalog are qualified. */
const columnsQuery = `
WITH RECURSIVE step (oid, base, typmod) AS (
  SELECT oid, typbasetype, typtypmod FROM pg_type WHERE typtype = 'd'
  UNION ALL SELECT step.oid, t.typbasetype, t.typtypmod FROM step JOIN pg_type t ON t.oid = step.base WHERE t.typtype = 'd'
), domain AS (
  SELECT step.oid, step.base, step.typmod FROM step JOIN pg_type t ON t.oid = step.base WHERE t.typtype <> 'd'
)
SELECT c.oid, n.nspname, c.relname, c.relkind,
  c.relkind <> 'p' AND c.relhassubclass AND EXISTS (SELECT 1 FROM pg_inherits WHERE inhparent = c.oid), a.attname,
  CASE
    WHEN e.oid IS NOT NULL AND e.typnamespace <> 'pg_catalog'::regnamespace THEN quote_ident(en.nspname) || '.' || quote_ident(e.typname) || '[]'
    WHEN t.typnamespace <> 'pg_catalog'::regnamespace THEN quote_ident(tn.nspname) || '.' || quote_ident(t.typname)
    ELSE format_type(t.oid, CASE WHEN d.oid IS NULL THEN a.atttypmod ELSE d.typmod END)
  END,
  a.attnotnull, a.attgenerated <> '', a.attidentity = 'a',
  coalesce(NOT co.collisdeterministic, false) OR 'citext' IN (t.typname, coalesce(e.typname, ''))
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN domain d ON d.oid = a.atttypid
LEFT JOIN pg_type t ON t.oid = coalesce(d.base, a.atttypid)
LEFT JOIN pg_namespace tn ON tn.oid = t.typnamespace
LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
LEFT JOIN pg_namespace en ON en.oid = e.typnamespace
LEFT JOIN pg_collation co ON co.oid = a.attcollation
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')`

/** Unique indexes that identify every row, the primary key first. */
const keysQuery = `
SELECT c.oid, (SELECT json_agg(a.attname ORDER BY k.position) FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, position)
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number WHERE k.position <= i.indnkeyatts)
FROM pg_index i
JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
  AND NOT EXISTS (SELECT 1 FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) AS k (number)
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number WHERE NOT a.attnotnull)`

/** Names of the columns of composite types, or made of such, in which a member rounds: `numeric(5,2)`, `timestamp(0)`. */
export async function roundingColumns(client: Client, collection: string): Promise<readonly string[]> {
  const rows = await client.query(`WITH RECURSIVE parts (name, type, inside, modified) AS (
      SELECT attname, atttypid, false, false FROM pg_attribute WHERE attrelid = ${quoteText(tableSql(collection))}::regclass AND attnum > 0 AND NOT attisdropped
      UNION
      SELECT parts.name, next.type, inside OR next.member, next.modified
      FROM parts JOIN pg_type t ON t.oid = parts.type, LATERAL (
        SELECT t.typelem AS type, false AS member, parts.modified AS modified WHERE t.typcategory = 'A'
        UNION ALL SELECT t.typbasetype, false, parts.modified OR t.typtypmod >= 0 WHERE t.typtype = 'd'
        UNION ALL SELECT a.atttypid, true, a.atttypmod >= 0 FROM pg_attribute a WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
      ) AS next)
    SELECT DISTINCT name FROM parts WHERE inside AND modified AND type IN ('numeric'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype, 'time'::regtype, 'timetz'::regtype, 'interval'::regtype)`)
  return rows.map(([name]) => String(name))
}

/**
 * Indexes that hold rows apart (unique ones, and those of exclusion constraints) with the columns they are of, for FROM. The columns of
 * expressions are what the index depends on.
 */
export const apartSql = `pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum > 0 AND (i.indisunique OR i.indisexclusion)
  AND (a.attnum = ANY (i.indkey) OR EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
    AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid AND d.refobjsubid = a.attnum))`
