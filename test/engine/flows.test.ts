import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { defineConnector } from '../../src/connectors/kit.ts'
import { SyncError } from '../../src/core/error.ts'
import { Flows } from '../../src/engine/connections/flows.ts'
import { beginAuthorization, endAuthorization, TokenStore } from '../../src/engine/connections/oauth.ts'
import { StoreVault } from '../../src/engine/secrets/vault.ts'
import { readKeys } from '../../src/engine/secrets/vault-keys.ts'
import { Engine, type FlowSession } from '../../src/index.ts'
import { openMemoryStore } from '../../src/store/sqlite/store.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'

const folders: string[] = []
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** An authorization server and an API behind it, on a real socket: codes, verifiers and refresh tokens are good once. */
class Provider implements AsyncDisposable {
  refreshes = 0
  refused = 0
  /** A refresh is answered so much later than its token is spent. */
  slowMs = 0
  /** Milliseconds for which the next access tokens say they are good. */
  lifeMs = 3_600_000
  #codes = new Map<string, { readonly challenge: string; readonly redirect: string }>()
  #access = new Set<string>()
  #refresh = new Set<string>()
  #count = 0
  readonly #server = createServer((request, response) => {
    const answer = (status: number, body: unknown) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    if (request.url?.startsWith('/token') === true)
      return void bodyOf(request).then((form) => {
        const answered = this.#token(form)
        setTimeout(() => answer(...answered), form.get('grant_type') === 'refresh_token' ? this.slowMs : 0)
      })
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? ''
    if (!this.#access.has(token)) {
      this.refused++
      return answer(401, {})
    }
    answer(200, [{ id: 1, name: 'Ada' }])
  })

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return this
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** What a person does in the browser: agrees, and comes back with this address. */
  agree(authorizationUrl: string): string {
    const url = new URL(authorizationUrl)
    assert.equal(url.searchParams.get('code_challenge_method'), 'S256')
    const code = `code${++this.#count}`
    const redirect = url.searchParams.get('redirect_uri') ?? ''
    this.#codes.set(code, { challenge: url.searchParams.get('code_challenge') ?? '', redirect })
    return `${redirect}?code=${code}&state=${url.searchParams.get('state')}`
  }

  /** From now on no access token so far is taken. */
  revoke(): void {
    this.#access.clear()
  }

  revokeAll(): void {
    this.#access.clear()
    this.#refresh.clear()
  }

  #token(form: URLSearchParams): [number, unknown] {
    if (form.get('client_id') !== 'app' || form.get('client_secret') !== 'canary-app-secret')
      return [401, { error: 'invalid_client' }]
    if (form.get('grant_type') === 'refresh_token') {
      this.refreshes++
      return this.#refresh.delete(form.get('refresh_token') ?? '')
        ? [200, this.#issue()]
        : [400, { error: 'invalid_grant' }]
    }
    const code = form.get('code') ?? ''
    const known = this.#codes.get(code)
    this.#codes.delete(code)
    const challenge = createHash('sha256')
      .update(form.get('code_verifier') ?? '')
      .digest('base64url')
    if (known?.challenge !== challenge || known.redirect !== form.get('redirect_uri'))
      return [400, { error: 'invalid_grant' }]
    return [200, this.#issue()]
  }

  #issue(): unknown {
    const [access, refresh] = [`canary-access-${++this.#count}`, `canary-refresh-${this.#count}`]
    this.#access.add(access)
    this.#refresh.add(refresh)
    return { access_token: access, refresh_token: refresh, token_type: 'bearer', expires_in: this.lifeMs / 1000 }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
  }
}

async function bodyOf(request: IncomingMessage): Promise<URLSearchParams> {
  let text = ''
  for await (const chunk of request) text += String(chunk)
  return new URLSearchParams(text)
}

