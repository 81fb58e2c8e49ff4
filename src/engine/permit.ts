/** The project's say in what may begin: asked before every run and every action. */
import type { AnySync } from '../core/two-way.ts'
import { placesOf } from '../core/two-way.ts'
import type { Guardian } from './events.ts'

/** What is about to begin. */
export interface PermitRequest {
  readonly kind: 'run' | 'action'
  /** Of the sync, or of the action. */
  readonly name: string
  /** Of a run: the one that it reads, of a two-way sync the left one. */
  readonly connection: string
  /** Null: nobody's in particular. */
  readonly project: string | null
  /** Who asked for it by the API; null: nobody there, or not known, as with runs, which the queue begins. */
  readonly key: { readonly id: string; readonly name: string } | null
}

/** True lets it begin; a text is the reason why it may not. What throws, or answers anything else, forbids it. */
export type Permit = (request: PermitRequest) => true | string | Promise<true | string>

/** A guardian that asks whatever `permit` is at that moment. */
export function permitting(
  permit: () => Permit | null,
  syncOf: (id: string) => { readonly sync: AnySync; readonly project: string | null } | null,
): Guardian {
  return async (event) => {
    const ask = permit()
    if (ask === null) return undefined
    const answer: unknown = await ask(requestOf(event, syncOf))
    if (answer === true) return undefined
    return typeof answer === 'string' ? answer : 'permit answered neither true nor a reason'
  }
}

function requestOf(event: Parameters<Guardian>[0], syncOf: Parameters<typeof permitting>[1]): PermitRequest {
  if (event.event === 'action.starting') {
    const { action, connection, project, key } = event
    return { kind: 'action', name: action, connection, project, key }
  }
  const known = syncOf(event.sync)
  const connection = known === null ? '' : placesOf(known.sync)[0].connection
  return { kind: 'run', name: event.sync, connection, project: known?.project ?? null, key: null }
}
