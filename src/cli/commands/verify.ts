/** `syncline verify [sync…]`: proof that both sides are equal. */
import type { Command } from 'commander'
import { SyncError } from '../../core/error.ts'
import { isTwoWay } from '../../core/two-way.ts'
import { differences, type Verification } from '../../core/verification.ts'
import { verifySync } from '../../engine/one-way/verify.ts'
import { underLease } from '../../engine/runs/run-under-lease.ts'
import { type TwoWayVerification, verifyTwoWay } from '../../engine/two-way/verify.ts'
import { expandTold, strictOption } from '../project/left-out.ts'
import { openProject } from '../project/open-project.ts'
import { exitCodeOfError, exitCodes, worst } from '../terminal/exit-code.ts'
import { count, counted, key } from '../terminal/format.ts'
import { ProgressLine } from '../terminal/progress.ts'
import { type Shell, show, showError } from '../terminal/shell.ts'
import type { Execute } from './command.ts'

export function addVerify(program: Command, execute: Execute): void {
  program
    .command('verify')
    .description('prove that both sides are equal, by value over all mapped fields')
    .argument('[sync...]', 'their names (default: all)')
    .option('--repair', 'make the target equal where it is not')
    .option(...strictOption)
    .addHelpText(
      'after',
      `
Reads both sides in full. Rows that differ are read once more before they are reported, so that a write in passing is
not called a difference. Exits 1 when sides are not equal. --repair is kept in the history as a run; what the sync's guard
holds of its deletions is not done, exits 3, and goes on after: syncline release <run>.
With --json, one object per sync: sync, equal, left, right, missing, extra, different, unreadable, and at most 20 keys of each.`,
    )
    .action((syncs: string[], { repair = false, strict = false }: { repair?: boolean; strict?: boolean }) =>
      execute((shell) => verify(shell, syncs, { repair, strict })),
    )
}

async function verify(
  shell: Shell,
  names: readonly string[],
  { repair, strict }: { readonly repair: boolean; readonly strict: boolean },
): Promise<number> {
  await using opened = await openProject(shell, { readOnly: !repair })
  await using _lock = repair ? await opened.project.store.lock() : null
  const { syncs, failures } = await expandTold(opened, names, shell, strict)
  const codes = failures.map(({ name: sync, error }) => exitCodeOfError(showError(shell, error, { sync })))
  for (const sync of syncs) {
    const progress = new ProgressLine(shell)
    const onProgress = (done: number, total: number | null) =>
      progress.update({ sync: sync.id, phase: 'verify', done, total })
    try {
      if (repair && isTwoWay(sync))
        throw new SyncError('CONFIG_INVALID', `sync ${sync.id} is two-way: neither side is the one to be mended`, {
          hint: `Run it: syncline run ${sync.id}. What it does not settle is listed by syncline conflicts ${sync.id}.`,
        })
      const verification = isTwoWay(sync)
        ? await verifyTwoWay(sync, opened.project, onProgress)
        : repair
          ? await underLease(sync, opened.project, (_, project) => verifySync(sync, project, { repair, onProgress }))
          : await verifySync(sync, opened.project, { repair, onProgress })
      progress.clear()
      report(shell, verification)
      codes.push(verification.equal ? exitCodes.fine : exitCodes.failed)
    } catch (error) {
      progress.clear()
      const shown = showError(shell, error, { sync: sync.id })
      codes.push(shown.code === 'GUARD_HELD' ? exitCodes.held : exitCodeOfError(shown))
    }
  }
  return worst(codes)
}

function report(shell: Shell, verification: Verification | TwoWayVerification): void {
  const { sync, equal, left, right, missing, extra, different, unreadable, keys, ...rest } = verification
  show(shell, { event: 'verify', sync, equal, left, right, missing, extra, different, unreadable, keys, ...rest }, () =>
    print(shell, verification),
  )
}

function print({ terminal }: Shell, verification: Verification | TwoWayVerification): void {
  const { sync, equal, left, right, repaired, keys } = verification
  const repairs = repaired > 0 ? `, ${counted(repaired, 'row')} repaired` : ''
  const apart = 'settled' in verification ? apartOf(verification) : ''
  if (equal) {
    terminal.out(`${terminal.paint('green', '✓')} ${sync}  equal, ${counted(right, 'row')}${repairs}${apart}`)
    return
  }
  terminal.out(
    `${terminal.paint('red', '✗')} ${sync}  not equal: ${count(left)} at the source, ${count(right)} in the target${repairs}`,
  )
  for (const kind of differences) {
    const total = verification[kind]
    if (total === 0) continue
    terminal.out(`  ${count(total)} ${kind}`)
    for (const one of keys[kind]) terminal.out(`    ${key(one)}`)
    if (total > keys[kind].length) terminal.out(`    and ${count(total - keys[kind].length)} more`)
  }
  if ('settled' in verification) terminal.out(`  go on: syncline run ${sync}; what waits and why: syncline status`)
  else if (repaired === 0)
    terminal.out(`  mend it: syncline verify ${sync} --repair (rows that were refused: syncline dead-letters ${sync})`)
}

/** What is listed apart from equality. */
function apartOf({ conflicts, ignored, settled }: TwoWayVerification): string {
  const parts = [
    conflicts > 0 ? counted(conflicts, 'open conflict') : '',
    ignored > 0 ? `${count(ignored)} left alone` : '',
    settled > 0 ? `${count(settled)} that differ as both sides agreed` : '',
  ].filter((part) => part !== '')
  return parts.length === 0 ? '' : `; apart from that ${parts.join(', ')}`
}
