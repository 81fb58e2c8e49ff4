/** The fingerprint of a definition: what a target's rows depend on, as one text that can be compared. */
import type { Schema } from './schema.ts'
import type { Sync } from './sync.ts'

/**
 * Two definitions with equal fingerprints give equal rows from equal sources. Functions count by their `version` only.
 * Limits that don't change rows (guard, batch, schedule) are left out. The target's fields count, so that a column that
 * was added, or dropped and is back, is filled in full also when the run that first saw it did not get to its end.
 */
export function fingerprint(sync: Sync, target: Schema): string {
  const fields =
    sync.fields === null
      ? null
      : [...sync.fields].map(([name, rule]) =>
          rule.kind === 'from'
            ? [name, rule.from, rule.type ?? null]
            : [name, { version: rule.version, type: rule.type }],
        )
  return JSON.stringify(
    {
      from: sync.from,
      fields,
      where: sync.where,
      key: sync.key,
      deletes: sync.deletes,
      cursor: sync.cursor,
      target: target.fields.map(({ name, type, native }) => [name, type, native]),
    },
    (_name, value) => (typeof value === 'bigint' ? `${value}n` : value),
  )
}
