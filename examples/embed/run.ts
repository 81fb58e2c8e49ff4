/** The engine in a program of one's own: a connector for a small API, its rows gathered again and again, an action. Takes about a second. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Engine } from 'syncline'
import { defineConnector } from 'syncline/connector'
import { z } from 'zod'

const tasks = [
  { id: 1, title: 'Milk', done: false },
  { id: 2, title: 'Call Ada', done: false },
]
const api = createServer((request, response) => {
  const id = /^\/tasks\/(\d+)\/done$/.exec(request.url ?? '')?.[1]
  const task = tasks.find((one) => one.id === Number(id))
  if (task !== undefined) task.done = true
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(task ?? tasks))
})
await new Promise<void>((resolve) => api.listen(0, '127.0.0.1', resolve))
const url = `http://127.0.0.1:${(api.address() as AddressInfo).port}`

const todo = defineConnector({
  name: 'todo',
  config: z.strictObject({ url: z.string() }),
  limits: { perSecond: 20, concurrent: 2 },
  syncs: {
    tasks: {
      fields: { id: 'integer', title: 'text', done: 'boolean' },
      run: async ({ config }, { fetch }) => {
        const answer = await fetch(`${config.url}/tasks`)
        return z.array(z.looseObject({ id: z.number() })).parse(await answer.json())
      },
    },
  },
  actions: (action) => ({
    finish: action({
      input: z.object({ id: z.number() }),
      output: z.object({ done: z.boolean() }),
      run: async ({ config }, { id }, { fetch }) => {
        const answer = await fetch(`${config.url}/tasks/${id}/done`, { method: 'POST' })
        return z.object({ done: z.boolean() }).parse(await answer.json())
      },
    }),
  }),
})

const folder = mkdtempSync(join(tmpdir(), 'syncline-embed-'))
const engine = new Engine({ connectors: [todo], store: folder, minutesBetweenSyncs: 15 })
try {
  engine.subscribe((event) => {
    if (event.event === 'run.finished')
      console.log(`${event.sync} ${event.status}: ${event.inserted} inserted, ${event.updated} updated`)
  })
  await engine.addIntegration({ id: 'our-todo', connectorId: 'todo' })
  await engine.addConnection({ id: 'home', integrationId: 'our-todo', config: { url } })
  assert.equal((await engine.executeSync('home', 'tasks')).success, true)
  console.log((await engine.executeAction('home', 'finish', { id: 1 })).data)
  assert.equal((await engine.executeSync('home', 'tasks')).success, true)
  const { rows } = await engine.getRows('home', 'tasks')
  console.log(rows)
  assert.deepEqual(
    rows.map(({ done }) => done),
    [true, false],
  )
} finally {
  await engine.destroy()
  api.close()
  rmSync(folder, { recursive: true, force: true })
}
