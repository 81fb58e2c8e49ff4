/**
 * Keys as they stand in a file, and the one value that each of them is. A column of others may spell a value in several ways: a UUID in
 * upper case, an integer in a column without a type, whose value is text. It is looked up by its usual spellings, so that an index serves.
 * Where there may be others, the table is read for those once, not for each key that was not found: new keys never are.
 */
import type { DatabaseSync } from 'node:sqlite'
import { keyText } from '../../core/key-text.ts'
import type { Field } from '../../core/schema.ts'
import { canonical, type Key, type Row, type Value } from '../../core/value.ts'
import type { Chunk } from '../connector.ts'
import { quote } from '../sql.ts'
import { prepareArrays } from './database.ts'
import { asStored, keyPart, preparing, type Relation } from './decode.ts'
import { remembering } from './remembering.ts'
import { type Bindable, keepsClass, keepsDigits, spelled, toStorage } from './types.ts'

interface Spelling {
  /** The usual ones of a value. */
  readonly usual: (value: Bindable) => readonly Bindable[]
  /** Whether a column holds one of those; null: there are no others. */
  readonly usualSql: ((column: string) => string) | null
  /** The value that a column holds, in one spelling. */
  readonly valueSql: (column: string) => string
  /** Whether a column holds its value in that spelling, if SQLite can tell at less cost. */
  readonly ownSql?: (column: string) => string
}

type Keyed = Pick<Relation, 'system' | 'key'>
type Stored = Keyed & Pick<Relation, 'from'>

/** Of a column of somebody else's table. Null: a value has one spelling there, or SQLite takes all of them for one. */
function spellingOf(field: Field): Spelling | null {
  const { type, systemType } = field
  if (systemType !== undefined)
    return { usual: (value) => [value], usualSql: null, valueSql: (column) => saidSql(field, column) }
  const inOneSpelling = (column: string) => `_syncline_canonical('${type}', ${column})`
  const open = { valueSql: inOneSpelling, usualSql: (column: string) => isSpelledAsSql(column, inOneSpelling(column)) }
  if (type === 'uuid') return { ...open, usual: uuids, usualSql: isUsualUuidSql, ownSql: isOwnUuidSql }
  if (type === 'json') return { ...open, usual: (value) => [value] }
  if (keepsClass(field)) {
    if (type === 'integer') return { ...open, usual: withDigits }
    if (type === 'decimal') return { ...open, usual: withNumber }
    return { usual: withInteger, usualSql: null, valueSql: digitsSql }
  }
  if (type === 'text' && keepsDigits(field))
    return { usual: withNumber, usualSql: null, valueSql: (column) => saidSql(field, column) }
  return null
}

/** As Postgres and Java write them, .NET, and Python. Braces and mixed case are rare. */
function uuids(value: Bindable): readonly Bindable[] {
  if (typeof value !== 'string') return [value]
  const plain = value.replaceAll('-', '')
  const bare = canonical('uuid', plain) === value ? [plain, plain.toUpperCase()] : []
  return [value, value.toUpperCase(), ...bare]
}

function isOwnUuidSql(column: string): string {
  return `${hasHyphensSql(column)} AND ${column} NOT GLOB '*[^0-9a-f-]*'`
}

/** Without a function of ours: a million are told in a quarter of a second. */
function isUsualUuidSql(column: string): string {
  const shape = `(${hasHyphensSql(column)} OR (length(${column}) = 32 AND ${column} NOT GLOB '*-*'))`
  return `${shape} AND (${column} NOT GLOB '*[^0-9a-f-]*' OR ${column} NOT GLOB '*[^0-9A-F-]*')`
}

function hasHyphensSql(column: string): string {
  return `${column} GLOB '????????-????-????-????-????????????'`
}

/** As a number or as its digits. One that says no of a usual spelling costs a look-up, no more. */
function isSpelledAsSql(column: string, value: string): string {
  return `CAST(${value} AS TEXT) = CAST(${column} AS TEXT)`
}

/** A text may have been written as an integer. */
function withInteger(value: Bindable): readonly Bindable[] {
  if (typeof value !== 'string' || !/^(0|-?[1-9]\d{0,18})$/.test(value)) return [value]
  const integer = BigInt(value)
  return BigInt.asIntN(64, integer) === integer ? [value, integer] : [value]
}

