/** A service whose connections are made while it runs: by its API one is made, its rows are gathered, and an action is done. Takes about two seconds. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'

const tasks = [
  { id: 1, title: 'Milk', done: false },
  { id: 2, title: 'Call Ada', done: false },
]
const system = createServer((request, response) => {
  if (request.headers.authorization !== 'Bearer of-ada') return response.writeHead(401).end('{}')
  const id = /^\/tasks\/(\d+)\/done$/.exec(request.url ?? '')?.[1]
  const task = tasks.find((one) => one.id === Number(id))
  if (task !== undefined) task.done = true
  return response.end(JSON.stringify(task ?? tasks))
})
await new Promise<void>((resolve) => system.listen(0, '127.0.0.1', resolve))

const launcher = join(import.meta.dirname, '..', '..', 'bin', 'syncline.js')
const folder = mkdtempSync(join(tmpdir(), 'syncline-integrations-'))
const config = JSON.stringify(join(import.meta.dirname, 'syncline.config.ts'))
writeFileSync(join(folder, 'syncline.config.ts'), `export { default } from ${config}`)
writeFileSync(join(folder, '.env'), `TODO_URL=http://127.0.0.1:${(system.address() as AddressInfo).port}`)
const { stdout } = spawnSync(process.execPath, [launcher, 'keys', 'create', 'me', '--scope', 'admin'], { cwd: folder })
const service = spawn(process.execPath, [launcher, 'start', '--port', '0', '--json'], {
  cwd: folder,
  stdio: ['ignore', 'pipe', 'inherit'],
})
try {
  const url = await readyUrl()
  const call = async (method: string, path: string, body?: unknown) => {
    const headers = { authorization: `Bearer ${String(stdout).trim()}`, 'content-type': 'application/json' }
    const answer = await fetch(`${url}${path}`, { method, headers, body: JSON.stringify(body) ?? null })
    const text = await answer.text()
    console.log(`${method} ${path} ${answer.status} ${text.slice(0, 150)}`)
    return { status: answer.status, text }
  }
  const made = await call('POST', '/api/connections', { name: 'ada', integration: 'todo', config: { token: 'of-ada' } })
  assert.equal(made.status, 201)
  while (!(await call('GET', '/api/collections/ada/tasks')).text.includes('Milk')) await sleep(100)
  await call('POST', '/api/connections/ada/actions/finish', { input: { id: 1 } })
  const sync = { project_id: 'home', sync_type: 'pull', source_platform: 'todo', target_entity: 'tasks' }
  await call('POST', '/sync/start', sync)
  const rows = await call('GET', '/api/collections/ada/tasks/export?format=csv')
  assert.equal(rows.text, 'id,title,done\r\n1,Milk,true\r\n2,Call Ada,false\r\n')
} finally {
  service.kill('SIGINT')
  await once(service, 'exit')
  system.close()
  rmSync(folder, { recursive: true, force: true })
}

async function readyUrl(): Promise<string> {
  for await (const line of createInterface(service.stdout)) {
    const { event, url } = JSON.parse(line) as { readonly event: string; readonly url?: string }
    if (event !== 'ready' || url === undefined) continue
    // What comes after is nobody's concern here, but has to be read.
    service.stdout.resume()
    return url
  }
  throw new Error('the service ended before it was ready')
}
