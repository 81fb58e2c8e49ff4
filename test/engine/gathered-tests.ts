/** What syncs of connections gather, on whatever store: told as tests, as the store decides where the rows are. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Api, connection, integration, makeEngine, registerHere, scheduledRunIsOver } from './world.ts'

/** A place for one engine after the other. */
export interface Home extends AsyncDisposable {
  /** As an engine is given it. */
  readonly store: string
  /** Its own, on this machine. */
  readonly folder: string
  /** Within this a run is over that took over from a killed one. */
  readonly withinMs: number
}

export function gatheredTests(name: string, makeHome: () => Promise<Home>): void {
  describe(`rows gathered on ${name}`, () => {
    test('a connection’s sync gathers rows, again what has changed, and tells counts', async () => {
      await using home = await makeHome()
      await using api = await new Api().start()
      const engine = makeEngine(home.store, { folder: home.folder })
      try {
        await engine.addIntegration(integration)
        await engine.addConnection(connection(api))
        await scheduledRunIsOver(engine)
        const first = await engine.executeSync('acme', 'contacts')
        assert.equal(first.success, true, first.error)
        assert.ok(first.timestamp instanceof Date && first.executionTime >= 0)
        assert.deepEqual((await engine.getRows('acme', 'contacts')).rows, [
          { id: 1, name: 'Ada' },
          { id: 2, name: 'Bo "the" boss' },
        ])
        api.rows = [{ id: 2, name: 'Bo' }, { id: 3 }]
        const second = await engine.executeSync('acme', 'contacts')
        assert.deepEqual(second.data, { read: 2, inserted: 1, updated: 1, deleted: 1, unchanged: 0, rejected: 0 })
        const text = async (format: 'csv' | 'jsonl') =>
          (await Array.fromAsync(engine.exportRows('acme', 'contacts', format))).join('')
        assert.equal(await text('csv'), 'id,name\r\n2,Bo\r\n3,\r\n')
        assert.equal(await text('jsonl'), '{"id":2,"name":"Bo"}\n{"id":3,"name":null}\n')
      } finally {
        await engine.destroy()
      }
    })

    test('hazard 6: an empty answer deletes nothing, and the result says why', async () => {
      await using home = await makeHome()
      await using api = await new Api().start()
      const engine = makeEngine(home.store, { folder: home.folder })
      try {
        await engine.addIntegration(integration)
        await engine.addConnection(connection(api))
        await scheduledRunIsOver(engine)
        await engine.executeSync('acme', 'contacts')
        api.rows = []
        const result = await engine.executeSync('acme', 'contacts')
        assert.equal(result.success, false)
        assert.match(result.error ?? '', /more than its guard allows; nothing was deleted/)
        assert.equal((await engine.getRows('acme', 'contacts')).rows.length, 2)
      } finally {
        await engine.destroy()
      }
    })

    test('rows come page by page, by what the last page said', async () => {
      await using home = await makeHome()
      await using api = await new Api().start()
      api.rows = Array.from({ length: 25 }, (_, id) => ({ id, name: `n${id}` }))
      const engine = makeEngine(home.store, { folder: home.folder })
      try {
        await engine.addIntegration(integration)
        await engine.addConnection(connection(api))
        await engine.executeSync('acme', 'contacts')
        const ids: unknown[] = []
        let after: string | undefined
        for (let pages = 0; pages < 10; pages++) {
          const page = await engine.getRows('acme', 'contacts', {
            limit: 10,
            ...(after === undefined ? {} : { after }),
          })
          ids.push(...page.rows.map(({ id }) => id))
          if (page.next === null) break
          after = page.next
        }
        assert.deepEqual(
          ids,
          Array.from({ length: 25 }, (_, id) => id),
        )
        await assert.rejects(engine.getRows('acme', 'contacts', { after: '%%%' }), { code: 'USAGE_INVALID' })
        await assert.rejects(engine.getRows('acme', 'slow'), { code: 'COLLECTION_UNKNOWN' })
      } finally {
        await engine.destroy()
      }
    })

    test('hazard 28: after destroy() the process ends by itself; killed with -9 in a sync, the next goes on', async () => {
      await using home = await makeHome()
      const run = gathering(
        home,
        'for (let id = 0; id < 20; id++) { yield [{ id }]; await clock.sleep(pauseMs, signal) }',
      )
      await assert.rejects(run(200, 2000).ended)
      await sleep(100)
      const { stdout } = await run(1, home.withinMs).ended
      assert.equal(stdout.trim(), 'true 20')
    })
  })
}

interface Started {
  readonly child: ChildProcess
  /** What it printed: whether its sync succeeded, and how many rows there are on the first page. */
  readonly ended: Promise<{ readonly stdout: string }>
}

/** A process that gathers once what `listing` yields, and prints what came of it. It is killed after `withinMs`. */
export function gathering({ folder, store }: Home, listing: string): (pauseMs: number, withinMs: number) => Started {
  const script = join(folder, 'embed.ts')
  const options = JSON.stringify({ store, folder, minutesBetweenSyncs: 0.01 })
  writeFileSync(
    script,
    `import { Engine } from 'syncline'
     import { defineConnector } from 'syncline/connector'
     import { z } from ${JSON.stringify(import.meta.resolve('zod'))}
     const pauseMs = Number(process.argv[2])
     const list = defineConnector({ name: 'list', config: z.object({}), syncs: {
       a: { fields: { id: 'integer' }, run: async function* (_c, { clock, signal }) { ${listing} } } } })
     const engine = new Engine({ connectors: [list], ...${options} })
     await engine.addIntegration({ id: 'i', connectorId: 'list' })
     if ((await engine.getConnection('c')) === undefined) await engine.addConnection({ id: 'c', integrationId: 'i', config: {} })
     const { success } = await engine.executeSync('c', 'a')
     const { rows } = await engine.getRows('c', 'a')
     console.log(success, rows.length)
     await engine.destroy()`,
  )
  const flags = ['--conditions=syncline-source', '--disable-warning=ExperimentalWarning', '--import', registerHere()]
  const cwd = join(import.meta.dirname, '..', '..')
  return (pauseMs, timeout) => {
    const args = [...flags, script, String(pauseMs)]
    const ended = promisify(execFile)(process.execPath, args, { timeout, killSignal: 'SIGKILL', cwd })
    return { child: ended.child, ended }
  }
}
