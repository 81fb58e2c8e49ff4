/**
 * The contract of a connector: what the engine asks of every kind of system. An absent method is an absent capability.
 * src/testing/connector-tests.ts states the contract as tests; src/connectors/memory.ts is the reference.
 */
import type { ZodType } from 'zod'
import type { Where } from '../core/filter.ts'
import type { Log } from '../core/log.ts'
import type { Schema, SchemaChange } from '../core/schema.ts'
import type { Rejection } from '../core/sync.ts'
import type { SyncId } from '../core/sync-id.ts'
import type { Key, Row, Type, Value } from '../core/value.ts'

/** The world outside: time, chance and interruption come in through here and no other way. */
export interface Context {
  readonly signal: AbortSignal
  readonly clock: Clock
  /** A number in [0, 1). */
  readonly random: () => number
  /** Something a person may want to know; never holds row values or secrets. */
  readonly log: Log
  /** Takes known secrets out of a text that is kept or told. Absent: none are known. */
  readonly redact?: (text: string) => string
  /** Calls of the connection that is opened, under limits. Absent: nobody counts them. */
  readonly calls?: (limits: Limits) => Calls
}

/** How often a system may be asked, per connection. What exceeds it waits. */
export interface Limits {
  readonly perSecond?: number
  readonly perMinute?: number
  /** Calls at the same time. */
  readonly concurrent?: number
}

/** How handlers call their system. */
export interface Calls {
  /**
   * `fetch` under the connection's limits, which all syncs and actions of the connection share. Waits while the system says "too many"
   * (Retry-After), and ends with the signal. What else it answers comes back as it is.
   */
  readonly fetch: typeof fetch
  /** Counts one call by other means than `fetch` against the limits: resolves when it may be made. */
  readonly turn: () => Promise<void>
}

export interface Clock {
  /** Milliseconds since 1970, UTC. */
  now(): number
  /** Resolves after `ms`; rejects with the signal's reason when it is aborted first. */
  sleep(ms: number, signal: AbortSignal): Promise<void>
}

/** A kind of system. `Config` is what a person writes to set up a connection. */
export interface Connector<Config> {
  readonly name: string
  readonly config: ZodType<Config>
  open(config: Config, context: Context): Promise<Connection>
}

/** A connection as written in a config file: not yet validated, environment variables not yet read. */
export interface ConnectionDefinition {
  readonly connector: Connector<never>
  readonly config: unknown
}

/** An open account or database. */
export interface Connection extends AsyncDisposable {
  /** All collections, without Syncline's own. */
  discover(): Promise<readonly Schema[]>
  /** COLLECTION_UNKNOWN names the nearest. */
  collection(name: string, options?: CollectionOptions): Promise<Collection>
  /** A transactional target for a group of syncs: their rows and checkpoints in one transaction. Absent: not transactional. */
  sink?(syncs: readonly SyncId[]): Promise<Sink>
}

export interface CollectionOptions {
  /** Fields that identify a row, instead of the declared key. */
  readonly key?: readonly string[] | null
  /** A field that grows with every change, as the user's explicit choice. */
  readonly cursor?: string | null
  /** What fields hold, as a person says; for a system whose columns may hold anything. What is not as said is rejected. */
  readonly types?: ReadonlyMap<string, Type>
}

/** How far a collection has been read: opaque text with a version, made and understood by its connector only. */
export type Cursor = string

/** Which fields of which rows: a projection in the order given, and a filter in source field names. */
export interface Selection {
  readonly fields: readonly string[]
  readonly where: Where | null
}

export interface ReadOptions extends Selection {
  readonly signal: AbortSignal
  /** Only looks: nothing that following needs is installed at the source. */
  readonly readOnly?: boolean
  /** Hand rows over as `Page.encoded`, in the collection's `encoding`. */
  readonly encoded?: boolean
}

/** Rows in a wire form that source and target share: passed through without being decoded. */
export interface Encoded {
  readonly bytes: Uint8Array
  readonly rows: number
}

/**
 * A set of changes: at most one per key. `puts` are rows in the order of `selection.fields`.
 * A page is only valid until the next is pulled.
 */
export interface Page {
  readonly puts: readonly Row[]
  /** Keys that are gone. A hint that saves a sweep: the engine checks that they are gone before it deletes. */
  readonly deletes: readonly Key[]
  /** Keys of puts whose row was deleted and made anew since the cursor: not the row that it was. Absent: the system can't tell. */
  readonly replaced?: readonly Key[]
  /** Rows the source could not give as its schema declares them. */
  readonly rejects: readonly Rejection[]
  /** Reading on from here misses nothing after this page. */
  readonly cursor: Cursor
  /** Size as read. */
  readonly bytes: number
  /** No key of this page was in an earlier page of the same read. */
  readonly distinct: boolean
  /** With `ReadOptions.encoded`: the rows, instead of `puts`. */
  readonly encoded?: Encoded
  /** On the last page of a system that can count: the collection at the instant up to which the read is complete. */
  readonly view?: View
}