const app = z.object({ url: z.string(), clientId: z.string(), clientSecret: z.string() })
const crm = defineConnector({
  name: 'crm',
  config: z.object({ url: z.string().regex(/[^/]$/), account: z.string(), region: z.string() }),
  auth: (given) => {
    const { url, clientId, clientSecret } = app.parse(given)
    return {
      authorizationUrl: `${url}/authorize`,
      tokenUrl: `${url}/token`,
      clientId,
      clientSecret,
      scopes: ['read'],
      redirectUrl: 'https://app.example/back',
    }
  },
  flow: {
    steps: [
      {
        kind: 'form',
        name: 'account',
        title: 'Which account?',
        fields: z.object({ name: z.string().min(2), secret: z.string() }),
      },
      {
        kind: 'transform',
        name: 'region',
        run: (values) => (String((values.account as { name: string }).name).startsWith('eu') ? 'eu' : 'us'),
      },
      { kind: 'display', name: 'notice', text: ({ region }) => `Your data is in ${region}.` },
      { kind: 'oauth2', name: 'login', title: 'Log in' },
      {
        kind: 'http',
        name: 'ping',
        run: async (_values, { fetch }) => (await fetch('http://127.0.0.1:1/').catch(() => ({ status: 0 }))).status,
      },
      { kind: 'confirm', name: 'sure', text: 'Connect it?' },
    ],
    config: ({ account, region }) => ({ account: (account as { name: string }).name, region }),
  },
  syncs: {
    contacts: {
      fields: { id: 'integer', name: 'text' },
      run: async ({ config }, { fetch }) => {
        const answer = await fetch(`${config.url}/contacts`)
        if (!answer.ok) throw new Error(`answered ${answer.status}`)
        return z.array(z.looseObject({})).parse(await answer.json())
      },
    },
  },
})

function makeEngine(folder: string): Engine {
  return new Engine({ connectors: [crm], store: folder, minutesBetweenSyncs: 60, log: () => {} })
}

function integrationOf(provider: Provider) {
  return {
    id: 'our-crm',
    connectorId: 'crm',
    config: { url: provider.url, clientId: 'app', clientSecret: 'canary-app-secret' },
  }
}

/** Up to the login. */
async function toLogin(engine: Engine): Promise<FlowSession> {
  const { sessionId } = await engine.startFlowSession('our-crm')
  await engine.executeFlowStep(sessionId, { name: 'eu-acme', secret: 'canary-form' })
  return await engine.executeFlowStep(sessionId)
}

async function connect(engine: Engine, provider: Provider): Promise<string> {
  const login = await toLogin(engine)
  const sure = await engine.executeFlowStep(login.sessionId, { callbackUrl: provider.agree(login.step?.url ?? '') })
  assert.equal(sure.step?.kind, 'confirm', JSON.stringify(sure))
  const done = await engine.executeFlowStep(login.sessionId, { confirmed: true })
  assert.deepEqual([done.status, done.step], ['completed', null])
  return done.connectionId ?? ''
}

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'syncline-flow-'))
  folders.push(folder)
  return folder
}

