import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { isError } from '../../testing/connector-target.ts'
import { connect } from './client.ts'
import { clientOptions } from './options.ts'

test('a server that accepts and never answers is told as one that does not answer', async (t) => {
  const server = createServer((socket) => void socket.on('error', () => {}))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const address = server.address()
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0
  await t.assert.rejects(connect({ host: '127.0.0.1', port, connectTimeoutMs: 50 }), isError('CONNECTION_REFUSED'))
})

test('without the environment the driver gets nothing from it', async (t) => {
  const sent: string[] = []
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', (data) => {
      sent.push(data.toString('latin1'))
      // It asks for the password in clear text, and then leaves.
      if (sent.length === 1) socket.write(Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 3]))
      else socket.end()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const address = server.address()
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0
  const folder = mkdtempSync(join(tmpdir(), 'syncline-pgpass-'))
  t.after(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'pass'), '*:*:*:*:canary\n', { mode: 0o600 })
  const names = [
    'USER',
    'PASSWORD',
    'DATABASE',
    'OPTIONS',
    'APPNAME',
    'SSLNEGOTIATION',
    'REPLICATION',
    'CLIENT_ENCODING',
    'BINARY',
  ]
  const environment: Readonly<Record<string, string>> = {
    ...Object.fromEntries(names.map((name) => [`PG${name}`, 'canary'])),
    ...{ PGHOST: 'canary.invalid', PGPORT: '1', PGSSLMODE: 'require', PGPASSFILE: join(folder, 'pass') },
  }
  t.after(() => Object.keys(environment).map((name) => delete process.env[name]))
  Object.assign(process.env, environment)
  for (const config of [
    { host: '127.0.0.1', port, user: 'ada', password: 'own', database: 'shop' },
    { url: `postgres://ada:own@127.0.0.1:${port}/shop` },
  ]) {
    sent.length = 0
    await t.assert.rejects(connect({ ...config, environment: false, connectTimeoutMs: 5000 }))
    t.assert.equal(sent.length, 2)
    t.assert.match(sent.join(''), /user\0ada\0.*database\0shop\0.*own\0/)
    t.assert.doesNotMatch(sent.join(''), /canary/)
  }
  // Port 5432, whatever PGPORT says.
  for (const config of [
    { host: '127.0.0.1', user: 'ada', password: 'own', database: 'shop' },
    { url: 'postgres://ada:own@127.0.0.1/shop' },
  ])
    t.assert.equal(clientOptions({ ...config, environment: false, connectTimeoutMs: 1 }).port, 5432)
})

for (const [what, answer, code] of [
  ['refuses TLS', (told: number) => (told === 0 ? [0x4e] : null), 'TLS_FAILED'],
  // It lets the client in, and is ready for a query.
  [
    'lets in',
    (told: number) => (told === 0 ? [0x52, 0, 0, 0, 8, 0, 0, 0, 0, 0x5a, 0, 0, 0, 5, 0x49] : null),
    'CONNECTION_REFUSED',
  ],
] as const)
  test(`a server that ${what} and never hangs up is not waited for`, { timeout: 30_000 }, async (t) => {
    const sockets: Socket[] = []
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      let told = 0
      sockets.push(socket)
      socket.on('error', () => {})
      socket.on('data', () => {
        const bytes = answer(told++)
        if (bytes !== null) socket.write(Buffer.from(bytes))
      })
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.after(() => {
      for (const socket of sockets) socket.destroy()
      server.close()
    })
    const address = server.address()
    const port = typeof address === 'object' ? (address?.port ?? 0) : 0
    const config = {
      host: '127.0.0.1',
      port,
      user: 'u',
      password: 'p',
      tls: code === 'TLS_FAILED',
      connectTimeoutMs: 200,
    }
    await t.assert.rejects(connect(config), isError(code))
  })
