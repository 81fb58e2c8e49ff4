/** Members of patterns that can't be synced: told, and no failure unless nothing else can be done. */
import type { Expansion } from '../../config/expand.ts'
import { jsonLine } from '../terminal/json.ts'
import { errorObject, type Shell } from '../terminal/shell.ts'
import type { OpenProject } from './open-project.ts'

export const strictOption = ['--strict', 'fail for collections of a pattern that can’t be synced, too'] as const

/** What these names expand to. With `strict`, or where nothing else is left, what is left out is a failure. */
export async function expandTold(
  opened: OpenProject,
  names: readonly string[],
  shell: Shell,
  strict: boolean,
): Promise<Expansion> {
  const expansion = await opened.expand(names)
  const { syncs, failures, leftOut } = expansion
  if (strict || syncs.length === 0) return { syncs, failures: [...failures, ...leftOut], leftOut: [] }
  for (const { name, error } of leftOut) {
    if (shell.json) shell.terminal.out(jsonLine({ ...errorObject(error, { sync: name }), event: 'sync.left-out' }))
    else
      shell.terminal.err(`${shell.terminal.paint('yellow', 'left out')}: ${name}: ${error.message}\n  ${error.hint}\n`)
  }
  return expansion
}
