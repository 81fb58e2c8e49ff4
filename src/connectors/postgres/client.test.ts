import { once } from 'node:events'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { isError } from '../../testing/connector-target.ts'
import { connect } from './client.ts'

test('a server that accepts and never answers is told as one that does not answer', async (t) => {
  const server = createServer((socket) => void socket.on('error', () => {}))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const address = server.address()
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0
  await t.assert.rejects(connect({ host: '127.0.0.1', port, connectTimeoutMs: 50 }), isError('CONNECTION_REFUSED'))
})
