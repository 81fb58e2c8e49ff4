/** What a person writes in syncline.config.ts. */
import type { ConnectionDefinition } from '../connectors/connector.ts'
import type { AnyConnector } from '../connectors/kit.ts'
import type { Where } from '../core/filter.ts'
import type { ScheduleText } from '../core/schedule.ts'
import type { FinishedRun, StartingRun } from '../core/step.ts'
import type { Deletes, Guard, Mode } from '../core/sync.ts'
import type { Direction, Rule, RuleFunction, SideName, StampForm } from '../core/two-way.ts'
import type { Type, Value } from '../core/value.ts'
import type { Permit } from '../engine/queue/permit.ts'

export type { ConnectionDefinition }

/** A whole config file. `C` are the names of its connections. */
export interface Config<C extends string = string> {
  readonly connections: Readonly<Record<C, ConnectionDefinition>>
  /** By name: no slashes, no white space. */
  readonly syncs: Readonly<Record<string, SyncDefinition<NoInfer<C>>>>
  /** Which connections API keys that are bound to a project may see and make syncs of; syncs here say themselves whose they are. */
  readonly projects?: Readonly<Record<string, readonly NoInfer<C>[]>>
  /** Your own connectors (`defineConnector`), for integrations to name. Those built in need not be listed. */
  readonly connectors?: readonly AnyConnector[]
  /** By name: letters, digits, `_` and `-`. Their connections are made by the API. */
  readonly integrations?: Readonly<Record<string, IntegrationDefinition>>
  /** Asked before every run and every action of the service: true, or the reason why it may not begin. */
  readonly permit?: Permit
}

/** A connector set up for use by connections that are made while the service runs. */
export interface IntegrationDefinition {
  /** The connector's name. */
  readonly connector: string
  /** For people. */
  readonly name?: string
  /** What all its connections share, like an app's client id; none of them can say it otherwise. */
  readonly config?: Readonly<Record<string, unknown>>
  /** The folder, relative to the config file, that holds all files that its connections may name. Absent: they can't name any. */
  readonly root?: string
  /**
   * What work with its connections may take at the most, where it is done in a process of its own (`sqlite`): `step`, one page or one batch,
   * default 5m; `whole`, one run or request, default 1h; `memory`, default 512MB. Connections can't say it otherwise.
   */
  readonly work?: { readonly step?: string; readonly whole?: string; readonly memory?: string }
  /** The syncs switched on. Default: all that the connector has. */
  readonly syncs?: readonly string[]
  /** The actions switched on. Default: all that the connector has. */
  readonly actions?: readonly string[]
  /** When its syncs run, by their names. Default: as the connector says. */
  readonly schedules?: Readonly<Record<string, ScheduleText>>
  /** For syncs that say nothing else. Default 15. */
  readonly minutesBetweenSyncs?: number
}

export type SyncDefinition<C extends string = string> = CollectionSync<C> | PatternSync<C> | TwoWayDefinition<C>

/** A sync of one collection. */
export interface CollectionSync<C extends string = string> extends SyncOptions {
  /** Connection and collection: `shop.public.orders`. Names that hold dots are quoted: `shop.public."odd.name"`. */
  readonly from: `${C}.${string}`
  /** Connection and collection, or the connection alone: then the target is named after the source. */
  readonly to: C | `${C}.${string}`
  readonly collections?: undefined
  /** Target field → where its value comes from, in target order. Omitted: every source field under its own name. */
  readonly fields?: Readonly<Record<string, FieldDefinition>>
  /** Rows to take, in source field names. A row that leaves the filter is removed from the target. */
  readonly where?: Where
  /** Source fields that identify a row, where the source declares none or another is wanted. */
  readonly key?: readonly string[]
}

/** A sync of many collections, which expands to one sync each: `everything/orders`. */
export interface PatternSync<C extends string = string> extends SyncOptions {
  /** A connection. */
  readonly from: C
  /** A connection. */
  readonly to: C
  /** Patterns, applied in order: `public.*` adds, `!public.audit_*` takes away. */
  readonly collections: readonly string[]
  readonly fields?: undefined
  readonly where?: undefined
  readonly key?: undefined
}

/** An action of a connection that the API made. */
export interface StepDefinition<Run> {
  readonly connection: string
  readonly action: string
  /** Default `{}`. A function makes it of the run; null from it means that there is nothing to do this time. */
  readonly input?: ((run: Run) => unknown) | FunctionReference | object
}

/** What runs do beside the rows. */
export interface StepOptions {
  /** Done before anything is read or written; when it fails, the run fails. */
  readonly onBefore?: StepDefinition<StartingRun>
  /** Done when the run has succeeded, at least once; when it fails, the run is a failed one, and what it wrote stays. */
  readonly onAfter?: StepDefinition<FinishedRun>
}

