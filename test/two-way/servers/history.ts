/** What people did on both sides, as far as it can be lost: a value that somebody wrote, saw and wrote over is no loss. */
import type { SideName } from '../../../src/core/two-way.ts'

/** What one transaction did; nothing counts until it is committed. */
export interface Deed {
  readonly about: string
  /** Texts that no one else ever writes. */
  readonly wrote: readonly string[]
  /** Texts that this person wrote over, or deleted with their row. */
  readonly saw: readonly string[]
  /** Rows, by their token, that this person deleted. */
  readonly deleted: readonly string[]
}

export class History {
  readonly deeds: string[] = []
  /** Who wrote it. */
  readonly wrote = new Map<string, string>()
  readonly saw = new Set<string>()
  readonly deleted = new Map<string, string>()
  /** Emails of rows that people created, by side: people of the other side may know the same person. */
  readonly emails: Record<SideName, Set<string>> = { left: new Set(), right: new Set() }
  #next = 0

  commit(deeds: readonly Deed[]): void {
    for (const { about, wrote, saw, deleted } of deeds) {
      this.deeds.push(about)
      for (const text of wrote) this.wrote.set(text, about)
      for (const text of saw) this.saw.add(text)
      for (const token of deleted) this.deleted.set(token, about)
    }
  }

  /** A number that is given once; also the time on everybody's clock. */
  next(): number {
    return ++this.#next
  }

  /** What people wrote and nobody wrote over. */
  unseen(): [text: string, about: string][] {
    return [...this.wrote].filter(([text]) => !this.saw.has(text))
  }

  /** All that was done to the row of a deed. */
  about(deed: string): string {
    const token = /"(token \d+)"/.exec(deed)?.[1]
    return this.deeds.filter((one) => one.includes(`"${token}"`)).join('\n')
  }
}
