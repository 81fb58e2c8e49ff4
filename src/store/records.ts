/** The contract for what the service remembers by name: connections, integrations, secrets, sessions, keys. Bodies are opaque text; who needs secrecy seals them first. */
export interface RecordStore {
  /**
   * Writes a record and returns its new version. `expected`: the version it must have now, 0 for none at all; null comes back, and nothing
   * is written, when it has another. Omitted: whatever it is.
   */
  put(record: NewRecord, expected?: number): Promise<number | null>
  get(kind: string, id: string): Promise<StoredRecord | null>
  /** In the order of their ids. */
  list(kind: string, page: { readonly after?: string; readonly limit: number }): Promise<readonly StoredRecord[]>
  /** False: it was not there. Of many who delete one at the same time, one is told true. */
  delete(kind: string, id: string): Promise<boolean>
  /** Deletes what has expired, and says how many that were. */
  sweep(nowMs: number): Promise<number>
}

export interface NewRecord {
  readonly kind: string
  readonly id: string
  readonly body: string
  /** Milliseconds since 1970; null: never. */
  readonly expiresAt: number | null
}

export interface StoredRecord extends NewRecord {
  /** 1 when it is new, and one more with every change. */
  readonly version: number
}
