/** The contract of what two-way syncs remember: pairs with their bases, rows without a pair, intents, conflicts, the journal. */
import type { Address } from '../core/sync.ts'
import type { SyncId } from '../core/sync-id.ts'
import type { SideName } from '../core/two-way.ts'

/** The memory of two-way syncs. */
export interface PairStore {
  /** One sync's pairs, to look at. Any number of readers may stand beside a run: none touches what it marked. */
  read(sync: SyncId): Promise<PairReader>
  /** A work list for a plan: nothing durable is written. */
  plan(sync: SyncId): Promise<PairWork>
  /** For a run, or an undo: only its holder of the lease can write. */
  run(sync: SyncId): Promise<PairRun>
  readonly conflicts: ConflictStore
  readonly journal: JournalStore
  /** The collections that syncs have pairs of. */
  places(): Promise<readonly Address[]>
  /** The other side's keys of these, through the pairs of a sync; those without a pair are left out. */
  counterparts(sync: SyncId, side: SideName, keys: readonly string[]): Promise<ReadonlyMap<string, string>>
  /** Forgets all of a sync: its next run pairs anew. `keepPairs`: it knows what belongs together, and nothing of what was agreed. */
  reset(sync: SyncId, options?: { readonly keepPairs: boolean }): Promise<void>
}

/** How far a sync has read each side, and what its bases hold. */
export interface PairState {
  readonly cursors: Readonly<Record<SideName, string | null>>
  /** Newest last. */
  readonly layouts: readonly Layout[]
  /** Runs that ended. */
  readonly runs: number
  /** The generation of each side's fence as it was last taken, null before; a side whose own is lower is not the one it was. */
  readonly fences: Readonly<Record<SideName, number | null>>
  /** How often runs were about to take the fences since one told of it: they may have. */
  readonly claims: number
}

/** After a reset: a side may have any fence. */
export const anyFence = -1

/** The collections of layouts as they are stored. */
export function placesOf(layouts: readonly string[]): Address[] {
  return layouts.flatMap((text) => {
    // The engine wrote them, and nobody else does.
    const last = (JSON.parse(text) as readonly Layout[]).at(-1)
    return last === undefined ? [] : (JSON.parse(last.places) as Address[])
  })
}

/** What the cells of a base are. */
export interface Layout {
  readonly id: number
  readonly mode: 'values' | 'hash'
  /** By their columns. `since`: the layout from which on the field has been in the sync without a gap. `called`: in the config. */
  readonly fields: readonly { readonly name: string; readonly since: number; readonly called?: string }[]
  /** Of the definition: a change means reading both sides in full. */
  readonly fingerprint: string
  /** The collections that the pairs are of. */
  readonly places: string
  /** Names of each side's key fields, for people. */
  readonly keys: Readonly<Record<SideName, readonly string[]>>
  /** Whether both sides have been read in full since. */
  readonly complete: boolean
  /** By side and column: the marks of the columns as the last run found them. */
  readonly columns?: Readonly<Record<SideName, Readonly<Record<string, string>>>>
  /** By side and project: the fences of others when the last run began. Absent: any will do. */
  readonly others?: Readonly<Record<SideName, Readonly<Record<string, number>>>>
}

export interface StoredPair {
  readonly id: number
  /** Keys as text. */
  readonly left: string
  readonly right: string
  /** Encoded cells. Right null: the same as left. */
  readonly leftBase: string
  readonly rightBase: string | null
  /** 0: nothing is agreed, whatever the bases say. */
  readonly layout: number
  /** What this sync wrote in the last runs, to see a value swing; null: nothing. */
  readonly recent: string | null
}

/** A key that no row has, for the side of a pair whose key another row has got. `pair`: its id, or what else no other pair has. */
export function goneKey(pair: number | string): string {
  return `[null,${JSON.stringify(pair)}]`
}
export type NewPair = Omit<StoredPair, 'id'>

/** Why a row has no pair. */
export type UnpairedState =
  /** The sync does not flow from this side. It may still be matched. */
  | 'alone'
  /** Its counterpart was deleted and this row stays. It may be matched, and is never inserted again. */
  | 'parted'
  /** To be looked at again on every run: its match is not unique, a parent is missing, or it was refused. */
  | 'ambiguous'
  | 'deferred'
  | 'rejected'

export interface Unpaired {
  readonly side: SideName
  readonly key: string
  readonly match: string | null
  readonly state: UnpairedState
  readonly code: string | null
  readonly message: string | null
}

