/** The project's say in what may begin: asked before every run and every action, and when a key asks for a run. */
import { SyncError } from '../../core/error.ts'
import type { KeyName } from '../../core/job.ts'
import { type AnySync, placesOf } from '../../core/two-way.ts'
import type { Guardian, Starting } from '../observe/events.ts'

/** What is about to begin. */
export interface PermitRequest {
  readonly kind: 'run' | 'action'
  /** Of the sync, or of the action. */
  readonly name: string
  /** Of a run: the one that it reads, of a two-way sync the left one. */
  readonly connection: string
  /** Null: nobody's in particular. */
  readonly project: string | null
  /** Who asked for it by the API; null: a schedule, a webhook, a command or a step of a sync. */
  readonly key: KeyName | null
}

/** True lets it begin; a text is the reason why it may not. What throws, or answers anything else, forbids it. */
export type Permit = (request: PermitRequest) => true | string | Promise<true | string>

/** A sync, and whose it is. */
interface Owned {
  readonly sync: AnySync
  readonly project: string | null
}

/** A guardian that asks whatever `permit` is at that moment. */
export function permitting(permit: () => Permit | null, syncOf: (id: string) => Owned | null): Guardian {
  return async (event) => (await refusalOf(permit(), requestOf(event, syncOf))) ?? undefined
}

/** FORBIDDEN: the run may not begin. `key` asks for it; null: a command does. */
export async function askForRun(permit: Permit | null, owned: Owned, key: KeyName | null): Promise<void> {
  const reason = await refusalOf(permit, runRequest(owned, key))
  if (reason !== null) throw new SyncError('FORBIDDEN', `sync ${owned.sync.id} may not run: ${reason}`)
}

/** Null: it may begin. */
async function refusalOf(permit: Permit | null, request: PermitRequest): Promise<string | null> {
  if (permit === null) return null
  try {
    const answer: unknown = await permit(request)
    if (answer === true) return null
    return typeof answer === 'string' ? answer : 'permit answered neither true nor a reason'
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

function requestOf(event: Starting, syncOf: (id: string) => Owned | null): PermitRequest {
  if (event.event === 'action.starting') {
    const { action, connection, project, key } = event
    return { kind: 'action', name: action, connection, project, key }
  }
  const owned = syncOf(event.sync)
  const { key } = event.job
  if (owned !== null) return runRequest(owned, key)
  return { kind: 'run', name: event.sync, connection: '', project: null, key }
}

function runRequest({ sync, project }: Owned, key: KeyName | null): PermitRequest {
  return { kind: 'run', name: sync.id, connection: placesOf(sync)[0].connection, project, key }
}
