/** `npm run build`: makes dist/ from src/: what tsc emits, and the files that are no TypeScript as they are. */
import { spawnSync } from 'node:child_process'
import { cpSync, globSync, rmSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
process.exitCode = build()

function build(): number {
  rmSync(join(root, 'dist'), { recursive: true, force: true })
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const { status } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' })
  if (status !== 0) return status ?? 1
  for (const file of globSync('**/*.{sql,json}', { cwd: join(root, 'src') })) {
    cpSync(join(root, 'src', file), join(root, 'dist', file))
  }
  return 0
}