/** … or as any number. */
function withNumber(value: Bindable): readonly Bindable[] {
  const [, ...integer] = withInteger(value)
  if (typeof value !== 'string' || integer.length > 0) return [value, ...integer]
  const number = Number(value)
  return spelled(number) === value || canonical('decimal', String(number)) === value ? [value, number] : [value]
}

function withDigits(value: Bindable): readonly Bindable[] {
  return [value, String(value)]
}

function digitsSql(column: string): string {
  return `CASE WHEN typeof(${column}) = 'integer' THEN CAST(${column} AS TEXT) ELSE ${column} END`
}

/** For a column that holds what the config says, in whatever class: numbers as their digits, and texts as bytes where bytes are asked for. */
export function anyStorageSql(column: string, { type }: Field): string {
  if (type !== 'bytes') return digitsSql(column)
  return `CASE typeof(${column}) WHEN 'integer' THEN CAST(${column} AS TEXT) WHEN 'text' THEN CAST(${column} AS BLOB) ELSE ${column} END`
}

/** What a column holds, read as the config says; NULL where it can't be. */
function saidSql(field: Field, column: string): string {
  return `_syncline_said('${field.type}', ${anyStorageSql(column, field)})`
}

/** Whether several stored keys may be one value. */
export function mayRespell({ system, key }: Keyed): boolean {
  return system === 'sqlite' && key.some((field) => spellingOf(field) !== null)
}

/** The value of a column in one spelling, to be compared with `asBound`. `of`: the table that the column's name is qualified with. */
export function valueSql(system: string, field: Field, of: string | null = null): string {
  const column = of === null ? quote(field.name) : `${quote(of)}.${quote(field.name)}`
  return (system === 'sqlite' ? spellingOf(field)?.valueSql(column) : undefined) ?? column
}

/** A value in one spelling. */
export function asBound(field: Field, value: Value): Bindable {
  return toStorage(field, typeof value === 'string' ? canonical(field.type, value) : value, true)
}

/** How keys are looked up: expressions, and what they are compared with. */
export interface Question {
  readonly parts: readonly string[]
  readonly tuples: readonly (readonly Bindable[])[]
  /** No index serves: each statement reads the table. */
  readonly reads: boolean
}

/** By the usual spellings; by the values where the config says what a column holds. */
export function usualQuestion(relation: Keyed, keys: readonly Key[]): Question {
  const { key } = relation
  if (relation.system === 'sqlite' && key.some(({ systemType }) => systemType !== undefined))
    return valueQuestion(relation, keys)
  const parts = key.map(({ name }) => quote(name))
  const plain = (one: Key) => one.map((value, at) => toStorage(key[at] as Field, value, true))
  if (!mayRespell(relation)) return { parts, tuples: keys.map(plain), reads: false }
  const usual = (value: Value, at: number): readonly Bindable[] => {
    const field = key[at] as Field
    const bound = asBound(field, value)
    return spellingOf(field)?.usual(bound) ?? [bound]
  }
  return { parts, tuples: keys.flatMap((one) => combinations(one.map(usual))), reads: false }
}

/** For keys that were not found by their usual spellings. Null: the table has them in no others. */
export function openQuestion(database: DatabaseSync, relation: Stored, keys: readonly Key[]): Question | null {
  if (keys.length === 0) return null
  const unusual = unusualKeys(database, relation)
  if (unusual === null) return valueQuestion(relation, keys)
  if (unusual.size === 0) return null
  const tuples = keys.flatMap((key) => unusual.get(valueText(relation, key)) ?? [])
  return tuples.length === 0 ? null : { parts: relation.key.map(({ name }) => quote(name)), tuples, reads: false }
}

/** Of keys that were found by their usual spellings, those that a further row has in another, as text. */
export function furtherTwins(database: DatabaseSync, relation: Stored, keys: readonly Key[]): ReadonlySet<string> {
  const unusual = keys.length === 0 ? null : unusualKeys(database, relation)
  if (unusual === null || unusual.size === 0) return new Set()
  const prepare = preparing(database)
  const doubled = keys.filter((key) => {
    const others = unusual.get(valueText(relation, key))
    if (others === undefined) return false
    // One statement: what counts as unusual may be found by a usual spelling, too.
    const { parts, tuples } = usualQuestion(relation, [key])
    const all = [...tuples, ...others]
    const sql = `SELECT count(*) FROM ${relation.from} WHERE ${keysSql(parts, all.length, true)}`
    return Number(asStored(prepare(sql).get(...all.flat()))[0]) > 1
  })
  return new Set(doubled.map((key) => valueText(relation, key)))
}

