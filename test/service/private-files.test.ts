import assert from 'node:assert/strict'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Crm } from './crm.ts'
import { gathered, made } from './gathered-tests.ts'
import { Served } from './served.ts'

test('what a project keeps is its owner’s alone', { skip: process.platform === 'win32' }, async () => {
  await using crm = await new Crm().start()
  await using it = new Served({ config: crm.config() })
  const api = await it.ready()
  assert.equal((await api.post('/api/connections', made)).status, 201)
  await gathered(api, 'acme')
  const home = join(it.project.folder, '.syncline')
  const open = (path: string) => (statSync(path).mode & 0o077) !== 0
  assert.deepEqual([home, join(home, 'collections')].filter(open), [])
  const files = readdirSync(home, { recursive: true, encoding: 'utf8' }).filter((name) => !name.endsWith('.gitignore'))
  assert.ok(files.some((name) => name.startsWith('state.db')) && files.some((name) => /^collections.*\.db$/.test(name)))
  assert.deepEqual(
    files.filter((name) => open(join(home, name))),
    [],
  )
})
