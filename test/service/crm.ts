/** A system with an HTTP API behind a token, and a config whose integration connects to it. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/** Never to be seen but by the system. */
export const CANARY = 'canary-token-5f1c'
export const APP_CANARY = 'canary-app-93ab'

export class Crm implements AsyncDisposable {
  contacts: readonly object[] = [
    { id: 1, name: 'Ada' },
    { id: 2, name: 'Bo, "the" boss' },
    { id: 3, name: 'Cy' },
  ]
  readonly greeted: string[] = []
  readonly #server = createServer((request, response) => {
    const answer = (status: number, body: unknown) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    if (request.headers.authorization !== `Bearer ${CANARY}`) return answer(401, {})
    const name = /^\/greet\/(.+)$/.exec(request.url ?? '')?.[1]
    if (name === undefined) return answer(200, this.contacts)
    this.greeted.push(name)
    return answer(200, { text: `Hello ${name}` })
  })

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return this
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** `more` goes into defineConfig. */
  config(more = ''): string {
    return `
import { defineConfig } from 'syncline'
import { defineConnector } from 'syncline/connector'
import { sqlite } from 'syncline/sqlite'
import { z } from ${JSON.stringify(import.meta.resolve('zod'))}
const call = async ({ config }, path, { fetch }) => {
  const answer = await fetch(config.url + path, { headers: { authorization: 'Bearer ' + config.token } })
  if (!answer.ok) throw new Error('the CRM answered ' + answer.status + ' to ' + config.token)
  return await answer.json()
}
const acme = defineConnector({
  name: 'acme',
  config: z.strictObject({ url: z.string(), app: z.string(), token: z.string() }),
  syncs: {
    contacts: { fields: { id: 'integer', name: 'text' }, run: (connection, context) => call(connection, '/contacts', context) },
    deals: { run: () => [] },
  },
  actions: (action) => ({
    greet: action({
      input: z.object({ name: z.string() }),
      output: z.object({ text: z.string() }),
      run: (connection, { name }, context) => call(connection, '/greet/' + name, context),
    }),
    break: action({ input: z.object({}), output: z.object({}), run: () => { throw new Error('it broke') } }),
    count: action({ input: z.object({}), output: z.bigint(), run: async (connection, _input, context) => { await call(connection, '/greet/counted', context); return 12345678901234567890n } }),
    secretly: action({ input: z.object({}), output: z.object({}), run: async () => ({}) }),
  }),
  check: async (connection, context) => void (await call(connection, '/contacts', context)),
  webhook: ({ token }, { headers }) => (headers['x-token'] === token ? { id: headers['x-id'], atMs: Date.now() } : null),
  flow: {
    steps: [
      { kind: 'form', name: 'login', fields: z.object({ token: z.string().min(3) }) },
      { kind: 'confirm', name: 'sure', text: 'Connect it?' },
    ],
    config: ({ login }) => login,
  },
})
export default defineConfig({
  connections: { shop: sqlite({ file: './shop.db' }), copy: sqlite({ file: './copy.db' }), crm: sqlite({ file: './crm.db' }) },
  syncs: { orders: { from: 'shop.orders', to: 'copy', schedule: 'manual' } },
  projects: { red: ['shop', 'copy'], blue: ['crm', 'copy'] },
  connectors: [acme],
  integrations: {
    ours: {
      connector: 'acme',
      config: { url: ${JSON.stringify(this.url)}, app: ${JSON.stringify(APP_CANARY)} },
      syncs: ['contacts'],
      actions: ['greet', 'break', 'count'],
      minutesBetweenSyncs: 60,
    },
    pushed: {
      connector: 'acme',
      config: { url: ${JSON.stringify(this.url)}, app: ${JSON.stringify(APP_CANARY)} },
      syncs: ['contacts'],
      schedules: { contacts: 'webhook' },
    },
  },
  ${more}
})`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
  }
}