/** A pair to be looked at again on every run. */
export interface Pending {
  readonly pair: number
  readonly state: 'deferred' | 'rejected' | 'held' | 'again'
  readonly code: string | null
  readonly message: string | null
}

/** Something that a run has to look at: a pair, or a row without one. */
export type WorkItem =
  | { readonly seq: number; readonly pair: number; readonly side: null }
  | { readonly seq: number; readonly pair: null; readonly side: SideName; readonly key: string }
export type Mark =
  | { readonly pair: number }
  | {
      readonly side: SideName
      readonly key: string
      readonly match: string | null
      /** Its encoded cells: the row waits for `pairAlike`, which looks for its counterpart. */
      readonly cells?: string
    }

/** Writes that are about to be asked for: what has to be known to finish them after a crash. */
export interface Intent {
  readonly id: string
  readonly side: SideName
  /** Opaque to the store. */
  readonly body: string
}

/** Everything one batch changes, in one transaction together with the lease check. */
export interface PairCommit {
  readonly insert: readonly NewPair[]
  readonly update: readonly StoredPair[]
  readonly remove: readonly number[]
  /** Keys of rows that were inserted: a stored pair that had one has lost its row there. */
  readonly taken: readonly { readonly side: SideName; readonly key: string }[]
  readonly unpaired: readonly Unpaired[]
  /** Rows that are paired or gone: not unpaired any more, and no work of this run. */
  readonly settled: readonly { readonly side: SideName; readonly key: string }[]
  readonly pending: readonly Pending[]
  /** Pairs that are not pending any more. */
  readonly unpend: readonly number[]
  readonly conflicts: readonly ConflictChange[]
  readonly journal: readonly Omit<JournalEntry, 'seq'>[]
  /** Intents that are carried out or void. */
  readonly carried: readonly string[]
}

/** What is durable of a sync, as it stands at each call. */
export interface PairReader extends AsyncDisposable {
  state(): Promise<PairState>
  byKeys(side: SideName, keys: readonly string[]): Promise<readonly StoredPair[]>
  byIds(ids: readonly number[]): Promise<readonly StoredPair[]>
  /** Pairs in the order of their ids, for verify. */
  after(id: number, limit: number): Promise<readonly StoredPair[]>
  unpaired(side: SideName, keys: readonly string[]): Promise<readonly Unpaired[]>
  /** All pending pairs and the unpaired rows in these states. */
  waiting(): Promise<{ readonly pairs: readonly Pending[]; readonly unpaired: readonly Unpaired[] }>
  intents(): Promise<readonly Intent[]>
}

/** What one run or plan still has to look at. It belongs to this opening alone, and is forgotten with it. */
export interface PairWork extends AsyncDisposable {
  /** How many keys of this side are known: paired, without a pair, or marked here. */
  known(side: SideName): Promise<number>
  /** Rows without a pair that have one of these match values, also those marked here; `most`: of each value at most so many. */
  partners(
    side: SideName,
    matches: readonly string[],
    most?: number,
  ): Promise<readonly { readonly match: string; readonly key: string }[]>
  add(marks: readonly Mark[]): Promise<void>
  /** The next items of a phase: pairs first, so that one that lost a row can take a row without a pair. */
  next(phase: Phase, limit: number): Promise<readonly WorkItem[]>
  done(items: readonly WorkItem[]): Promise<void>
  /** Deletions wait until all else is done. */
  postpone(items: readonly WorkItem[]): Promise<void>
  count(phase: Phase): Promise<number>
  /**
   * Of rows marked with cells: takes off the list those whose match is unique on both sides and whose cells are the same,
   * and marks the others as work. Returns how many pairs the former would be.
   */
  passAlike(): Promise<number>
  readonly sweep: Sweep
}

/** All that a run may do. Each write is fenced: LEASE_LOST when the generation is not the newest. */
export interface PairRun extends AsyncDisposable {
  readonly work: PairWork
  /** As `passAlike` of the work, but the alike become pairs. */
  pairAlike(generation: number, layout: number): Promise<number>
  intend(generation: number, intents: readonly Intent[]): Promise<void>
  /** Returns how its conflicts stand, in their order. */
  commit(generation: number, change: PairCommit): Promise<readonly CommittedConflict[]>
  /** The fences of both sides are about to be taken. */
  claiming(generation: number): Promise<void>
  /** They were taken: what earlier runs did not tell of is told by that. */
  claimed(generation: number, fences: PairState['fences']): Promise<void>
  /** How far a run has read. INTERNAL when something that it marked was neither done nor settled: it would be skipped for good. */
  finish(generation: number, state: Omit<PairState, 'fences' | 'claims'>): Promise<void>
}

