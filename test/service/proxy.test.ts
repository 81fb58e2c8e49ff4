import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Api } from './api.ts'
import { ServiceProject } from './project.ts'

const config = { connections: {}, syncs: {} }

/** The answers to wrong keys from these addresses, as a proxy on this machine tells them. */
async function answers(args: readonly string[], forwarded: readonly string[]): Promise<readonly number[]> {
  using it = new ServiceProject(config)
  const service = it.start('start', '--port', '0', ...args)
  await service.event('ready')
  const api = new Api(String(service.lines.find(({ event }) => event === 'ready')?.url), null)
  const found: number[] = []
  for (const address of forwarded)
    found.push((await api.call('GET', '/api/syncs', undefined, { 'x-forwarded-for': address })).status)
  service.kill('SIGINT')
  assert.equal((await service.end()).code, 0)
  return found
}

/** Each says of itself that it is somebody else: what the proxy adds comes last. */
const many = Array.from({ length: 25 }, (_, n) => `10.9.8.${n}, 203.0.113.7`)

test('wrong keys are counted per caller behind a trusted proxy, who can’t pass for another', async () => {
  for (const proxy of ['loopback', '127.0.0.0/8,::1', '1']) {
    const found = await answers(['--trust-proxy', proxy], [...many, '203.0.113.8'])
    assert.deepEqual([found.at(0), found.at(-2), found.at(-1)], [401, 429, 401], proxy)
  }
})

test('without one, and for other proxies than those, what the header says counts for nothing', async () => {
  for (const args of [[], ['--trust-proxy', '192.0.2.1']]) {
    const found = await answers(args, [...many, '203.0.113.8'])
    assert.deepEqual([found.at(0), found.at(-1)], [401, 429])
  }
  using it = new ServiceProject(config)
  for (const wrong of ['true', 'everybody', '10.0.0.0/33', '1.2.3', ''])
    assert.equal((await it.run('start', '--trust-proxy', wrong)).code, 2, wrong)
  using unset = new ServiceProject(config, { SYNCLINE_TRUST_PROXY: 'true' })
  const { code, stderr } = await unset.run('start', '--port', '0')
  assert.deepEqual([code, /SYNCLINE_TRUST_PROXY/.test(stderr)], [2, true])
})
