#!/usr/bin/env node
/**
 * The `syncline` command. Plain JavaScript that Node 18 parses, so that an older Node can say what it needs.
 * In the repository it runs src/cli/main.ts as it is; in the published package dist/cli/main.js.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import * as nodeModule from 'node:module'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const source = join(root, 'src', 'cli', 'main.ts')
const inRepository = existsSync(source)

const NEEDED = '22.18'
/** Marks the process that `runUnder` starts. */
const MARKER = 'SYNCLINE_REEXECUTED'
/** A terminal and npm both pass one Ctrl-C on: within this time it is one. */
const SAME_SIGNAL_MS = 500

if (isRecent(process.versions.node)) await runHere()
else runElsewhere()

async function runHere() {
  if (process.env[MARKER] !== undefined) dieWithParent()
  takeRepeatedSignalsAsOne()
  hideExpectedWarnings()
  // Saves about a third of the start-up: compiled code is kept between runs.
  nodeModule.enableCompileCache?.()
  resolveSynclineToItself()
  const { main } = await import(pathToFileURL(inRepository ? source : join(root, 'dist', 'cli', 'main.js')).href)
  process.exitCode = await main(process.argv.slice(2))
}

function isRecent(version) {
  const [major, minor] = version.split('.').map(Number)
  const [neededMajor, neededMinor] = NEEDED.split('.').map(Number)
  return major > neededMajor || (major === neededMajor && minor >= neededMinor)
}

/** A killed parent can't pass its end on, but the channel to it closes. */
function dieWithParent() {
  for (const name of [MARKER, 'NODE_CHANNEL_FD', 'NODE_CHANNEL_SERIALIZATION_MODE']) delete process.env[name]
  if (!process.connected) process.kill(process.pid, 'SIGKILL')
  process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))
  process.channel?.unref()
}

function takeRepeatedSignalsAsOne() {
  const emit = process.emit
  const seen = new Map()
  process.emit = function (event, ...args) {
    if (event === 'SIGINT' || event === 'SIGTERM' || event === 'SIGHUP') {
      const now = performance.now()
      const last = seen.get(event)
      if (last !== undefined && now - last < SAME_SIGNAL_MS) return true
      seen.set(event, now)
    }
    return emit.call(this, event, ...args)
  }
}

/** What Syncline builds on, and Node still calls experimental, is no news to its user. All other warnings appear. */
function hideExpectedWarnings() {
  const emitWarning = process.emitWarning
  process.emitWarning = function (warning, ...args) {
    const type = typeof args[0] === 'object' ? args[0]?.type : args[0]
    const expected = /SQLite|type stripping/i.test(String(warning?.message ?? warning))
    if (expected && (type ?? warning?.name) === 'ExperimentalWarning') return
    return emitWarning.call(this, warning, ...args)
  }
}

/** `import 'syncline'` in a configuration means this very copy, wherever the file lies; in the repository, its source. */
function resolveSynclineToItself() {
  nodeModule.registerHooks({
    resolve(specifier, context, next) {
      if (specifier !== 'syncline' && !specifier.startsWith('syncline/')) return next(specifier, context)
      const conditions = inRepository ? [...context.conditions, 'syncline-source'] : context.conditions
      return next(specifier, { ...context, conditions, parentURL: import.meta.url })
    },
  })
}

function runElsewhere() {
  // The Node that the repository pins, or that a project has as the `node` package beside this one.
  const pinned = [join(root, 'node_modules'), dirname(root)]
    .map((folder) => join(folder, 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node'))
    .find((path) => existsSync(path))
  if (pinned !== undefined && process.env[MARKER] === undefined) return runUnder(pinned)
  console.error(
    `Syncline needs Node ${NEEDED} or newer; this is Node ${process.versions.node}.\n` +
      'Install it from https://nodejs.org, or add it to your project: npm install --save-dev node@24',
  )
  process.exitCode = 2
}

function runUnder(node) {
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, [MARKER]: '1' },
  })
  // The handlers also keep this process alive until the child has ended. Ctrl-C reaches both; the child counts it once.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('error', (error) => {
    console.error(`Node did not start (${node}): ${error.message}`)
    process.exit(2)
  })
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1)
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
    setTimeout(() => process.exit(128 + (constants.signals[signal] ?? 0)), 100)
  })
}