export interface SyncOptions extends StepOptions {
  /** How to read the source. `auto` (default): past the last checkpoint where the source can, else compare in full. */
  readonly mode?: Mode
  /** A source field that grows with every change, as your explicit choice. */
  readonly cursor?: string
  /** What happens to target rows that are gone from the source; `mark` fills a `_deleted_at` column. Default `propagate`. */
  readonly deletes?: Deletes
  /** Deletions beyond both limits are held until you release them. Default 10 rows and 0.2 of the target. */
  readonly guard?: Partial<Guard>
  /** How much goes into one target transaction. Default 50,000 rows and 8MB. */
  readonly batch?: { readonly rows?: number; readonly bytes?: number | string }
  /** Take over an existing target table; rows that this sync did not write are never deleted. */
  readonly adopt?: boolean
  /** The time between runs: `500ms`, `2s` (default), `15m`, `1h`, `every_15_minutes`. */
  readonly every?: string
  /** When it runs by itself, if not at an interval. */
  readonly schedule?: ScheduleText
  /** How long a run of the service may take: `30s`, `15m`, `1h`. Default: as long as it takes; `1h` where a function lists the rows. */
  readonly timeout?: string
  /** Whose it is, of those under `projects`: keys of the API that are bound to it see this sync and may run it. */
  readonly project?: string
}

/** A sync of two collections that people edit on both sides. */
export interface TwoWayDefinition<C extends string = string> extends StepOptions {
  /** Left and right: connection and collection each. */
  readonly between: readonly [`${C}.${string}`, `${C}.${string}`]
  /** Fields that pair rows met for the first time, on every run; `by` makes values that mean the same equal. */
  readonly match?: readonly (
    | string
    | { readonly field: string; readonly by: ((value: Value) => unknown) | FunctionReference }
  )[]
  /** What belongs together. Omitted: every field that both sides have under one name. */
  readonly fields?: Readonly<Record<string, PairFieldDefinition>>
  /** One way into a table that others write to, too: `left-to-right`. Default `both`. */
  readonly direction?: Direction
  /** Which side `prefer_local` means. Default `left`. */
  readonly local?: SideName
  /** What becomes of a field that both sides changed differently. Default `ask`: it waits for a person. */
  readonly onConflict?: ConflictRule
  /** One side deleted the row, the other changed it. `keep` (default): it comes back; `delete`: it goes; `ask`. */
  readonly onDeleteConflict?: 'keep' | 'delete' | 'ask' | 'manual_review'
  /** `keep`: a deletion stays on its side. Default `propagate`. */
  readonly deletes?: 'propagate' | 'keep'
  /** For `newest`: the fields that say when a row was last changed. */
  readonly stamp?: { readonly left: Stamp; readonly right: Stamp }
  /** Fields that identify a row, where a side declares none or another is wanted. */
  readonly key?: { readonly left?: readonly string[]; readonly right?: readonly string[] }
  /** Deletions on a side beyond both limits are held until you release them. Default 10 rows and 0.2 of the side's rows. */
  readonly guard?: Partial<Guard>
  /** What is remembered of rows: `values` (default), or `hash`, which is smaller and can't be reviewed. */
  readonly bases?: 'values' | 'hash'
  /** How many rows are decided about at once. Default 1,000. */
  readonly batch?: { readonly rows?: number; readonly bytes?: number | string }
  /** How long writes stay in the journal that `why` and `undo` read. Default 30 days. */
  readonly journal?: { readonly keepDays: number }
  /** The time between runs: `500ms`, `2s` (default), `15m`, `1h`, `every_15_minutes`. */
  readonly every?: string
  /** When it runs by itself, if not at an interval. */
  readonly schedule?: ScheduleText
  /** How long a run of the service may take: `30s`, `15m`, `1h`. Default: as long as it takes; `1h` where a function lists the rows. */
  readonly timeout?: string
  /** Whose it is, of those under `projects`: keys of the API that are bound to it see this sync and may run it. */
  readonly project?: string
}

/** A field that both sides have: its name where they agree on it, or more said. */
export type PairFieldDefinition =
  | string
  | {
      /** Field names per side. Default: the name of this entry. */
      readonly left?: string
      readonly right?: string
      /** The type values pass through, without loss or not at all, where the sides' types differ. */
      readonly type?: Type
      /** From one side's value to the other's; pure. */
      readonly toRight?: ((value: Value) => unknown) | FunctionReference
      readonly toLeft?: ((value: Value) => unknown) | FunctionReference
      readonly direction?: Direction
      /** An edit on the side that a one-way field only flows to: `ignore` (default) until the other side changes it, or `revert`. */
      readonly edits?: 'revert' | 'ignore'
      readonly onConflict?: ConflictRule
      /** The two-way sync through whose pairs this key is translated. */
      readonly references?: string
    }

/** A field, or how it is to be read where its type does not say so: numbers, and times without a zone. */
export type Stamp = string | { readonly field: string; readonly as: StampForm }

export type ConflictRule =
  | Exclude<Rule, RuleFunction>
  | 'prefer_local'
  | 'prefer_remote'
  | 'manual_review'
  | 'last-write-wins'
  | RuleFunction
  | FunctionReference

/** Stands for a function where no code can be written: a function that the config file exports by that name, or a JSONata expression. */
export type FunctionReference = { readonly export: string } | { readonly jsonata: string }

/** A source row by field name. */
export type SourceRow = Readonly<Record<string, Value>>

/** Where a target field's value comes from: a source field's name, or more said. */
export type FieldDefinition =
  | string
  | { readonly from: string; readonly type?: Type; readonly compute?: undefined }
  | {
      /** Pure: the same row gives the same value. */
      readonly compute: ((row: SourceRow) => unknown) | FunctionReference
      /** Default `text`. */
      readonly type?: Type
      /** Raise it when the function's meaning changes: the next run then compares in full. */
      readonly version?: string | number
      readonly from?: undefined
    }

/** Types a config; its mistakes are reported when the file is loaded. */
export function defineConfig<const C extends string>(config: Config<C>): Config<C> {
  return config
}
