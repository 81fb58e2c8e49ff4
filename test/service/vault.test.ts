import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { ServiceProject } from './project.ts'

const program = join(import.meta.dirname, '..', '..', 'bin', 'syncline.js')
/** What must never be seen anywhere in clear. It is a file's name, so that the connector uses it. */
const CANARY = 'canary-7f3a91.db'

const config = {
  connections: {
    shop: { connector: 'sqlite', file: { secret: 'SHOP_FILE' } },
    copy: { connector: 'sqlite', file: './copy.db' },
  },
  syncs: { all: { from: 'shop.t', to: 'copy' } },
}

function vault(it: ServiceProject, args: readonly string[], input = '', environment: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, 'vault', ...args], {
    cwd: it.folder,
    input,
    encoding: 'utf8',
    env: { ...process.env, NODE_OPTIONS: '', ...environment },
  })
  return { status, stdout, stderr }
}

/** Every byte of the project's state, as text. */
function stateOf(it: ServiceProject): string {
  const home = join(it.folder, '.syncline')
  return readdirSync(home)
    .map((name) => readFileSync(join(home, name), 'latin1'))
    .join('\n')
}

describe('the vault', () => {
  test('hazard 26: a secret is used, and is nowhere in clear: not in the state, nor in what any command prints', async () => {
    using it = new ServiceProject(config)
    const missing = await it.run('run')
    assert.equal(missing.code, 2)
    assert.match(missing.stderr, /the vault has no secret SHOP_FILE; put it there with: syncline vault set SHOP_FILE/)
    it.change(CANARY, 'create table t (id integer primary key, v text); insert into t values (1, null)')
    assert.equal(vault(it, ['set', 'SHOP_FILE'], `./${CANARY}\n`).status, 0)
    assert.equal(statSync(join(it.folder, '.syncline', 'vault.key')).mode & 0o777, 0o600)
    const outputs: string[] = []
    for (const command of ['run', 'plan', 'verify', 'status', 'history', 'jobs']) {
      const { code, lines, stderr } = await it.run(command)
      assert.equal(code, 0, `${command}: ${stderr}`)
      outputs.push(JSON.stringify(lines), stderr)
    }
    outputs.push(vault(it, ['list']).stdout, stateOf(it))
    for (const output of outputs) assert.ok(!output.includes(CANARY))
  })

  test('after a rotation secrets are there under a new key; without the key nothing opens them', async () => {
    using it = new ServiceProject(config)
    it.change(CANARY, 'create table t (id integer primary key)')
    vault(it, ['set', 'SHOP_FILE'], `./${CANARY}`)
    const keyPath = join(it.folder, '.syncline', 'vault.key')
    const before = readFileSync(keyPath, 'utf8')
    assert.match(vault(it, ['rotate']).stdout, /1 secret put under the new key/)
    const after = readFileSync(keyPath, 'utf8')
    assert.notEqual(after, before)
    assert.deepEqual(after.trim().split('\n').slice(1), [before.trim()], 'the key before stays until the next rotation')
    assert.equal((await it.run('run')).code, 0)
    const { status, stderr } = vault(it, ['rotate'], '', { SYNCLINE_VAULT_KEY: 'a'.repeat(64) })
    assert.equal(status, 1)
    assert.match(stderr, /was sealed with key \w+, which is not there/)
  })

  test('names are listed and removed, and mistakes are told', () => {
    using it = new ServiceProject(config)
    assert.match(vault(it, ['list']).stdout, /the vault is empty/)
    vault(it, ['set', 'B'], 'x')
    vault(it, ['set', 'a/token'], 'y')
    assert.deepEqual(vault(it, ['list']).stdout.trim().split('\n'), ['B', 'a/token'])
    assert.equal(vault(it, ['remove', 'B']).status, 0)
    assert.equal(vault(it, ['remove', 'B']).status, 2)
    assert.equal(vault(it, ['set', '../x'], 'y').status, 2)
    assert.equal(vault(it, ['set', 'EMPTY'], '').status, 2)
  })
})