/** More than these are not kept: some 20 MB. */
const MAX_UNUSUAL = 50_000

type Spelled = Map<string, readonly (readonly Bindable[])[]>
const unusualOf = remembering<Spelled | null>()

/** The keys of a table that stand there in no usual spelling, by their values as text. Null: too many to keep. */
function unusualKeys(database: DatabaseSync, { system, key, from }: Stored): Spelled | null {
  const asked = key.some(({ systemType }) => systemType !== undefined)
  const usual = key.flatMap((field) => spellingOf(field)?.usualSql?.(quote(field.name)) ?? [])
  if (system !== 'sqlite' || asked || usual.length === 0) return new Map()
  const columns = [...key.map(({ name }) => quote(name)), ...key.map((field) => valueSql(system, field))].join(', ')
  const sql = `SELECT ${columns} FROM ${from} WHERE NOT (${usual.join(' AND ')}) LIMIT ${MAX_UNUSUAL + 1}`
  return unusualOf.of(database, sql, () => {
    const rows = prepareArrays(database, sql, true).all().map(asStored)
    if (rows.length > MAX_UNUSUAL) return null
    const byValue = Map.groupBy(rows, (row) => valueText({ key }, row.slice(key.length)))
    return new Map([...byValue].map(([value, same]) => [value, same.map((row) => row.slice(0, key.length))]))
  })
}

/** This handle wrote a key as it was given: if that is no usual spelling, the table has one more. */
export function noteWritten(database: DatabaseSync, relation: Stored, given: Key): void {
  const { key } = relation
  const stored = key.map((field, at) => toStorage(field, given[at] ?? null, true))
  const isUsual = (field: Field, at: number) =>
    spellingOf(field)
      ?.usual(asBound(field, given[at] ?? null))
      .includes(stored[at] ?? null) ?? true
  if (relation.system !== 'sqlite' || key.every(isUsual)) return
  const unusual = unusualKeys(database, relation)
  const value = valueText(relation, given)
  unusual?.set(value, [...(unusual.get(value) ?? []), stored])
}

/** What this handle had written is undone: what was found meanwhile may be wrong. */
export function noteUndone(database: DatabaseSync): void {
  unusualOf.forget(database)
}

/** A key's value as text, given as it is or as `valueSql` gives it. */
function valueText({ key }: Pick<Keyed, 'key'>, parts: readonly Value[]): string {
  return keyText(key.map((field, at) => keyPart(field, parts[at] ?? null)))
}

function valueQuestion({ system, key }: Keyed, keys: readonly Key[]): Question {
  return {
    parts: key.map((field) => `${valueSql(system, field)} COLLATE BINARY`),
    tuples: keys.map((one) => one.map((value, at) => asBound(key[at] as Field, value))),
    reads: true,
  }
}

function combinations(parts: readonly (readonly Bindable[])[]): readonly (readonly Bindable[])[] {
  let all: readonly (readonly Bindable[])[] = [[]]
  for (const part of parts) all = all.flatMap((before) => part.map((value) => [...before, value]))
  return all
}

/**
 * `key IN (?, ?)`, or `(a, b) IN (VALUES (?, ?), …)`; `key`: an expression per part. A column of somebody else's table may compare
 * without case or blanks: the bytes are compared beside that, not instead, so that its index serves (hazard 33).
 */
