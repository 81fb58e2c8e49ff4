/** A random Postgres table: its definition, its rows, and statements that change them. */
import type pg from 'pg'
import { type Cell, fromPostgres, type Kind, type Rows } from './canonical.ts'
import {
  columnTypes,
  fillerType,
  gradeType,
  keyTypes,
  levelType,
  type PostgresType,
  smallKeyTypes,
  stampType,
} from './postgres-types.ts'
import type { Random } from './random.ts'

export interface PostgresColumn {
  readonly name: string
  readonly type: PostgresType
  readonly isKey: boolean
  /** A generated column can't be written. */
  readonly generated?: string
  /** A trigger writes the time of each change into it. */
  readonly stamped?: true
}

export interface PostgresTable {
  readonly schema: string
  readonly name: string
  columns: readonly PostgresColumn[]
  /** Read leaf by leaf. */
  readonly partitions: number
  /** How many columns there ever were: names are not used twice by chance. */
  drawn: number
}

/** Every session of the oracle: one spelling of each value, and nobody waits long for anybody. */
export const settings = `SET TimeZone = 'UTC'; SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'postgres'; SET extra_float_digits = 1;
  SET bytea_output = 'hex'; SET lc_monetary = 'C'; SET lock_timeout = '50ms'; SET deadlock_timeout = '20ms'`

const oddNames = ['select', 'a b', 'Ünï', 'x"y', 'dot.ted', "it's", 'CamelCase', '%s', 'tab\there', 'a,b']

export function drawTable(random: Random, number: number, stamped: boolean): PostgresTable {
  const composite = random.chance(0.4)
  const first = random.pick(keyTypes)
  const key: PostgresColumn[] = [{ name: random.chance(0.2) ? 'Key 1' : 'k1', type: first, isKey: true }]
  if (composite) key.push({ name: 'k2', type: random.pick([...smallKeyTypes, ...keyTypes]), isKey: true })
  const table: PostgresTable = {
    schema: random.chance(0.2) ? 'odd schema' : 'public',
    name: random.chance(0.25) ? `${random.pick(oddNames)} ${number}` : `t${number}`,
    columns: [],
    partitions: random.chance(0.2) ? random.between(2, 3) : 0,
    drawn: 0,
  }
  const rest: PostgresColumn[] = [
    { name: 'grade', type: gradeType, isKey: false },
    { name: 'level', type: levelType, isKey: false },
    ...Array.from({ length: random.between(1, 8) }, () => drawColumn(random, table)),
  ]
  if (random.chance(0.4)) rest.push({ name: 'filler', type: fillerType, isKey: false })
  if (random.chance(0.15)) rest.push({ name: 'twice', type: levelType, isKey: false, generated: 'level * 2' })
  if (stamped) rest.push({ name: 'touched', type: stampType, isKey: false, stamped: true })
  // The key need not come first.
  table.columns = random.chance(0.3) ? [...rest.slice(0, 2), ...key, ...rest.slice(2)] : [...key, ...rest]
  return table
}

export function drawColumn(random: Random, table: PostgresTable): PostgresColumn {
  const number = ++table.drawn
  return {
    name: random.chance(0.15) ? `${random.pick(oddNames)}${number}` : `c${number}`,
    type: random.pick(columnTypes),
    isKey: false,
  }
}

export function createSql(table: PostgresTable): string {
  const columns = table.columns.map((column) => {
    const collated = column.type.native
    return `${quote(column.name)} ${collated}${column.generated === undefined ? '' : ` GENERATED ALWAYS AS (${column.generated}) STORED`}`
  })
  const key = keyOf(table).map((column) => quote(column.name))
  const partitioned = table.partitions > 0 ? ` PARTITION BY HASH (${key[0]})` : ''
  const parts = Array.from(
    { length: table.partitions },
    (_, at) => `CREATE TABLE ${partName(table, at)} PARTITION OF ${nameOf(table)} ${bounds(table, at)}`,
  )
  return [
    `CREATE TABLE ${nameOf(table)} (${columns.join(', ')}, PRIMARY KEY (${key.join(', ')}))${partitioned}`,
    ...parts,
    ...(table.columns.some(({ stamped }) => stamped) ? [stampSql(table)] : []),
  ].join('; ')
}

function stampSql(table: PostgresTable): string {
  return `CREATE OR REPLACE FUNCTION public.stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.touched := clock_timestamp(); RETURN NEW; END';
    CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON ${nameOf(table)} FOR EACH ROW EXECUTE FUNCTION public.stamp()`
}

export function nameOf(table: PostgresTable): string {
  return `${quote(table.schema)}.${quote(table.name)}`
}

export function partName(table: PostgresTable, at: number): string {
  return `${quote(table.schema)}.${quote(`${table.name} part ${at}`)}`
}

export function bounds(table: PostgresTable, at: number): string {
  return `FOR VALUES WITH (MODULUS ${table.partitions}, REMAINDER ${at})`
}

export function keyOf(table: PostgresTable): readonly PostgresColumn[] {
  return table.columns.filter((column) => column.isKey)
}

function writable(table: PostgresTable): readonly PostgresColumn[] {
  return table.columns.filter((column) => column.generated === undefined && column.stamped === undefined)
}

