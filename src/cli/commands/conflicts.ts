/** `syncline conflicts`: what both sides changed differently, and a person's decisions about it. */
import { type Command, InvalidArgumentError } from 'commander'
import { SyncError } from '../../core/error.ts'
import { parseKeyText } from '../../core/key-text.ts'
import { isTwoWay, otherSide, type SideName, type TwoWaySync } from '../../core/two-way.ts'
import { conflictObject, type KeyNames, keyNames, matchedRows } from '../../engine/two-way/conflict-object.ts'
import { resolveConflict } from '../../engine/two-way/resolve.ts'
import type { ConflictField, ConflictRecord } from '../../store/pairs.ts'
import { type OpenProject, openProject } from '../project/open-project.ts'
import { exitCodes } from '../terminal/exit-code.ts'
import { instant, key, table, value } from '../terminal/format.ts'
import { type Shell, show } from '../terminal/shell.ts'
import { describeKeys } from '../terminal/two-way-format.ts'
import type { Execute } from './command.ts'

export function addConflicts(program: Command, execute: Execute): void {
  const conflicts = program
    .command('conflicts')
    .description('what both sides of two-way syncs changed differently')
    .argument('[sync]', 'only this sync')
    .option('--all', 'also those that are over: decided by a rule or a person, or agreed by themselves')
    .option('-n, --limit <number>', 'how many, newest first', positive, 100)
    .addHelpText(
      'after',
      `
  syncline conflicts show 12
  syncline conflicts resolve 12 --take left
  syncline conflicts resolve 12 --set name="Ann Lee" --take right
  syncline conflicts resolve 12 --set phone=null         NULL; the word itself: --set 'phone="null"'

With --json, one object per conflict: id, sync, kind (fields, delete, match or undo), status (open, decided, resolved or
agreed), key (of each side: {column: value}, or null), fields (of each: base, left, right, rule, outcome, status; take once
decided, note where it is over for another reason), run, openedAt, closedAt. A match conflict
has rows instead of fields: of each side, a list of key and match, both {column: value}. Where there are more than --limit, a last object says so:
event conflicts.more, and shown.`,
    )
    .action((sync: string | undefined, options: { all?: boolean; limit: number }) =>
      execute((shell) => list(shell, sync, options)),
    )
  conflicts
    .command('show')
    .description('base, left and right side by side, what changed when, and which rule decided')
    .argument('<id>', 'as `conflicts` prints it', positive)
    .action((id: number) => execute((shell) => showOne(shell, id)))
  conflicts
    .command('resolve')
    .description('decide; the next run carries it out, if the value given up is still the one you saw')
    .argument('<id>', 'as `conflicts` prints it', positive)
    .option('--take <side>', 'left or right: this side’s values win', side)
    .option('--set <field=value>', 'a value of its own for one field; may be repeated', assignments, {})
    .action((id: number, options: { take?: SideName; set: Record<string, string> }) =>
      execute((shell) => resolve(shell, id, options)),
    )
}

async function list(
  shell: Shell,
  sync: string | undefined,
  options: { all?: boolean; limit: number },
): Promise<number> {
  await using opened = await openProject(shell, { readOnly: true })
  if (sync !== undefined) await opened.expand([sync])
  const found = await opened.project.store.pairs.conflicts.list({
    ...(sync === undefined ? {} : { sync }),
    ...(options.all === true ? {} : { status: ['open', 'decided'] as const }),
    limit: options.limit + 1,
  })
  const records = found.slice(0, options.limit)
  const more = found.length > records.length
  const names = new Map<string, KeyNames>()
  for (const { sync: of } of records) if (!names.has(of)) names.set(of, await keyNames(opened.project.store.pairs, of))
  const namesOf = (record: ConflictRecord) => names.get(record.sync) ?? { left: [], right: [] }
  for (const record of records) show(shell, { event: 'conflict', ...conflictObject(record, namesOf(record)) }, () => {})
  if (more) show(shell, { event: 'conflicts.more', shown: records.length }, () => {})
  if (shell.json) return exitCodes.fine
  if (records.length === 0) shell.terminal.out(options.all === true ? 'no conflicts yet' : 'no open conflicts')
  else
    for (const line of table(
      records.map((record) => cells(record, namesOf(record))),
      ['id', 'sync', 'status', 'row', 'fields', 'since'],
    ))
      shell.terminal.out(line)
  if (more) shell.terminal.out(`and more: --limit ${options.limit * 10} shows them`)
  return exitCodes.fine
}