export function keysSql(key: readonly string[], count: number, theirs: boolean): string {
  const width = key.length
  // A parameter that is used twice needs a number, and SQLite looks through all numbers for each: 900 of them double a look-up's time.
  const parameter = (at: number) => (theirs ? `?${at + 1}` : '?')
  const tuple = (at: number) => `(${key.map((_part, i) => parameter(at * width + i)).join(', ')})`
  const tuples = Array.from({ length: count }, (_none, at) => tuple(at))
  const given = width === 1 ? `(${tuples.map((one) => one.slice(1, -1)).join(', ')})` : `(VALUES ${tuples.join(', ')})`
  const parts = (collation: string) => {
    const list = key.map((part) => `${part}${collation}`).join(', ')
    return width === 1 ? list : `(${list})`
  }
  const bytes = theirs ? ` AND ${parts(' COLLATE BINARY')} IN ${given}` : ''
  return `${parts('')} IN ${given}${bytes}`
}

/** Finds the keys that stand in a table for a key: none, one, or several that are one value. */
export function storedKeys(database: DatabaseSync, relation: Stored): (key: Key) => readonly (readonly Bindable[])[] {
  const prepare = preparing(database, true)
  const columns = relation.key.map(({ name }) => quote(name)).join(', ')
  const ask = ({ parts, tuples, reads }: Question) => {
    const sql = `SELECT ${columns} FROM ${relation.from} WHERE ${keysSql(parts, tuples.length, !reads)}`
    return prepare(sql)
      .all(...tuples.flat())
      .map(asStored)
  }
  return (key) => {
    const found = ask(usualQuestion(relation, [key]))
    const open = found.length > 0 ? null : openQuestion(database, relation, [key])
    return open === null ? found : ask(open)
  }
}

const twinsOf = remembering<ReadonlySet<string>>()

/** Keys that several rows have, each in its own spelling, as text. Measured on a million UUIDs: 0.2 s if all are in lower case, else 1.7 s. */
export function twinKeys(database: DatabaseSync, relation: Stored & Pick<Relation, 'where'>): ReadonlySet<string> {
  const { system, key, from, where } = relation
  const parts = key.map((field) => valueSql(system, field))
  const there = [...(where === null ? [] : [`(${where})`]), ...parts.map((part) => `${part} IS NOT NULL`)].join(' AND ')
  const groups = parts.map((part) => `${part} COLLATE BINARY`).join(', ')
  const sql = `SELECT ${parts.join(', ')} FROM ${from} WHERE ${there} GROUP BY ${groups} HAVING count(*) > 1`
  const find = () => {
    if (allInOwnSpelling(database, relation)) return new Set<string>()
    const rows = prepareArrays(database, sql, true).all().map(asStored)
    return new Set(rows.map((stored) => valueText({ key }, stored)))
  }
  // What this handle has written itself may have made twins, or undone them.
  const hasWritten = database.prepare('SELECT total_changes() AS changes').get()?.changes !== 0
  return hasWritten ? find() : twinsOf.of(database, sql, find)
}

/** Whether no key can be another's, as all are in the one spelling that SQLite tells by itself. */
function allInOwnSpelling(database: DatabaseSync, { key, from, where }: Stored & Pick<Relation, 'where'>): boolean {
  const own = key.flatMap((field) => spellingOf(field)?.ownSql?.(quote(field.name)) ?? [])
  const allTell = key.every((field) => spellingOf(field)?.ownSql !== undefined || spellingOf(field) === null)
  if (!allTell || own.length === 0) return false
  const filter = where === null ? '' : `(${where}) AND `
  return database.prepare(`SELECT 1 FROM ${from} WHERE ${filter}NOT (${own.join(' AND ')}) LIMIT 1`).get() === undefined
}

/** The chunk, without rows that have the key of another row: nobody can say which of them is meant. */
export function withoutTwins<Of extends Chunk>(chunk: Of, keyOf: (row: Row) => Key, twins: ReadonlySet<string>): Of {
  if (twins.size === 0) return chunk
  const isTwin = (row: Row) => twins.has(keyText(keyOf(row)))
  const refused = chunk.rows.filter(isTwin).map((row) => keyDuplicate(keyOf(row)))
  if (refused.length === 0) return chunk
  return { ...chunk, rows: chunk.rows.filter((row) => !isTwin(row)), rejects: [...chunk.rejects, ...refused] }
}

/** A row whose key another row has, too, in another spelling. */
export function keyDuplicate(key: Key): { readonly key: Key; readonly code: string; readonly message: string } {
  return {
    key,
    code: 'KEY_DUPLICATE',
    message:
      'another row of the table has the same key, spelled in another way: delete one of them, or give it another key',
  }
}
