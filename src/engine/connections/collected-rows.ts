/** The engine's own collections as people read them: page by page, as JSON Lines or CSV. */
import type { Collection } from '../../connectors/connector.ts'
import { SyncError } from '../../core/error.ts'
import { keyText, parseKeyText } from '../../core/key-text.ts'
import { compareKeys, type Key, type Row, type Type, type Value } from '../../core/value.ts'
import type { Gate } from '../calls/semaphore.ts'
import { systemClock } from '../clock.ts'
import type { RowsPlace } from './collected-rows-place.ts'

export type ExportFormat = 'jsonl' | 'csv'

export interface RowsPage {
  /** Rows by field names: json as what it says, instants and decimals as text, bytes in base64. */
  readonly rows: readonly Readonly<Record<string, unknown>>[]
  /** Give it as `after` for the next page; null: this was the last. */
  readonly next: string | null
}

const PAGE = 100
const MOST = 10_000
/** Characters that an export hands on at once. */
const PIECE = 65_536
/** For others to have read. */
const WAIT_MS = 30_000

/** In the order of keys. COLLECTION_UNKNOWN: the sync has not run yet. */
export async function readRows(
  place: RowsPlace,
  name: string,
  { limit = PAGE, after }: { readonly limit?: number; readonly after?: string },
): Promise<RowsPage> {
  await using opened = await open(place, name, place.readers.pages)
  const { collection } = opened
  const { schema } = collection
  const keyAt = schema.key.map((field) => schema.fields.findIndex((known) => known.name === field))
  const types = keyAt.map((at) => schema.fields[at]?.type ?? 'text')
  const start = after === undefined ? null : parseAfter(after, types)
  const wanted = Math.min(MOST, Math.max(1, limit))
  const rows: Row[] = []
  for await (const row of scan(collection, start?.[0] ?? null)) {
    const key = keyAt.map((at) => row[at] ?? null)
    if (start !== null && compareKeys(types, key, start) <= 0) continue
    if (rows.length === wanted) return { rows: objects(collection, rows), next: afterOf(rows.at(-1), keyAt) }
    rows.push([...row])
  }
  return { rows: objects(collection, rows), next: null }
}

function afterOf(row: Row | undefined, keyAt: readonly number[]): string {
  return Buffer.from(keyText(keyAt.map((at) => row?.[at] ?? null))).toString('base64url')
}

function parseAfter(after: string, types: readonly Type[]): Key {
  try {
    const key = parseKeyText(Buffer.from(after, 'base64url').toString('utf8'))
    if (key.length !== types.length || !types.every((type, at) => isOf(type, key[at] ?? null))) throw new TypeError()
    return key
  } catch {
    throw new SyncError('USAGE_INVALID', '`after` is not what an earlier page said', {
      hint: 'Leave it out for the first page.',
    })
  }
}

function isOf(type: Type, value: Value): boolean {
  if (type === 'bytes') return value instanceof Uint8Array
  if (type === 'integer') return typeof value === 'number' || typeof value === 'bigint'
  if (type === 'float') return typeof value === 'number'
  return typeof value === (type === 'boolean' ? 'boolean' : 'string')
}

function objects(collection: Collection, rows: readonly Row[]): readonly Readonly<Record<string, unknown>>[] {
  return rows.map((row) => toObject(collection, row))
}

/** REQUEST_BUSY: there were too many others for too long. Who gives up before its first piece aborts the signal. */
export async function* exportRows(
  place: RowsPlace,
  name: string,
  format: ExportFormat,
  signal?: AbortSignal,
): AsyncIterable<string> {
  await using opened = await open(place, name, place.readers.exports, signal)
  const { collection } = opened
  const names = collection.schema.fields.map((field) => field.name)
  let piece = format === 'csv' ? `${names.map(csvCell).join(',')}\r\n` : ''
  for await (const row of scan(collection)) {
    if (format === 'jsonl') piece += `${JSON.stringify(toObject(collection, row))}\n`
    else piece += `${row.map((value) => csvCell(csvText(value))).join(',')}\r\n`
    if (piece.length < PIECE) continue
    yield piece
    piece = ''
  }
  if (piece !== '') yield piece
}

interface Opened extends AsyncDisposable {
  readonly collection: Collection
}

async function open(place: RowsPlace, name: string, gate: Gate, signal?: AbortSignal): Promise<Opened> {
  if (!place.mayHold(name)) throw unknown(name)
  await enter(gate, signal)
  try {
    const opened = await openInside(place, name)
    const close = async () => await opened[Symbol.asyncDispose]()
    return { collection: opened.collection, [Symbol.asyncDispose]: () => close().finally(() => gate.leave()) }
  } catch (error) {
    gate.leave()
    throw error
  }
}

async function enter(gate: Gate, signal?: AbortSignal): Promise<void> {
  const late = AbortSignal.timeout(WAIT_MS)
  try {
    await gate.enter(signal === undefined ? late : AbortSignal.any([late, signal]))
  } catch (error) {
    if (signal?.aborted === true || !late.aborted) throw error
    throw new SyncError('REQUEST_BUSY', 'too many others read what was gathered', { hint: 'Try again later.' })
  }
}

async function openInside(place: RowsPlace, name: string): Promise<Opened> {
  const context = { signal: new AbortController().signal, clock: systemClock, random: Math.random, log: () => {} }
  const connection = await place.open(name, context)
  const collection = await connection.collection(name).catch(async (error: unknown) => {
    await connection[Symbol.asyncDispose]()
    throw error instanceof SyncError && error.code === 'COLLECTION_UNKNOWN' ? unknown(name) : error
  })
  return { collection, [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose]() }
}

async function* scan(collection: Collection, from: Value = null): AsyncIterable<Row> {
  const fields = collection.schema.fields.map((field) => field.name)
  await using view = await collection.view?.({ fields, where: null })
  if (view === undefined) return
  for await (const { rows } of view.scan([{ from, to: null }], fields)) yield* rows
}

function toObject({ schema }: Collection, row: Row): Readonly<Record<string, unknown>> {
  return Object.fromEntries(schema.fields.map(({ name, type }, at) => [name, plain(type, row[at] ?? null)]))
}

function plain(type: string, value: Value): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  if (typeof value === 'bigint') return String(value)
  return type === 'json' && typeof value === 'string' ? JSON.parse(value) : value
}

function csvText(value: Value): string {
  if (value === null) return ''
  return value instanceof Uint8Array ? Buffer.from(value).toString('base64') : String(value)
}

function csvCell(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

function unknown(name: string): SyncError {
  return new SyncError('COLLECTION_UNKNOWN', `there is nothing of ${name} yet`, {
    hint: 'Run the sync first.',
  })
}