describe('connecting an account', () => {
  test('step by step, over a restart in between, to a connection whose syncs run; no secret is in clear anywhere', async () => {
    await using provider = await new Provider().start()
    const folder = newFolder()
    const first = makeEngine(folder)
    await first.addIntegration(integrationOf(provider))
    const begun = await first.startFlowSession('our-crm')
    assert.deepEqual([begun.status, begun.step?.kind, begun.step?.title], ['waiting', 'form', 'Which account?'])
    assert.match(JSON.stringify(begun.step?.schema), /"name"/)
    const wrong = await first.executeFlowStep(begun.sessionId, { name: 'x' })
    assert.deepEqual([wrong.step?.name, wrong.errors?.length], ['account', 2])
    const notice = await first.executeFlowStep(begun.sessionId, { name: 'eu-acme', secret: 'canary-form' })
    assert.equal(notice.step?.text, 'Your data is in eu.')
    const state = stateOf(folder)
    for (const text of [...state, JSON.stringify(notice)]) assert.ok(!text.includes('canary'))
    await first.destroy()
    const engine = makeEngine(folder)
    try {
      await engine.addIntegration(integrationOf(provider))
      const login = await engine.executeFlowStep(begun.sessionId)
      const url = login.step?.url ?? ''
      assert.equal((await engine.getFlowSession(begun.sessionId)).step?.url, url)
      const back = provider.agree(url)
      const forged = await engine.executeFlowStep(begun.sessionId, {
        callbackUrl: back.replace(/state=.*/, 'state=another'),
      })
      assert.ok(forged.step?.kind === 'oauth2' && forged.errors?.length === 1)
      const sure = await engine.executeFlowStep(begun.sessionId, { callbackUrl: provider.agree(forged.step.url ?? '') })
      assert.equal(sure.step?.kind, 'confirm', JSON.stringify(sure))
      const done = await engine.executeFlowStep(begun.sessionId, { confirmed: true })
      assert.equal(done.status, 'completed')
      const again = await engine.executeFlowStep(begun.sessionId, { confirmed: true })
      assert.deepEqual([again.status, again.connectionId], ['completed', done.connectionId])
      assert.equal((await engine.getConnections()).length, 1)
      const result = await engine.executeSync(done.connectionId ?? '', 'contacts')
      assert.equal(result.success, true, result.error)
    } finally {
      await engine.destroy()
    }
  })

  test('a connection that is refused leaves no tokens; once it is taken, the same session has them', async () => {
    await using provider = await new Provider().start()
    await using kept = openMemoryStore()
    const vault = new StoreVault(kept.records, () => readKeys('', { SYNCLINE_VAULT_KEY: 'a'.repeat(64) }))
    const engine = new Engine({ connectors: [crm], store: newFolder(), minutesBetweenSyncs: 60, log: () => {}, vault })
    try {
      const integration = integrationOf(provider)
      await engine.addIntegration(integration)
      const login = await toLogin(engine)
      await engine.executeFlowStep(login.sessionId, { callbackUrl: provider.agree(login.step?.url ?? '') })
      await engine.updateIntegration({ ...integration, config: { ...integration.config, url: `${provider.url}/` } })
      const refused = await engine.executeFlowStep(login.sessionId, { confirmed: true })
      assert.deepEqual([refused.status, refused.errors?.length], ['waiting', 1])
      assert.deepEqual(
        (await vault.list()).filter((name) => name.startsWith('tokens/')),
        [],
      )
      await engine.updateIntegration(integration)
      const done = await engine.executeFlowStep(login.sessionId)
      assert.equal(done.status, 'completed', JSON.stringify(done))
      assert.equal((await engine.executeSync(done.connectionId ?? '', 'contacts')).success, true)
    } finally {
      await engine.destroy()
    }
  })

  test('what is not confirmed, and what is deleted or expired, leaves nothing behind', async () => {
    await using provider = await new Provider().start()
    const engine = makeEngine(newFolder())
    try {
      await engine.addIntegration(integrationOf(provider))
      const login = await toLogin(engine)
      const sure = await engine.executeFlowStep(login.sessionId, { callbackUrl: provider.agree(login.step?.url ?? '') })
      assert.equal(sure.errors, undefined)
      assert.equal((await engine.executeFlowStep(login.sessionId, { sure: 'yes' })).errors?.length, 1)
      assert.equal((await engine.executeFlowStep(login.sessionId, { confirmed: false })).status, 'cancelled')
      assert.deepEqual(await engine.getConnections(), [])
      const other = await toLogin(engine)
      await engine.deleteFlowSession(other.sessionId)
      await assert.rejects(engine.getFlowSession(other.sessionId), { code: 'FLOW_UNKNOWN' })
      await assert.rejects(engine.executeFlowStep('none'), { code: 'FLOW_UNKNOWN' })
    } finally {
      await engine.destroy()
    }
    await using store = openMemoryStore()
    const clock = new ManualClock(1_000_000)
    const keys = readKeys(join(newFolder(), 'vault.key'), {})
    const vault = new StoreVault(store.records, () => keys)
    const flow = { steps: [{ kind: 'form', name: 'a', fields: z.object({}) }], config: () => ({}) } as const
    const flows = new Flows({
      records: store.records,
      vault,
      clock,
      flowOf: () => ({ flow, oauth: null }),
      secretsOf: () => ['canary-of-the-app'],
      connect: async () => {},
      signal: new AbortController().signal,
    })
    const old = await flows.start('x')
    clock.set(1_000_000 + 31 * 60_000)
    await assert.rejects(flows.answer(old.sessionId, {}), { code: 'FLOW_UNKNOWN' })
    await flows.start('x')
    assert.equal((await vault.list()).length, 1)
  })
})