export type Phase = 'writes' | 'deletes'

/** Finds known keys that a side does not have any more. */
export interface Sweep {
  begin(side: SideName): Promise<void>
  saw(keys: readonly string[]): Promise<void>
  /** Marks what was not seen and returns how many there were. */
  end(): Promise<number>
}

export type ConflictStatus = 'open' | 'decided' | 'resolved' | 'agreed'

/** Fields of one row that both sides changed, or a row that one side deleted and the other changed, or rows whose match is not unique. */
export interface ConflictRecord {
  readonly id: number
  readonly sync: SyncId
  readonly kind: 'fields' | 'delete' | 'match' | 'undo'
  /** Null for a match conflict, and when the pair is gone. */
  readonly pair: number | null
  /** Keys as text; null where the side has none. For a match: the match value in `left`. */
  readonly left: string | null
  readonly right: string | null
  readonly fields: Readonly<Record<string, ConflictField>>
  readonly status: ConflictStatus
  readonly run: string
  readonly openedAt: number
  readonly closedAt: number | null
}

export interface ConflictField {
  /** Base, left and right value as text (a key of three parts). Of a match: left and right are the rows, see `MatchedRow`. */
  readonly values: string
  readonly rule: string
  /** Which side, or `value`, or `open`. */
  readonly outcome: string
  readonly status: ConflictStatus
  /** A person's decision; `set` is the value as text (a key of one part). */
  readonly take?: { readonly side: SideName } | { readonly set: string }
  /** Why it is over, where neither a rule, a person nor equal values ended it. */
  readonly note?: string
}

/** A row whose match is not unique: its key as text, and by match field its value as text (a key of one part). In JSON. */
export type MatchedRow = readonly [key: string, match: Readonly<Record<string, string>>]

/** A new record, or the fields of one that change; the others stay as they are by then. */
export type ConflictChange = Omit<ConflictRecord, 'id' | 'sync' | 'status' | 'openedAt' | 'closedAt'> & {
  readonly id: number | null
  readonly atMs: number
}

/** How a conflict stands after a commit. */
export type CommittedConflict = Pick<ConflictRecord, 'id' | 'status'>

/** A record is what the field is that needs most attention. */
export function statusOf(fields: ConflictRecord['fields']): ConflictStatus {
  const all = Object.values(fields).map(({ status }) => status)
  return (['open', 'decided', 'resolved'] as const).find((status) => all.includes(status)) ?? 'agreed'
}

export interface ConflictStore {
  /** Newest first. */
  list(filter: {
    readonly sync?: SyncId
    /** Only of these syncs; the store finds theirs by an index, however many others have. */
    readonly among?: readonly SyncId[]
    readonly status?: readonly ConflictStatus[]
    readonly kind?: ConflictRecord['kind']
    /** Only those older than this one. */
    readonly before?: number
    readonly limit: number
  }): Promise<readonly ConflictRecord[]>
  get(id: number): Promise<ConflictRecord | null>
  /** Those that are open or decided, but for those of an undo. */
  ofPairs(sync: SyncId, pairs: readonly number[]): Promise<readonly ConflictRecord[]>
  /** Those about fields of rows that have an open or decided field that is none of these. */
  strays(sync: SyncId, fields: readonly string[]): Promise<readonly ConflictRecord[]>
  /** Keeps a person's decision; the next run carries it out. */
  decide(id: number, fields: ConflictRecord['fields'], status: ConflictStatus): Promise<void>
  counts(sync: SyncId): Promise<{ readonly open: number; readonly decided: number }>
}

/** One write of a two-way sync. */
export interface JournalEntry {
  readonly seq: number
  readonly sync: SyncId
  readonly run: string
  readonly atMs: number
  readonly side: SideName
  readonly kind: 'insert' | 'update' | 'delete'
  readonly pair: number | null
  /** Keys as text. */
  readonly left: string | null
  readonly right: string | null
  /** Field names, and the values before and after as text (a key). Inserts: none, they are kept by key only. */
  readonly fields: readonly string[]
  readonly before: string | null
  readonly after: string | null
  readonly reason: string
}

export interface JournalStore {
  /** Newest first. */
  ofRow(sync: SyncId, side: SideName, key: string, limit: number): Promise<readonly JournalEntry[]>
  /** Newest first. */
  ofRun(run: string): Promise<readonly JournalEntry[]>
  /** Forgets what is older; returns how much. */
  prune(sync: SyncId, beforeMs: number): Promise<number>
}
