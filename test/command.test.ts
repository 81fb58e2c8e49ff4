import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, symlink, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { temporaryFolder } from '../tools/database.ts'
import { isAlive } from '../tools/process.ts'

const root = join(import.meta.dirname, '..')

/** A `main` that does what its first argument says, so that the launcher alone is tested. */
const MAIN = `
export async function main([task, ...rest]) {
  if (task === 'code') return Number(rest[0])
  if (task === 'environment') console.log(Object.keys(process.env).filter((name) => /REEXECUTED|CHANNEL/.test(name)).length)
  if (task === 'import') console.log((await import(rest[0])).default)
  if (task === 'warn') {
    process.emitWarning('SQLite is an experimental feature', 'ExperimentalWarning')
    process.emitWarning('another matter', 'ExperimentalWarning')
  }
  if (task === 'die') process.kill(process.pid, rest[0])
  if (task === 'wait') {
    let interrupts = 0
    process.on('SIGINT', () => interrupts++)
    console.log(process.pid)
    await new Promise((resolve) => setTimeout(resolve, 1500))
    return interrupts
  }
  return 0
}`

/** A copy of the launcher in a repository of its own. */
async function repository(folder: string, withPinnedNode = true): Promise<string> {
  for (const path of ['bin', 'src/cli']) await mkdir(join(folder, path), { recursive: true })
  await copyFile(join(root, 'bin/syncline.js'), join(folder, 'bin/syncline.js'))
  await copyFile(join(root, 'package.json'), join(folder, 'package.json'))
  await writeFile(join(folder, 'src/cli/main.ts'), MAIN)
  await writeFile(join(folder, 'src/index.ts'), `export default 'this copy' satisfies string`)
  if (withPinnedNode) await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
  return join(folder, 'bin/syncline.js')
}

interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

function start(node: string, args: readonly string[]): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(node, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NODE_OPTIONS: '' } })
  const output = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk) => (output.stdout += chunk))
  child.stderr.on('data', (chunk) => (output.stderr += chunk))
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal, ...output }))
  return { child, ended }
}

async function pidOf(child: ChildProcess): Promise<number> {
  assert.ok(child.stdout)
  const [line] = await once(child.stdout, 'data')
  return Number(String(line))
}

/** A Node on this machine that is too old to run Syncline itself. */
function olderNode(): string | undefined {
  const paths = (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, 'node'))
  return paths.find((path) => {
    if (!existsSync(path)) return false
    const major = Number(execFileSync(path, ['-p', 'process.versions.node'], { encoding: 'utf8' }).split('.')[0])
    return major >= 18 && major < 22
  })
}

function launcherTests(node: string): void {
  test('passes arguments in and the exit code out', async () => {
    await using folder = await temporaryFolder()
    const launcher = await repository(folder.path)
    const { code, stderr } = await start(node, [launcher, 'code', '7']).ended
    assert.deepEqual({ code, stderr }, { code: 7, stderr: '' })
  })

  test("`import 'syncline'` means the launcher's own copy, wherever it is written", async () => {
    await using folder = await temporaryFolder()
    await using elsewhere = await temporaryFolder()
    const launcher = await repository(folder.path)
    const config = join(elsewhere.path, 'syncline.config.mjs')
    await writeFile(config, `export { default } from 'syncline'`)
    const { stdout } = await start(node, [launcher, 'import', config]).ended
    assert.equal(stdout.trim(), 'this copy')
  })

  test('hides the warnings that are no news, and no others', async () => {
    await using folder = await temporaryFolder()
    const { stderr } = await start(node, [await repository(folder.path), 'warn']).ended
    assert.match(stderr, /another matter/)
    assert.doesNotMatch(stderr, /SQLite/)
  })

  test('leaves nothing of its own in the environment', async () => {
    await using folder = await temporaryFolder()
    const { stdout } = await start(node, [await repository(folder.path), 'environment']).ended
    assert.equal(stdout.trim(), '0')
  })

  test('ends by the signal that ended the work', async () => {
    await using folder = await temporaryFolder()
    const { signal } = await start(node, [await repository(folder.path), 'die', 'SIGTERM']).ended
    assert.equal(signal, 'SIGTERM')
  })

  test('passes an interrupt on, and a Ctrl-C that arrives twice as one', async () => {
    await using folder = await temporaryFolder()
    const { child, ended } = start(node, [await repository(folder.path), 'wait'])
    const pid = await pidOf(child)
    child.kill('SIGINT')
    await sleep(50)
    process.kill(pid, 'SIGINT')
    assert.equal((await ended).code, 1)
  })
}

describe('the launcher', () => launcherTests(process.execPath))

const older = olderNode()
describe('the launcher on an older Node', { skip: older === undefined && 'no Node 18 to 21 in PATH' }, () => {
  if (older === undefined) return
  launcherTests(older)

  test('takes the work with it when it is killed', async () => {
    await using folder = await temporaryFolder()
    const { child, ended } = start(older, [await repository(folder.path), 'wait'])
    const pid = await pidOf(child)
    assert.notEqual(pid, child.pid)
    child.kill('SIGKILL')
    await ended
    // Less than the work would take by itself; its end is seen a moment later.
    for (let waits = 0; isAlive(pid) && waits < 40; waits++) await sleep(20)
    assert.equal(isAlive(pid), false)
  })

  test('says which Node is needed when there is none beside it', async () => {
    await using folder = await temporaryFolder()
    const launcher = await repository(folder.path, false)
    const { code, stderr } = await start(older, [launcher, 'code', '0']).ended
    assert.equal(code, 2)
    assert.match(stderr, /needs Node 22\.18 or newer.*npm install/s)
  })
})