describe('hazard 20: tokens', () => {
  test('are refreshed before they expire, and on a 401, by one at a time', async () => {
    await using provider = await new Provider().start()
    provider.lifeMs = 30_000
    const engine = makeEngine(newFolder())
    try {
      await engine.addIntegration(integrationOf(provider))
      const id = await connect(engine, provider)
      provider.lifeMs = 3_600_000
      assert.equal((await engine.executeSync(id, 'contacts')).success, true)
      assert.equal(provider.refreshes, 1)
      assert.equal(provider.refused, 0)
      provider.revoke()
      assert.equal((await engine.executeSync(id, 'contacts')).success, true)
      assert.deepEqual([provider.refreshes, provider.refused], [2, 1])
      provider.revokeAll()
      const failed = await engine.executeSync(id, 'contacts')
      assert.match(failed.error ?? '', /are no longer taken. Connect the account anew/)
    } finally {
      await engine.destroy()
    }
  })

  test('point 5, hazard 41: whoever asked for a refresh is gone before its answer: the answer is kept', async () => {
    await using provider = await new Provider().start()
    await using it = await expiring(provider, 1)
    provider.slowMs = 300
    const stop = new AbortController()
    const asked = it.stores[0]?.sourceOf('c', it.settings).get(null, stop.signal)
    while (provider.refreshes === 0) await sleep(10)
    stop.abort(new SyncError('INTERRUPTED', 'stopped'))
    await assert.rejects(asked ?? Promise.resolve(), { code: 'INTERRUPTED' })
    const next = await it.stores[0]?.sourceOf('c', it.settings).get(null, new AbortController().signal)
    assert.deepEqual([provider.refreshes, next === it.tokens.accessToken], [1, false])
  })

  test('point 5, hazard 41: a process that stops while a token is refreshed keeps the answer', async () => {
    await using provider = await new Provider().start()
    const folder = newFolder()
    const engine = makeEngine(folder)
    await engine.addIntegration(integrationOf(provider))
    const id = await connect(engine, provider)
    provider.revoke()
    provider.slowMs = 300
    const asking = engine.executeSync(id, 'contacts')
    while (provider.refreshes === 0) await sleep(10)
    await engine.destroy()
    await asking
    const next = makeEngine(folder)
    try {
      await next.addIntegration(integrationOf(provider))
      assert.equal((await next.executeSync(id, 'contacts')).success, true)
      assert.equal(provider.refreshes, 1)
    } finally {
      await next.destroy()
    }
  })

  test('many who need a new one at the same time, in several processes, ask for it once', async () => {
    await using provider = await new Provider().start()
    await using it = await expiring(provider, 8)
    const signal = new AbortController().signal
    const got = await Promise.all(
      it.stores.flatMap((one) => [1, 2, 3].map(() => one.sourceOf('c', it.settings).get(null, signal))),
    )
    assert.equal(provider.refreshes, 1)
    assert.equal(new Set(got).size, 1)
    assert.notEqual(got[0], it.tokens.accessToken)
  })
})

/** Tokens of a connection `c` that are about to expire, in a store that so many processes share. */
async function expiring(provider: Provider, processes: number) {
  const store = openMemoryStore()
  const keys = readKeys(join(newFolder(), 'vault.key'), {})
  const vault = new StoreVault(store.records, () => keys)
  const settings = {
    authorizationUrl: `${provider.url}/authorize`,
    tokenUrl: `${provider.url}/token`,
    clientId: 'app',
    clientSecret: 'canary-app-secret',
    redirectUrl: 'https://app.example/back',
  }
  const begun = await beginAuthorization(settings)
  const callback = new URL(provider.agree(begun.url)).searchParams
  const tokens = await endAuthorization(settings, begun, callback, Date.now())
  const clock = { now: () => Date.now(), sleep: (ms: number, signal: AbortSignal) => sleep(ms, undefined, { signal }) }
  const stores = Array.from({ length: processes }, () => new TokenStore(vault, store.leases, clock))
  await stores[0]?.put('c', { ...tokens, expiresAt: Date.now() + 1000 })
  return { stores, settings, tokens, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() }
}

/** Every file of the engine's state, as text. */
function stateOf(folder: string): readonly string[] {
  return readdirSync(join(folder, '.syncline'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'))
}
