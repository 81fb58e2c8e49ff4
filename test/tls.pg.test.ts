import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Context } from '../src/connectors/connector.ts'
import type { PostgresOptions } from '../src/connectors/postgres/config.ts'
import { postgres } from '../src/connectors/postgres/index.ts'
import { temporaryFolder } from '../tools/database.ts'
import { startPostgres } from '../tools/postgres.ts'
import { binariesOf } from '../tools/postgres-binaries.ts'

const context: Context = {
  signal: new AbortController().signal,
  clock: { now: () => 0, sleep: async () => {} },
  random: () => 0,
  log: () => {},
}

function hasOpenssl(): boolean {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

test('a server certificate is trusted by its authority, or not at all', {
  skip: hasOpenssl() ? false : 'openssl is not installed',
}, async () => {
  await using folder = await temporaryFolder()
  const [key, certificate] = [join(folder.path, 'server.key'), join(folder.path, 'server.crt')]
  const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost']
  execFileSync('openssl', [...request, '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', certificate], {
    stdio: 'ignore',
  })
  const { account } = await binariesOf('embedded')
  chmodSync(folder.path, 0o755)
  chmodSync(key, 0o600)
  if ('uid' in account) chownSync(key, account.uid, account.gid)
  await using server = await startPostgres({ settings: { ssl: 'on', ssl_cert_file: certificate, ssl_key_file: key } })
  const connect = async (tls: PostgresOptions['tls']) => {
    const config = postgres.config.parse({ url: server.url, tls })
    await using connection = await postgres.open(config, context)
    return await connection.discover()
  }
  await assert.doesNotReject(() => connect({ ca: certificate }))
  await assert.doesNotReject(() => connect({ rejectUnauthorized: false }))
  await assert.rejects(() => connect(true), { code: 'TLS_FAILED' })
  await assert.rejects(() => connect({ ca: join(tmpdir(), 'there is no such file') }), { code: 'FILE_UNUSABLE' })
})
