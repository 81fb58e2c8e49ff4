/** `syncline why <sync> <key>`: a row's story. */
import type { Command } from 'commander'
import { type Story, whyRow } from '../../engine/two-way/explain.ts'
import { storyObject, valuesOf } from '../../engine/two-way/story-object.ts'
import { openProject } from '../project/open-project.ts'
import { exitCodes } from '../terminal/exit-code.ts'
import { instant, key, table, value } from '../terminal/format.ts'
import { type Shell, show } from '../terminal/shell.ts'
import type { Execute } from './command.ts'
import { twoWaySync } from './conflicts.ts'

export function addWhy(program: Command, execute: Execute): void {
  program
    .command('why')
    .description('a row’s story: its pair, base, both values now, the last ten writes and why')
    .argument('<sync>', 'a two-way sync')
    .argument('<key>', 'as the left or the right side has it; parts are separated by commas')
    .addHelpText(
      'after',
      '\nWith --json, one object: sync, pair, waiting (state, code, message of a write that is tried\nagain), there, fields (base, left, right), conflicts, writes.',
    )
    .action((sync: string, text: string) => execute((shell) => why(shell, sync, text)))
}

async function why(shell: Shell, name: string, text: string): Promise<number> {
  await using opened = await openProject(shell, { readOnly: true })
  const story = await whyRow(await twoWaySync(opened, name), opened.project, text)
  show(shell, { event: 'why', ...(await storyObject(story, opened.project.store.pairs)) }, () => print(shell, story))
  return exitCodes.fine
}

function waitsFor({ state, message }: NonNullable<Story['waiting']>): string {
  switch (state) {
    case 'rejected':
      return `its last write was refused: ${message}`
    case 'deferred':
      return message === null
        ? 'a row that it references has no counterpart yet'
        : `it waits for another row: ${message}`
    case 'held':
      return 'its deletion is held by the guard'
    case 'again':
      return 'it waits for the next run'
  }
}

function print({ terminal }: Shell, story: Story): void {
  const { pair, unpaired } = story
  if (pair !== null)
    terminal.out(`${terminal.paint('bold', story.sync)}  left ${key(pair.left)} ⇄ right ${key(pair.right)}`)
  else {
    const reasons: Readonly<Record<string, string>> = {
      alone: 'the sync does not flow from this side',
      parted: 'its counterpart was deleted, and this row stays',
      ambiguous: 'its match is not unique',
      deferred: 'a row that it references has no counterpart yet',
      rejected: `it was refused: ${unpaired?.message ?? ''}`,
    }
    terminal.out(
      `${terminal.paint('bold', story.sync)}  no pair: ${unpaired === null ? 'it has not been synced yet, or is gone' : reasons[unpaired.state]}`,
    )
  }
  if (story.waiting !== null) terminal.out(`  ${waitsFor(story.waiting)}; tried again on every run`)
  const shown = (of: Parameters<typeof value>[0] | undefined) => (of === undefined ? '(no row)' : value(of))
  const rows = Object.entries(story.fields).map(([name, { base, left, right }]) => [
    `  ${name}`,
    value(base),
    shown(left),
    shown(right),
  ])
  for (const line of table(rows, ['  field', 'base', 'left', 'right'])) terminal.out(line)
  for (const { id, status } of story.conflicts)
    terminal.out(`  conflict ${id} is ${status}: syncline conflicts show ${id}`)
  if (story.writes.length === 0) terminal.out('  Nothing was written to it, as far as the journal goes back.')
  for (const entry of story.writes) {
    const [before, after] = [valuesOf(entry.before), valuesOf(entry.after)]
    const changes = entry.fields.map(
      (name, at) => `${name}: ${value(before?.[at] ?? null)} → ${value(after?.[at] ?? null)}`,
    )
    terminal.out(
      `  ${instant(entry.atMs)}  ${entry.kind} ${entry.side}  ${changes.join(', ')}  (${entry.reason}; run ${entry.run})`,
    )
  }
}