/** A table, a Notion database, a sheet: rows with a schema and a key. */
export interface Collection {
  readonly schema: Schema
  /** What `read` reports past a cursor: everything, puts but no deletes, or nothing (compare in full). */
  readonly feed: 'complete' | 'puts' | 'none'
  /** Why the feed is not better, in words for `plan`. */
  readonly feedReason: string | null
  /** Pages after `cursor`, ending when caught up. From null: every row. A cursor that can't be used any more: CURSOR_UNUSABLE. */
  read(cursor: Cursor | null, options: ReadOptions): AsyncIterable<Page>
  readonly lookup: Lookup
  /** The wire form in which `read` can hand over rows undecoded. Absent: none. */
  readonly encoding?: string
  /** The rows as they stand now, at one instant. Absent: the system can't. */
  view?(selection: Selection): Promise<View>
  /** Before a run looks at a view: installs at the source what following it needs, so that the view has a cursor. Absent: nothing is needed. */
  prepare?(): Promise<void>
  /** About how many rows there are, at no cost; for progress only. */
  estimate?(): Promise<number | null>
  /** Conditional writes into a collection that others write to. Absent: read-only. */
  writer?(spec: WriterSpec): Promise<Writer>
  /** By project: the generations of the fences of this name that were ever claimed for this collection. Takes nothing. Absent without `writer`. */
  fences?(name: string): Promise<ReadonlyMap<string, number>>
  /**
   * What the system itself would delete or change in other rows, if the rows of these keys were deleted; not what it would reach through
   * rows of the collections `keeps`. Absent: nothing.
   */
  dependents?(keys: readonly Key[], keeps: readonly string[]): Promise<readonly Dependent[]>
  /**
   * Whether the system would refuse these writes for what the table asks of values, one answer per write; nothing is kept, and what only
   * other rows tell (unique values, references) is not foreseen. Absent: it can't tell.
   */
  rehearse?(writes: readonly Write[]): Promise<readonly boolean[]>
  /** What tells its columns from others that had their names before. Absent: nothing does. */
  columns?(): Promise<Columns>
  /** Yields when something may have changed; may be lossy: it only saves waiting. */
  watch?(signal: AbortSignal): AsyncIterable<void>
}

/** Rows of one collection that go or change by themselves with a row that is deleted (ON DELETE CASCADE, SET NULL, SET DEFAULT), or stand in its way. */
export interface Dependent {
  /** The place of the key that they go with. */
  readonly at: number
  readonly collection: string
  readonly effect: 'deleted' | 'changed' | 'refused'
  /** The fields by which they refer. */
  readonly fields: readonly string[]
  readonly rows: number
  /** Keys of those that are in the same collection as the row. */
  readonly own: readonly Key[]
}

/** Marks of the columns themselves. */
export interface Columns {
  /** By field: another column under the same name has another mark. */
  readonly marks: Readonly<Record<string, string>>
  /** Whether the same column keeps its mark. Else it may change with anything in the schema. */
  readonly exact: boolean
}

export interface Lookup {
  /** Rows by key as they stand now, in the order of `fields` (default: schema order), in any order of rows; keys that are not there are left out. */
  fetch(keys: readonly Key[], fields?: readonly string[]): Promise<Chunk>
  /** Rows whose `fields` equal one of `values`, in schema order. */
  find(fields: readonly string[], values: readonly Row[]): Promise<Row[]>
}

/** Who writes, and what it wants to see of the rows it wrote. */
export interface WriterSpec {
  readonly project: string
  /** Fences are per project and name. */
  readonly name: string
  /** Fields of the rows in results, in this order. */
  readonly fields: readonly string[]
  /** The generation of the fence as this run knows it, 0: nobody has claimed it yet. LEASE_LOST when somebody has since. Null: whatever it is. */
  readonly held: number | null
  /** Collections whose rows a deletion must not take along or change: it is refused as DEPENDENTS_KEPT instead. Default: none. */
  readonly keeps?: readonly string[]
}

/** Values by field name. */
export type Patch = Readonly<Record<string, Value>>

/** What we ask of a system. An update never inserts. */
export type Write =
  | { readonly kind: 'insert'; readonly row: Patch }
  /** Only these fields; refused as stale unless `expected` still holds. */
  | { readonly kind: 'update'; readonly key: Key; readonly fields: Patch; readonly expected: Patch }
  | { readonly kind: 'delete'; readonly key: Key; readonly expected: Patch }

