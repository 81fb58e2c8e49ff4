/** What functions of a connector are called with, and what they give. */
import type { Type } from '../core/value.ts'
import type { Calls, Collection, CollectionOptions, Context } from './connector.ts'

/** A connection as handlers get it. */
export interface Handle<Config> {
  /** Its id in the engine, its name in a config. */
  readonly id: string
  /** Validated, with the secrets in it. */
  readonly config: Config
}

/** What handlers get beside their connection. */
export type HandlerContext = Context & Calls

/** A row by field names; what a field's type can't hold makes the row a rejected one. */
export type HandlerRow = Readonly<Record<string, unknown>>

/** All rows there are now: at once, or page by page. */
export type HandlerRows = readonly HandlerRow[] | AsyncIterable<readonly HandlerRow[]>
export type SyncRun<Config> = (
  connection: Handle<Config>,
  context: HandlerContext,
) => Promise<HandlerRows> | HandlerRows

/** A named list of rows that a system has. */
export interface SyncDefinition<Config> {
  readonly description?: string
  /** What a row holds. Omitted: `id` (text) and `data`, the row as JSON. */
  readonly fields?: Readonly<Record<string, Type>>
  /** Default: `id`. */
  readonly key?: readonly string[]
  /** When it runs, where a connection does not say: `15m`, a cron expression … Default: the engine's. */
  readonly schedule?: string
  /** How long a run may take; then the context's signal is aborted. Default 3,600,000. */
  readonly timeoutMs?: number
  readonly run: SyncRun<Config>
}

/** Opens a collection: its schema, which has the collection's name, how it is read and followed, and how it is written to, if it is. */
export type CollectionOpener<Config> = (
  connection: Handle<Config>,
  context: HandlerContext,
  options: CollectionOptions,
) => Promise<Collection> | Collection
