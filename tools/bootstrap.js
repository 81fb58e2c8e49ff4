/**
 * Runs a script of this repository under the Node it pins, installing what is missing first. Plain JavaScript for
 * Node 20, because it runs before anything is installed: `node tools/bootstrap.js <script> [argument…]`.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const pinnedNode = join(root, 'node_modules', 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node')

if (!installed()) install()
run(process.argv.slice(2))

/**
 * Whether what stands in node_modules is what package-lock.json names. Contents are compared, not times: a checkout
 * that only touches the file must not cost a new installation.
 */
function installed() {
  const present = packages(join(root, 'node_modules', '.package-lock.json'))
  if (present === undefined || !existsSync(pinnedNode)) return false
  return Object.entries(packages(join(root, 'package-lock.json')) ?? {}).every(
    ([path, entry]) =>
      path === '' ||
      entry.link === true ||
      present[path]?.version === entry.version ||
      (present[path] === undefined && (entry.optional === true || entry.devOptional === true)),
  )
}

function packages(lockFile) {
  return existsSync(lockFile) ? JSON.parse(readFileSync(lockFile, 'utf8')).packages : undefined
}

function install() {
  console.error('Installing the dependencies that package-lock.json names …')
  const npm = process.env.npm_execpath?.endsWith('.js')
    ? { command: process.execPath, first: [process.env.npm_execpath] }
    : { command: 'npm', first: [] }
  // What npm prints goes to stderr: stdout belongs to the script.
  const { status, error } = spawnSync(npm.command, [...npm.first, 'ci', '--include=dev', '--no-audit', '--no-fund'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32' && npm.command === 'npm',
  })
  if (error || status !== 0) {
    console.error(`npm ci failed${error ? `: ${error.message}` : ''}. Is the package registry within reach?`)
    process.exit(status || 1)
  }
  if (!existsSync(pinnedNode)) {
    console.error(
      'npm ci ran without install scripts, so the pinned Node is missing. Run: npm ci --ignore-scripts=false',
    )
    process.exit(1)
  }
}

function run([script, ...args]) {
  if (script === undefined || !existsSync(join(root, script))) {
    console.error(
      script ? `There is no ${script} in this repository.` : 'usage: node tools/bootstrap.js <script> [argument…]',
    )
    process.exit(2)
  }
  const child = spawn(
    pinnedNode,
    ['--conditions=syncline-source', '--disable-warning=ExperimentalWarning', join(root, script), ...args],
    {
      stdio: 'inherit',
      env: { ...process.env, PATH: `${join(root, 'node_modules', '.bin')}${delimiter}${process.env.PATH ?? ''}` },
    },
  )
  // A terminal sends Ctrl-C and hang-up to the whole group, so the child may see one signal twice.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('error', (error) => {
    console.error(`The pinned Node did not start: ${error.message}`)
    process.exit(1)
  })
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1)
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
    // A signal that this process ignores, as a shell would report it.
    setTimeout(() => process.exit(128 + (constants.signals[signal] ?? 0)), 100)
  })
}
