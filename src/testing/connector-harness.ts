/** What the contract tests of a connector need to know of it, and how they reach behind it. */
import assert from 'node:assert/strict'
import {
  type Collection,
  type Connection,
  type Context,
  type Cursor,
  everything,
  type Page,
  type Range,
  type ReadOptions,
  type Selection,
  type View,
} from '../connectors/connector.ts'
import type { Field, Schema } from '../core/schema.ts'
import { canonical, type Key, type Row, type Type, type Value } from '../core/value.ts'

/** A connector as `connectorTests` gets it: what it says it can do, and a way to open it. */
export interface ConnectorUnderTest {
  readonly name: string
  /** What its collections say of their feed. */
  readonly feed: Collection['feed']
  /** A field that the tests raise with every change, where the feed needs one. */
  readonly cursor?: 'version'
  /** Types that its collections can have as a source. Default: all. */
  readonly types?: readonly Type[]
  /** Whether it can be a target; and a value that it can't hold, if there is one. */
  readonly target: { readonly refuses: { readonly type: Type; readonly value: Value } | null } | null
  /** Whether its collections take conditional writes. Default: yes. */
  readonly writes?: boolean
  /** A new, empty system. */
  open(): Promise<ConnectorHarness>
}

/** An open system, and the means to change it past the connector. */
export interface ConnectorHarness extends AsyncDisposable {
  readonly connection: Connection
  /** One more connection to the same system, as another process would open it. */
  connect(): Promise<Connection>
  /** Makes a collection and fills it; returns its name as `Connection.collection` takes it. */
  create(shape: Shape, rows: readonly Row[]): Promise<string>
  /** Inserts rows, or replaces those of the same key. */
  put(shape: Shape, rows: readonly Row[]): Promise<void>
  delete(shape: Shape, keys: readonly Key[]): Promise<void>
  /** From now on, no two rows share this field's value. */
  makeUnique(shape: Shape, field: string): Promise<void>
}

/** A collection to make: every field but the key's may be NULL. */
export interface Shape {
  readonly name: string
  readonly fields: readonly { readonly name: string; readonly type: Type }[]
  readonly key: readonly string[]
}

/** Time, chance and interruption as the tests want them. */
export function testContext(over: Partial<Context> = {}): Context {
  return {
    signal: new AbortController().signal,
    clock: { now: () => Date.now(), sleep: async () => {} },
    random: () => 0.5,
    log: () => {},
    ...over,
  }
}

/** The shape as a schema that no system has declared. */
export function schemaOf(shape: Shape): Schema {
  const fields = shape.fields.map(
    ({ name, type }): Field => ({ name, type, native: '', nullable: !shape.key.includes(name), writable: true }),
  )
  return { name: shape.name, system: 'testing', fields, key: shape.key }
}

export function fieldNames(shape: Shape): string[] {
  return shape.fields.map(({ name }) => name)
}

export function everyField(shape: Shape): Selection {
  return { fields: fieldNames(shape), where: null }
}

/** A row's key in its one spelling. */
export function keyOf(shape: Shape, row: Row): Key {
  return shape.key.map((name) => {
    const at = shape.fields.findIndex((field) => field.name === name)
    return canonical(shape.fields[at]?.type ?? 'text', row[at] ?? null)
  })
}

/** A row or key as text, to look it up and to compare it exactly: −0, bigints and bytes count. */
export function spell(values: readonly Value[]): string {
  return JSON.stringify(
    values.map((value) => {
      if (typeof value === 'bigint') return `${value}n`
      if (typeof value === 'number') return Object.is(value, -0) ? '-0' : `${value}`
      if (value instanceof Uint8Array)
        return `x${Array.from(value, (byte) => byte.toString(16).padStart(2, '0')).join('')}`
      return value === null || typeof value === 'boolean' ? value : `"${value}`
    }),
  )
}

/** A value whose spelling in JavaScript may differ between systems: an integer as number or bigint, decimals, JSON. */
export function spellRow(shape: Shape, row: Row): string {
  return spell(
    row.map((value, at) =>
      shape.fields[at]?.type === 'float' ? value : canonical(shape.fields[at]?.type ?? 'text', value),
    ),
  )
}

export function assertRows(shape: Shape, actual: readonly Row[], expected: readonly Row[]): void {
  const sorted = (rows: readonly Row[]) => rows.map((row) => spellRow(shape, row)).sort()
  assert.deepEqual(sorted(actual), sorted(expected))
}

export function readOptions(selection: Selection): ReadOptions {
  return { ...selection, signal: new AbortController().signal }
}

/** All pages of a read, copied: a page is only valid until the next is pulled. `onPage` returning false stops it. */
export async function readPages(
  collection: Collection,
  cursor: Cursor | null,
  selection: Selection,
  onPage: (page: Page, number: number) => Promise<boolean> | boolean = () => true,
): Promise<Page[]> {
  const pages: Page[] = []
  for await (const page of collection.read(cursor, readOptions(selection))) {
    pages.push({ ...page, puts: page.puts.map((row) => [...row]), deletes: page.deletes.map((key) => [...key]) })
    if (!(await onPage(page, pages.length))) break
  }
  return pages
}

export async function scanAll(
  view: View,
  fields: readonly string[],
  ranges: readonly Range[] = everything,
): Promise<Row[]> {
  const rows: Row[] = []
  for await (const chunk of view.scan(ranges, fields)) rows.push(...chunk.rows.map((row) => [...row]))
  return rows
}
