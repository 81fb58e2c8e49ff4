import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { describe, test } from 'node:test'
import { createDatabase } from '../tools/database.ts'

const program = join(import.meta.dirname, 'hazards', 'run-and-end.ts')
/** Far more than it takes to close everything, and less than any connection's own time-out. */
const LINGERS_MS = 5_000

describe('hazard 28: a process that is done ends by itself', () => {
  for (const [how, told] of [
    ['succeeded', /^succeeded /],
    ['failed', /^failed COLLECTION_UNKNOWN/],
    ['interrupted', /^interrupted INTERRUPTED/],
    ['terminated', /^(succeeded|failed CONNECTION_LOST)/],
  ] as const) {
    test(`hazard 28: after a run that ${how === 'terminated' ? 'lost its connection' : `is ${how}`}`, async () => {
      await using database = await createDatabase()
      const child = spawn(
        process.execPath,
        ['--conditions=syncline-source', '--disable-warning=ExperimentalWarning', program, how, database.url],
        { stdio: ['ignore', 'pipe', 'inherit'] },
      )
      const output = text(child.stdout)
      let lingers = false
      let timer: NodeJS.Timeout | undefined
      child.stdout.once('data', () => {
        timer = setTimeout(() => {
          lingers = true
          child.kill('SIGKILL')
        }, LINGERS_MS)
      })
      const [code] = await once(child, 'exit')
      clearTimeout(timer)
      assert.ok(!lingers, 'something kept the process alive')
      assert.match(await output, told)
      assert.equal(code, 0)
    })
  }
})