function cells(record: ConflictRecord, names: KeyNames): string[] {
  const fields =
    record.kind === 'delete'
      ? deletionOf(record)
      : record.kind === 'match'
        ? 'match is not unique'
        : Object.keys(record.fields).join(', ')
  return [String(record.id), record.sync, record.status, describeKeys(record, names), fields, instant(record.openedAt)]
}

/** Of the side that deleted the row nothing is left. */
function deletionOf({ fields }: ConflictRecord): string {
  const images = Object.values(fields).map(({ values }) => parseKeyText(values))
  const gone = images.every(([, left]) => left === null) ? 'left' : 'right'
  return `deleted ${gone}, changed ${otherSide(gone)}`
}

async function showOne(shell: Shell, id: number): Promise<number> {
  await using opened = await openProject(shell, { readOnly: true })
  const record = await find(opened, id)
  const names = await keyNames(opened.project.store.pairs, record.sync)
  const { journal } = opened.project.store.pairs
  const writes =
    record.left !== null && record.kind !== 'match'
      ? await journal.ofRow(record.sync, 'left', record.left, 10)
      : record.right !== null
        ? await journal.ofRow(record.sync, 'right', record.right, 10)
        : []
  const history = writes.map(({ run, atMs, side, kind, fields, reason }) => ({
    run,
    at: new Date(atMs).toISOString(),
    side,
    kind,
    fields,
    reason,
  }))
  show(shell, { event: 'conflict', ...conflictObject(record, names), history }, () => {
    const { terminal } = shell
    terminal.out(
      `${terminal.paint('bold', `conflict ${record.id}`)} of ${record.sync}, ${record.status}, since ${instant(record.openedAt)} (run ${record.run})`,
    )
    terminal.out(`  ${describeKeys(record, names)}`)
    if (record.kind === 'match') {
      for (const line of matchLines(record, names)) terminal.out(line)
      return
    }
    if (record.kind === 'delete') terminal.out(`  ${deletionOf(record)}`)
    const rows = Object.entries(record.fields).map(([name, field]) => {
      const [base = null, left = null, right = null] = parseKeyText(field.values)
      const decided =
        field.take === undefined
          ? `${field.rule} → ${field.outcome}`
          : 'side' in field.take
            ? `take ${field.take.side}`
            : `set ${value(parseKeyText(field.take.set)[0] ?? null)}`
      const status = field.note === undefined ? field.status : `${field.status}: ${field.note}`
      return [`  ${name}`, value(base), value(left), value(right), decided, status]
    })
    for (const line of table(rows, ['  field', 'base', 'left', 'right', 'decision', 'status'])) terminal.out(line)
    for (const write of writes)
      terminal.out(
        `  ${terminal.paint('dim', `${instant(write.atMs)} run ${write.run}: ${write.kind} ${write.side} ${write.fields.join(', ')} (${write.reason})`)}`,
      )
    if (record.status === 'open')
      terminal.out(
        `  Decide: syncline conflicts resolve ${record.id} --take left|right${record.kind === 'fields' ? ', or --set field=value' : ''}`,
      )
  })
  return exitCodes.fine
}

