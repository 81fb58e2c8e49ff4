/** Tells listeners that a call of the API has changed what is set. */
import type { ConfigEvent } from '../core/event.ts'
import type { Operations } from '../engine/operations.ts'
import type { ApiKey } from '../engine/secrets/api-keys.ts'

/** After the change is kept. Names only: what is set now is read where it is kept, and may hold secrets. */
export function announce(
  { events }: Pick<Operations, 'events'>,
  key: ApiKey | null,
  change: Omit<ConfigEvent, 'event' | 'key'>,
): void {
  events.emit({ event: 'config.changed', ...change, key: key === null ? null : { id: key.id, name: key.name } })
}
