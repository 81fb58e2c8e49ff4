/** A system whose connection an engine runs, and engines over it. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { z } from 'zod'
import { defineConnector } from '../../src/connectors/kit.ts'
import { Engine, type EngineConnection } from '../../src/index.ts'
import { eventually } from '../service/project.ts'

/** A system with an HTTP API: rows behind a token, and what happens to calls. */
export class Api implements AsyncDisposable {
  rows: unknown = [
    { id: 1, name: 'Ada' },
    { id: 2, name: 'Bo "the" boss' },
  ]
  calls = 0
  refuse = 0
  /** Answers wait for it. */
  held: Promise<void> = Promise.resolve()
  readonly #server = createServer(async (request, response) => {
    this.calls++
    await this.held
    if (this.refuse-- > 0) return response.writeHead(500).end('{}')
    if (request.headers.authorization !== 'Bearer canary-token') return response.writeHead(401).end('{}')
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(this.rows))
  })

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return this
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
  }
}

export const crm = defineConnector({
  name: 'crm',
  config: z.strictObject({ url: z.string(), token: z.string() }),
  limits: { concurrent: 2 },
  syncs: {
    contacts: {
      fields: { id: 'integer', name: 'text' },
      run: async ({ config }, { fetch }) => {
        const answer = await fetch(`${config.url}/contacts`, { headers: { authorization: `Bearer ${config.token}` } })
        if (!answer.ok) throw new Error(`the CRM answered ${answer.status}`)
        return z.array(z.record(z.string(), z.unknown())).parse(await answer.json())
      },
    },
    slow: {
      run: async (_connection, { signal, clock }) => {
        await clock.sleep(60_000, signal)
        return []
      },
    },
  },
  actions: (action) => ({
    greet: action({
      input: z.object({ name: z.string() }),
      output: z.object({ text: z.string() }),
      run: async (_connection, { name }) => ({ text: name === 'nobody' ? (5 as unknown as string) : `Hello ${name}` }),
    }),
    stuck: action({
      input: z.object({}),
      output: z.object({}),
      timeoutMs: 100,
      run: () => new Promise<never>(() => {}),
    }),
    flaky: action({
      input: z.object({ url: z.string() }),
      output: z.object({ status: z.number() }),
      retries: 3,
      run: async (_connection, { url }, { fetch }) => ({ status: (await fetch(url)).status }),
    }),
  }),
})

export const integration = { id: 'our-crm', connectorId: 'crm' }
export function connection(api: Api, over: Partial<EngineConnection> = {}): EngineConnection {
  return {
    id: 'acme',
    integrationId: 'our-crm',
    config: { url: api.url, token: 'canary-token' },
    activeSyncs: ['contacts'],
    ...over,
  }
}

/** `store`: a folder, or the URL of a store on a server. */
export function makeEngine(store: string, over: Partial<ConstructorParameters<typeof Engine>[0]> = {}): Engine {
  return new Engine({ connectors: [crm], store, minutesBetweenSyncs: 60, log: () => {}, ...over })
}

/** Lets a script anywhere import `syncline` from here. */
export function registerHere(): string {
  const url = new URL('../../package.json', import.meta.url).href
  const source = `import { registerHooks } from 'node:module'; registerHooks({ resolve: (name, context, next) => name.startsWith('syncline') ? next(name, { ...context, parentURL: ${JSON.stringify(url)} }) : next(name, context) })`
  return `data:text/javascript,${encodeURIComponent(source)}`
}

/** A new connection's syncs are due at once. */
export async function scheduledRunIsOver(engine: Engine): Promise<void> {
  await eventually(async () => {
    const jobs = await engine.getConnectionJobs('acme')
    return jobs.every(({ lastRun, nextRun }) => lastRun !== undefined && (nextRun?.getTime() ?? 0) > Date.now())
  }, 'the scheduled run')
}