/** Keys and matching values of all rows, side by side. */
function matchLines(record: ConflictRecord, names: KeyNames): string[] {
  const { left, right } = matchedRows(record, names)
  const fields = Object.keys([...left, ...right][0]?.match ?? {})
  const line = (side: SideName, of: (typeof left)[number]) => [
    `  ${side}`,
    key(of.key),
    ...fields.map((name) => value(of.match[name] ?? null)),
  ]
  const rows = [...left.map((of) => line('left', of)), ...right.map((of) => line('right', of))]
  const hint = 'Change or remove one of them at its side; the next run pairs what is unique then.'
  return [...table(rows, ['  side', 'key', ...fields]), ...(record.status === 'open' ? [`  ${hint}`] : [])]
}

async function resolve(
  shell: Shell,
  id: number,
  options: { take?: SideName; set: Record<string, string> },
): Promise<number> {
  const { take = null, set } = options
  if (take === null && Object.keys(set).length === 0)
    throw new SyncError('CONFIG_INVALID', 'conflicts resolve: nothing is decided', {
      hint: 'Say --take left, --take right, or --set field=value.',
    })
  await using opened = await openProject(shell, { readOnly: false })
  const record = await find(opened, id)
  const resolved = await resolveConflict(record, await twoWaySync(opened, record.sync), opened.project, { take, set })
  const names = await keyNames(opened.project.store.pairs, record.sync)
  show(shell, { event: 'conflict', ...conflictObject(resolved, names) }, () => {
    for (const line of resolvedLines(resolved)) shell.terminal.out(line)
  })
  return exitCodes.fine
}

/** Which fields are settled, which are left, and what comes next. */
function resolvedLines(record: ConflictRecord): string[] {
  const { id, sync, kind, status } = record
  if (status === 'resolved') return [`Conflict ${id} is resolved.`]
  const next = `Carried out by the next run: syncline run ${sync}`
  if (kind === 'delete') return [`Conflict ${id} is decided. ${next}`]
  const fields = Object.entries(record.fields)
  const decided = fields.filter(([, field]) => field.status === 'decided')
  const open = fields.filter(([, field]) => field.status === 'open')
  return [
    `Conflict ${id} is ${open.length === 0 ? 'decided' : 'decided in part'}. ${next}`,
    ...decided.map(([name, field]) => `  ${name} is decided: ${decision(field)}`),
    ...open.map(([name, field]) => {
      const [, left = null, right = null] = parseKeyText(field.values)
      return `  ${name} is still open: left ${value(left)}, right ${value(right)}`
    }),
    ...(open.length === 0
      ? []
      : [`  Decide: syncline conflicts resolve ${id} --take left|right, or --set field=value`]),
  ]
}

function decision({ take, values }: ConflictField): string {
  if (take === undefined) return ''
  if ('set' in take) return value(parseKeyText(take.set)[0] ?? null)
  const [, left = null, right = null] = parseKeyText(values)
  return `${take.side}, ${value(take.side === 'left' ? left : right)}`
}

async function find({ project }: OpenProject, id: number): Promise<ConflictRecord> {
  const record = await project.store.pairs.conflicts.get(id)
  if (record !== null) return record
  throw new SyncError('CONFLICT_UNKNOWN', `there is no conflict ${id}`, {
    hint: '`syncline conflicts --all` lists them.',
  })
}

/** The two-way sync of this name. */
export async function twoWaySync(opened: OpenProject, name: string): Promise<TwoWaySync> {
  const { syncs } = await opened.expand([name])
  const sync = syncs.find(({ id }) => id === name)
  if (sync !== undefined && isTwoWay(sync)) return sync
  throw new SyncError('CONFIG_INVALID', `sync "${name}" is not two-way`, {
    hint: 'Only syncs with `between` have pairs, conflicts and a journal; a one-way sync keeps counts (syncline history).',
  })
}

function positive(text: string): number {
  if (/^[1-9]\d*$/.test(text)) return Number(text)
  throw new InvalidArgumentError('a positive number is needed')
}

function side(text: string): SideName {
  if (text === 'left' || text === 'right') return text
  throw new InvalidArgumentError('left or right is needed')
}

function assignments(text: string, before: Record<string, string>): Record<string, string> {
  const at = text.indexOf('=')
  if (at <= 0) throw new InvalidArgumentError('field=value is needed')
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) }
}
