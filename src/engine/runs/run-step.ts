/** Does what a step of a sync asks for. */
import { SyncError } from '../../core/error.ts'
import type { StartingRun, Step } from '../../core/step.ts'
import type { Project } from '../project.ts'

const codes = { onBefore: 'BEFORE_FAILED', onAfter: 'AFTER_FAILED' } as const
const hints = {
  onBefore: 'Nothing was written. The next run begins with it again.',
  onAfter: 'What the run wrote stays. The next run that succeeds ends with it again.',
} as const

/** BEFORE_FAILED, AFTER_FAILED: it did not do what it should. INTERRUPTED: it was stopped, and is done by the run that takes over. */
export async function runStep<Run extends StartingRun>(
  when: keyof typeof codes,
  step: Step<Run>,
  run: Run,
  { act, context }: Pick<Project, 'act' | 'context'>,
): Promise<void> {
  const { connection, action } = step
  const failure = (reason: string, cause?: unknown) =>
    new SyncError(codes[when], `${when} of sync ${run.sync}: action ${action} of ${connection} failed: ${reason}`, {
      hint: hints[when],
      cause,
    })
  if (act === undefined) throw failure('nothing here can execute actions')
  try {
    context.signal.throwIfAborted()
    const input = typeof step.input === 'function' ? step.input(run) : step.input
    if (typeof step.input === 'function' && (input === null || input === undefined)) return
    const { success, error } = await act(connection, action, input, context.signal)
    context.signal.throwIfAborted()
    if (!success) throw failure(error ?? 'it gave no reason')
  } catch (error) {
    if (context.signal.aborted) throw stopped(when, run, context.signal.reason)
    if (error instanceof SyncError && error.code === codes[when]) throw error
    throw failure(error instanceof Error ? error.message : String(error), error)
  }
}

/** Why a signal ends a run is its reason: another process took over, or somebody pressed Ctrl-C. */
function stopped(when: string, { sync }: StartingRun, reason: unknown): SyncError {
  if (reason instanceof SyncError) return reason
  return new SyncError('INTERRUPTED', `${when} of sync ${sync} was stopped`, {
    hint: 'The run that goes on does it again.',
  })
}
