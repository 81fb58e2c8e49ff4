/**
 * `npm run examples` and `npm run bench`: runs each program of its kind in turn, and stops at the first that fails.
 * Arguments select by part of the name: `npm run bench -- snapshot`.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { globSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const PATTERNS: Readonly<Record<string, string>> = {
  examples: 'examples/*/run.{ts,js,sh}',
  bench: 'bench/*.bench.ts',
}

process.exitCode = await main(process.argv.slice(2))

async function main([kind = '', ...filters]: readonly string[]): Promise<number> {
  const pattern = PATTERNS[kind]
  if (pattern === undefined) {
    console.error(`usage: programs.ts ${Object.keys(PATTERNS).join('|')} [part of a name]…`)
    return 2
  }
  const programs = globSync(pattern, { cwd: root }).sort()
  const selected = programs.filter((path) => filters.length === 0 || filters.some((filter) => path.includes(filter)))
  for (const program of selected) {
    console.log(`\n# ${program}`)
    const code = await run(program)
    if (code !== 0) {
      console.error(`${program} failed (exit code ${code})`)
      return 1
    }
  }
  console.log(`\n${kind}: ${selected.length} ran`)
  return 0
}

async function run(program: string): Promise<number> {
  const [command, ...first] = program.endsWith('.sh')
    ? ['bash']
    : [process.execPath, '--conditions=syncline-source', '--disable-warning=ExperimentalWarning']
  const child = spawn(command ?? '', [...first, program], { cwd: root, stdio: 'inherit' })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => child.kill(signal))
  const [code] = await once(child, 'exit')
  return typeof code === 'number' ? code : 1
}
