/** A person's decision about a conflict: checked, kept, and carried out by the next run. */
import { SyncError } from '../../core/error.ts'
import { keyText } from '../../core/key-text.ts'
import { nearestNames } from '../../core/name.ts'
import type { BoundField } from '../../core/pairing.ts'
import { givenValue } from '../../core/reconcile.ts'
import { type SideName, sideNames, type TwoWaySync } from '../../core/two-way.ts'
import { type ConflictField, type ConflictRecord, statusOf } from '../../store/pairs.ts'
import type { Project } from '../project.ts'
import { openPairSides } from './open.ts'

export interface Choice {
  /** Of all fields that `set` does not name. */
  readonly take: SideName | null
  /** Values by field, as a person writes them, in the left side's form; see `saidValue`. */
  readonly set: Readonly<Record<string, string>>
}

/** Keeps a decision. CONFLICT_CLOSED, or CONFIG_INVALID for a choice that does not fit. */
export async function resolveConflict(
  record: ConflictRecord,
  sync: TwoWaySync,
  project: Project,
  choice: Choice,
): Promise<ConflictRecord> {
  refuseClosed(record)
  if (record.kind === 'undo') return await acknowledge(record, project, choice)
  await using sides = await openPairSides(sync, project)
  const isOpen = ({ status }: ConflictField) => status === 'open' || status === 'decided'
  const open = Object.entries(record.fields).flatMap(([name, field]) => (isOpen(field) ? [name] : []))
  const takes = new Map<string, NonNullable<ConflictField['take']>>()
  if (record.kind === 'delete' && Object.keys(choice.set).length > 0)
    throw new SyncError('CONFIG_INVALID', `conflict ${record.id} is about a deleted row, which has no field to set`, {
      hint: 'Choose --take left or --take right: the side that deleted the row deletes it on both, the other brings it back.',
    })
  for (const [name, text] of Object.entries(choice.set)) {
    const bound = sides.pairing.fields.find((field) => field.name === name)
    if (bound === undefined || !open.includes(name)) {
      const near = nearestNames(name, open)
      throw new SyncError('CONFIG_INVALID', `conflict ${record.id} has no open field "${name}"`, {
        hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `Its open fields are ${open.join(', ')}.`,
      })
    }
    const said = saidValue(text)
    refuseUnfit(bound, name, said)
    takes.set(name, { set: keyText([said]) })
  }
  if (choice.take !== null)
    for (const name of open) if (!Object.hasOwn(choice.set, name)) takes.set(name, { side: choice.take })
  const fields = Object.fromEntries(
    Object.entries(record.fields).map(([name, field]): [string, ConflictField] => {
      const take = takes.get(name)
      return [name, take === undefined ? field : { ...field, status: 'decided', take }]
    }),
  )
  const status = statusOf(fields)
  await project.store.pairs.conflicts.decide(record.id, fields, status)
  return { ...record, fields, status }
}

/** `null` is NULL. The word itself is written in double quotes, and one pair of them is taken off it: `"null"`, `""null""`. */
export function saidValue(text: string): string | null {
  if (text === 'null') return null
  return /^("+)null\1$/.test(text) ? text.slice(1, -1) : text
}

/** The value has to fit both sides. */
function refuseUnfit(bound: BoundField, name: string, said: string | null): void {
  if (said === null) {
    const refuses = sideNames.find((side) => !bound[side].nullable)
    if (refuses === undefined) return
    throw new SyncError('CONFIG_INVALID', `--set ${name}: NULL is not allowed on the ${refuses} side`, {
      hint: `For the word, put it in double quotes that the shell leaves alone: --set '${name}="null"'.`,
    })
  }
  try {
    if (bound.left.type === 'json') JSON.parse(said)
    const value = givenValue(bound, said)
    if (bound.references === null) bound.cross('left', value)
  } catch (error) {
    throw new SyncError(
      'CONFIG_INVALID',
      `--set ${name}: ${JSON.stringify(said)} is no ${bound.left.type} that both sides hold`,
      {
        cause: error,
        hint: 'Write the value as the left side has it.',
      },
    )
  }
}

/** An undo left the row as it is: a decision only takes the record off the list. */
async function acknowledge(record: ConflictRecord, project: Project, choice: Choice): Promise<ConflictRecord> {
  if (Object.keys(choice.set).length > 0)
    throw new SyncError('CONFIG_INVALID', `conflict ${record.id} is of an undo: there is nothing to set`, {
      hint: 'Change the row at either side, and take the record off the list with --take left or --take right.',
    })
  const fields = Object.fromEntries(
    Object.entries(record.fields).map(([name, field]) => [name, { ...field, status: 'resolved' as const }]),
  )
  await project.store.pairs.conflicts.decide(record.id, fields, 'resolved')
  return { ...record, fields, status: 'resolved' }
}

function refuseClosed(record: ConflictRecord): void {
  if (record.kind === 'match')
    throw new SyncError(
      'CONFIG_INVALID',
      `conflict ${record.id} is about rows that can't be told apart by their match`,
      {
        hint: 'Change or remove one of them at its side; the next run pairs what is unique then.',
      },
    )
  if (record.status === 'open' || record.status === 'decided') return
  throw new SyncError('CONFLICT_CLOSED', `conflict ${record.id} is ${record.status} already`, {
    hint: '`syncline conflicts` lists the open ones.',
  })
}