/** Inserts `count` drawn rows; what to do with keys that are there is drawn too. */
export function insertSql(random: Random, table: PostgresTable, count: number): string {
  const columns = writable(table)
  const tuples = Array.from(
    { length: count },
    () => `(${columns.map((column) => literalOf(random, column)).join(', ')})`,
  )
  const [one] = random.sample(
    columns.filter((column) => !column.isKey),
    1,
  )
  const overwrites = count === 1 && one !== undefined && random.chance(0.3)
  const key = keyOf(table)
    .map((column) => quote(column.name))
    .join(', ')
  const conflict = overwrites
    ? `ON CONFLICT (${key}) DO UPDATE SET ${quote(one.name)} = excluded.${quote(one.name)}`
    : 'ON CONFLICT DO NOTHING'
  return `INSERT INTO ${nameOf(table)} (${columns.map((column) => quote(column.name)).join(', ')}) VALUES ${tuples.join(', ')} ${conflict}`
}

/** Sets a few columns of some rows; now and then to what they are already. */
export function updateSql(random: Random, table: PostgresTable, count: number): string {
  const columns = random.sample(
    writable(table).filter((column) => !column.isKey),
    random.between(1, 3),
  )
  const sets = columns.map(
    (column) => `${quote(column.name)} = ${random.chance(0.1) ? quote(column.name) : literalOf(random, column)}`,
  )
  return `UPDATE ${nameOf(table)} SET ${sets.join(', ')} WHERE ${someRows(random, table, count)}`
}

/** Changes every row that nobody else is changing. */
export function updateAllSql(random: Random, table: PostgresTable): string {
  const [one] = random.sample(
    writable(table).filter((column) => !column.isKey),
    1,
  )
  const key = keyOf(table)
    .map((column) => quote(column.name))
    .join(', ')
  const set = one === undefined ? 'level = level' : `${quote(one.name)} = ${literalOf(random, one)}`
  return `UPDATE ${nameOf(table)} SET ${set} WHERE (${key}) IN (SELECT ${key} FROM ${nameOf(table)} FOR UPDATE SKIP LOCKED)`
}

/** Gives one row another key. */
export function moveSql(random: Random, table: PostgresTable): string {
  const columns = random.sample(keyOf(table), random.between(1, 2))
  return `UPDATE ${nameOf(table)} SET ${columns.map((column) => `${quote(column.name)} = ${literalOf(random, column)}`).join(', ')} WHERE ${someRows(random, table, 1)}`
}

export function deleteSql(random: Random, table: PostgresTable, count: number): string {
  return `DELETE FROM ${nameOf(table)} WHERE ${someRows(random, table, count)}`
}

/** Two rows exchange all fields outside the key: the key set stays, both rows change. */
export function respellSql(random: Random, table: PostgresTable): string | null {
  const decimals = keyOf(table).filter((column) => column.type.kind === 'decimal')
  const [one] = decimals
  if (one === undefined) return null
  // 1.5 becomes 1.50: the same key, spelled differently.
  return `UPDATE ${nameOf(table)} SET ${quote(one.name)} = ${quote(one.name)} + 0.00 WHERE ${someRows(random, table, 2)} AND ${quote(one.name)} < 'Infinity' AND ${quote(one.name)} > '-Infinity'`
}

export function literalOf(random: Random, column: PostgresColumn): string {
  if (!column.isKey && random.chance(0.12)) return 'NULL'
  return `${quoteText(column.type.value(random))}::${column.type.native.replace(/ COLLATE .*/, '')}`
}

/** Rows chosen by the digest of their key with a salt: the same for the same rows, unlike random(). */
function someRows(random: Random, table: PostgresTable, count: number): string {
  const key = keyOf(table)
    .map((column) => quote(column.name))
    .join(', ')
  const order = keyOf(table)
    .map((column) => `${quote(column.name)}::text`)
    .join(` || '/' || `)
  return `(${key}) IN (SELECT ${key} FROM ${nameOf(table)} ORDER BY md5(${order} || '${random.between(0, 1e9)}') LIMIT ${count})`
}

/** All rows of a table, canonically spelled, by their keys. `condition` is SQL. */
export async function readRows(
  client: pg.Client,
  name: string,
  columns: readonly { readonly name: string; readonly kind: Kind; readonly isKey: boolean }[],
  condition: string,
): Promise<Rows> {
  const { rows } = await client.query<Cell[]>({
    text: `SELECT ${columns.map((column) => quote(column.name)).join(', ')} FROM ${name} WHERE ${condition}`,
    rowMode: 'array',
    types: { getTypeParser: () => (value: string) => value },
  })
  const found = new Map<string, readonly Cell[]>()
  for (const row of rows) {
    const cells = row.map((cell, at) => fromPostgres(columns[at]?.kind ?? 'text', cell))
    const key = JSON.stringify(cells.filter((_cell, at) => columns[at]?.isKey))
    if (found.has(key)) throw new Error(`two rows of ${name} have the key ${key}`)
    found.set(key, cells)
  }
  return found
}

export function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

export function quoteText(value: string): string {
  return `E'${value.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`
}