export type WriteResult =
  /** As the system stored it, maybe not as sent; null for a delete. */
  | { readonly status: 'written'; readonly row: Row | null }
  /** Someone came first, or the row is gone: reconcile again. */
  | { readonly status: 'stale' }
  /** This row only. PARENT_MISSING, ROW_REFERENCED or DEPENDENTS_KEPT where a reference of the database stands in the way: it may go when other rows have. */
  | { readonly status: 'rejected'; readonly code: string; readonly message: string }

/** Writes under a fence: whoever claimed before writes nothing more (LEASE_LOST). */
export interface Writer extends AsyncDisposable {
  /** Of the fence as it was claimed; grows with every claim. */
  readonly generation: number
  /** One result per write, in order. What became of them can be recalled under `id` until it is forgotten. */
  write(id: string, writes: readonly Write[], forget: readonly string[]): Promise<readonly WriteResult[]>
  /** What became of the writes under `id`; null for one that took no effect, and null if none did. */
  recall(id: string): Promise<readonly (WriteResult | null)[] | null>
  /**
   * Forgets everything that can be recalled. If that was anything, the fence grows with it, and this writer goes on under the new
   * generation: what is put back to a moment before has an older one. Returns the generation.
   */
  forget(): Promise<number>
}

/** The selected rows of a collection as they stood at one instant; for sweeps, plan and verify. */
export interface View extends AsyncDisposable {
  /** Reading from here misses nothing after this instant; null where the feed is `none`. */
  readonly cursor: Cursor | null
  /** Whether the system may take differently spelled keys for one (1 mon and 30 days): then `fetch` finds a row by any spelling. Absent: no. */
  readonly respells?: boolean
  count(): Promise<number>
  /** Smallest and largest value of the first key field; null when there are no rows or the system can't tell cheaply. */
  extent(): Promise<readonly [Value, Value] | null>
  /** Rows per range, where `bounds` (ascending values of the first key field) cut the keys into bounds.length + 1 half-open ranges. */
  summarize(bounds: readonly Value[]): Promise<number[]>
  /** Rows of ranges (ascending, disjoint) in key order (see `compareKeys`), in chunks; `rejects` as in Page. */
  scan(ranges: readonly Range[], fields: readonly string[]): AsyncIterable<Chunk>
  /** Rows by key, in the order of `fields`. */
  fetch(keys: readonly Key[], fields: readonly string[]): Promise<Chunk>
}

export interface Chunk {
  /** No two have one key: where a system spells a key in several ways, all rows that share it are rejects (KEY_DUPLICATE). */
  readonly rows: readonly Row[]
  /** With their keys in the one spelling, by which they are looked up. */
  readonly rejects: readonly Rejection[]
  /** Size as read. */
  readonly bytes: number
}

/** Values of the first key field from `from` (inclusive) to `to` (exclusive); null: open. */
export interface Range {
  readonly from: Value
  readonly to: Value
}
export const everything: readonly Range[] = [{ from: null, to: null }]

/** What a sync wants to hold in a target table. */
export interface TargetSpec {
  readonly sync: SyncId
  /** The project that owns the table. */
  readonly project: string
  /** As the target's connector spells it. */
  readonly collection: string
  /** Target field names; `native` in the spelling of `schema.system`. The key is not empty. */
  readonly schema: Schema
  readonly adopt: boolean
  readonly deletes: 'propagate' | 'keep' | 'mark'
}

/** What a target holds for a sync now. */
export interface TargetState {
  /** The schema of the rows it holds: as Syncline remembers it, or as found in a table that is to be adopted. Null: no table. */
  readonly schema: Schema | null
  /** Fields that the source dropped earlier and the target kept. */
  readonly orphans: readonly string[]
  readonly owner: Owner | null
  /** Of a table with an owner: whether its owner took it over, with rows that are not its own. */
  readonly adopted?: boolean
  readonly checkpoint: Checkpoint | null
}

/** Who owns a target table. Null as a TargetState's owner: a table that Syncline did not make. */
export interface Owner {
  readonly project: string
  readonly sync: SyncId
}

/** A cursor that is durable together with the effect of everything before it. */
export interface Checkpoint {
  readonly cursor: Cursor | null
  /** Of the definition that the rows were made by. */
  readonly fingerprint: string
}

