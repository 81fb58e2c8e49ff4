import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type RunEvent, zeroCounts } from '../../core/run.ts'
import { describe as describeStep, ProgressLine } from './progress.ts'
import { runReporter } from './run-reporter.ts'
import type { Shell } from './shell.ts'

function fakeShell(options: { json?: boolean; columns?: number } = {}) {
  const out: string[] = []
  const err: string[] = []
  const shell: Shell = {
    terminal: {
      out: (line) => void out.push(line),
      err: (text) => void err.push(text),
      columns: options.columns ?? null,
      paint: (_style, text) => text,
    },
    json: options.json === true,
    config: undefined,
    folder: '/',
    environment: {},
  }
  return { shell, out, err }
}

const started: RunEvent = { event: 'run.started', sync: 'orders', run: 'r1' }
const finished = (over: Partial<Extract<RunEvent, { event: 'run.finished' }>> = {}): RunEvent => ({
  event: 'run.finished',
  sync: 'orders',
  run: 'r1',
  status: 'succeeded',
  durationMs: 1000,
  ...zeroCounts,
  ...over,
})
const refused = { code: 'CONNECTION_REFUSED', message: 'nobody listens on localhost:1', hint: 'start the server' }

test('people read one line per run, and why one failed', () => {
  const { shell, out } = fakeShell()
  const { emit } = runReporter(shell, { onlyNews: false })
  for (const event of [
    started,
    finished({ read: 1200, inserted: 1200 }),
    started,
    finished(),
    started,
    finished({ status: 'failed', error: refused }),
  ])
    emit(event)
  assert.deepEqual(out, [
    '✓ orders  1,200 read, 1,200 inserted in 1.0 s (1,200 rows/s)',
    '✓ orders  nothing changed in 1.0 s',
    '✗ failed orders  nothing changed in 1.0 s',
    '  CONNECTION_REFUSED: nobody listens on localhost:1',
    '  start the server',
  ])
})

test('machines read every event as one JSON line on stdout, and nothing else there', () => {
  const { shell, out, err } = fakeShell({ json: true })
  const { emit, log } = runReporter(shell, { onlyNews: false })
  const progress: RunEvent = {
    event: 'run.progress',
    sync: 'orders',
    run: 'r1',
    phase: 'copy',
    total: 5,
    ...zeroCounts,
    read: 3,
  }
  for (const event of [started, progress, finished({ read: 5, inserted: 5 })]) emit(event)
  log('a note')
  const lines = out.map((line) => JSON.parse(line))
  assert.deepEqual(
    lines.map((line) => line.event),
    ['run.started', 'run.progress', 'run.finished'],
  )
  const { event, sync, run, status, read, inserted, updated, deleted, unchanged, rejected, durationMs, ...rest } =
    lines[2]
  assert.deepEqual([event, sync, run, status, read, inserted], ['run.finished', 'orders', 'r1', 'succeeded', 5, 5])
  assert.deepEqual([updated, deleted, unchanged, rejected, durationMs], [0, 0, 0, 0, 1000])
  assert.deepEqual(rest, { lossy: 0, conflicts: 0 })
  assert.deepEqual(err, ['a note\n'])
})

test('watch tells of runs that changed something, of new failures, and of their end', () => {
  const { shell, out } = fakeShell()
  const { emit } = runReporter(shell, { onlyNews: true })
  const run = (over: Parameters<typeof finished>[0]) => {
    out.length = 0
    emit(started)
    emit(finished(over))
    return out.length
  }
  assert.equal(run({}), 0)
  assert.equal(run({ inserted: 1 }), 1)
  assert.equal(run({ status: 'failed', error: refused }), 3)
  assert.equal(run({ status: 'failed', error: refused }), 0)
  assert.equal(run({}), 1)
  assert.equal(run({}), 0)
})

test('on a terminal a line is drawn again and again, and taken away', () => {
  const { shell, err } = fakeShell({ columns: 200 })
  let now = 0
  const progress = new ProgressLine(shell, () => now)
  const step = (done: number) => progress.update({ sync: 'orders', phase: 'copy', done, total: 1000 })
  step(0)
  assert.deepEqual(err, [])
  now = 1000
  step(500)
  now = 1050
  step(600)
  assert.equal(err.length, 1)
  const bar = `[${'█'.repeat(12)}${' '.repeat(12)}]`
  assert.equal(err[0], `\r\x1b[2Korders  copy  ${bar}  50 %  500 of 1,000 rows  500 rows/s  1.0 s left`)
  progress.clear()
  assert.equal(err[1], '\r\x1b[2K')
})

test('elsewhere a plain line comes every two seconds', () => {
  const { shell, err } = fakeShell()
  let now = 0
  const progress = new ProgressLine(shell, () => now)
  for (now = 0; now <= 10_000; now += 100) progress.update({ sync: 'orders', phase: 'copy', done: now, total: 20_000 })
  assert.equal(err.length, 5)
  assert.equal(err[0], 'orders: copy, 2,000 of 20,000 rows, 1,000 rows/s, 18 s left\n')
  assert.equal(describeStep({ sync: 'a', phase: 'copy', done: 0, total: null }, 0), 'a: copy, 0 rows')
})
