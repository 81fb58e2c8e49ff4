/** What every command file is written against. */
import type { Shell } from '../terminal/shell.ts'

/** What a command file gets: a way to run its action in the shell that the global options describe. */
export type Execute = (action: (shell: Shell) => Promise<number>) => Promise<void>