/** A transactional target. */
export interface Sink extends AsyncDisposable {
  /** Reads only. */
  inspect(spec: TargetSpec): Promise<TargetState>
  /**
   * Applies the schema changes and takes the fence: whoever held it before writes nothing more (LEASE_LOST).
   * The target is usable until the sink is disposed or somebody else claims it.
   * `held`: the generation this run claimed earlier, null on its first attempt. LEASE_LOST, and nothing is changed, when
   * somebody has claimed since: then this is the worker that lost its lease, however it came to try again.
   */
  claim(spec: TargetSpec, changes: readonly SchemaChange[], held: number | null): Promise<Target>
  /** One transaction at a time per sink. */
  begin(): Promise<SinkTransaction>
  /**
   * The target's rows as a view, in target field names. Deleted marks and rows of an adopted table that are not this sync's
   * are left out; with `written`, so are those that it only found equal, and so never deletes.
   */
  view(spec: TargetSpec, rows?: 'written'): Promise<View>
  /**
   * Rows, in the spec's field order, as the target would store them; null: it would refuse the row, as far as that can be known without
   * its triggers, references and other rows. Nothing of them is kept. Absent: it stores them as they are, declared losses apart.
   */
  rehearse?(spec: TargetSpec, rows: readonly Row[]): Promise<readonly (Row | null)[]>
  /** Rows refused earlier and not yet held. Reads only. */
  rejections(spec: TargetSpec): Promise<readonly Rejection[]>
  /** What a value of this field becomes when the target stores it: declared losses only. Absent: every value is kept. */
  declaredLoss?(field: { readonly type: string }): ((value: Value) => Value) | null
  /** Forgets the checkpoint; with `drop` also the table. */
  reset(spec: Pick<TargetSpec, 'sync' | 'project' | 'collection'>, drop: boolean): Promise<void>
}

/** A target that this process may write to. */
export interface Target {
  readonly checkpoint: Checkpoint | null
  /** Of the fence; grows with every claim. */
  readonly generation: number
  /** Whether it held no rows when it was claimed. */
  readonly empty: boolean
  /** The wire form in which it takes rows of this schema as they are. Absent: none. */
  readonly encoding?: string
}

export interface SinkTransaction {
  /**
   * Inserts or updates rows, in the spec's field order; rows that are equal already are not written.
   * `fresh`: none of the keys is in the target. Rows it can't hold come back as rejected, and the others are written.
   */
  put(sync: SyncId, rows: readonly Row[], options: { readonly fresh: boolean }): Promise<PutResult>
  /** Inserts rows in the target's `encoding`, none of whose keys is in the target. Absent with `Target.encoding`. */
  putEncoded?(sync: SyncId, encoded: Encoded): Promise<PutResult>
  /** Waits for puts that were counted before they were done, and returns what has to be corrected (`inserted` may be negative). */
  flush?(sync: SyncId): Promise<PutResult>
  /**
   * Puts rows that were refused because another row has their unique values (`VALUE_TAKEN`), all of them together, so that rows that stand
   * in each other's way go in. Absent: the target knows no such values.
   */
  putTogether?(sync: SyncId, rows: readonly Row[]): Promise<PutResult>
  /**
   * Deletes (or marks) rows by key. Those that rows of another table refer to stay, and come back as rejected (`ROW_REFERENCED`). With
   * `deletes: 'keep'` rows stay as they are and are not this sync's any more: its view does not show them until they are put again.
   */
  delete(sync: SyncId, keys: readonly Key[]): Promise<DeleteResult>
  /** Replaces what is remembered about rejected rows: adds these, forgets those. */
  reject(sync: SyncId, rejected: readonly Rejection[], settled: readonly Key[]): Promise<void>
  /** Checks the fence, and stores the checkpoint unless it is null. */
  checkpoint(sync: SyncId, checkpoint: Checkpoint | null): Promise<void>
  /** `durable: false`: may be lost as a whole, rows and checkpoint, if the target's machine fails before the next durable commit. */
  commit(options?: { readonly durable: boolean }): Promise<void>
  /** Who rolls back has an error to tell already: what this throws is not told. */
  rollback(): Promise<void>
}

/** A row that the target took without an error and does not hold: a trigger swallowed it, or another row took its place. */
export function notKept(key: Key): Rejection {
  return { key, code: 'ROW_NOT_KEPT', message: 'the table took the row and did not keep it' }
}

/** A row whose key the target takes for that of another row, because it compares without case, blanks or accents. */
export function keyTaken(key: Key): Rejection {
  return {
    key,
    code: 'KEY_TAKEN',
    message: 'the target takes its key for the key of another row: it compares them without case, blanks or accents',
  }
}

export interface DeleteResult {
  /** Rows that were there and are not any more. */
  readonly deleted: number
  readonly rejected: readonly Rejection[]
}

/** A refused row that may go in once other rows have changed: of its own table or of others. */
export function mayGoInLater({ code }: Pick<Rejection, 'code'>): boolean {
  return code === 'VALUE_TAKEN' || code === 'KEY_TAKEN' || code === 'PARENT_MISSING'
}

/** A refused row, or a refused deletion, that a foreign key stands in the way of. */
export function isHeldByReference({ code }: { readonly code: string | null }): boolean {
  return code === 'PARENT_MISSING' || code === 'ROW_REFERENCED' || code === 'DEPENDENTS_KEPT'
}

export interface PutResult {
  readonly inserted: number
  readonly updated: number
  readonly unchanged: number
  readonly rejected: readonly Rejection[]
}
