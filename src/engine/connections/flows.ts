/** Connect sessions: a person answers step by step, and a connection comes of it. Resumable, expiring, and finished once. */
import { randomBytes, randomUUID } from 'node:crypto'
import { z } from 'zod'
import type { Clock } from '../../connectors/connector.ts'
import type { Flow, FlowStep, OAuth } from '../../connectors/kit.ts'
import { asSyncError, SyncError } from '../../core/error.ts'
import { allRecords } from '../../store/all-records.ts'
import type { RecordStore } from '../../store/records.ts'
import { redact, secretsIn } from '../secrets/redact.ts'
import type { Vault } from '../secrets/vault.ts'
import { beginAuthorization, endAuthorization, type Tokens } from './oauth.ts'

/** How a session stands, as a person sees it. Holds nothing that they entered. */
export interface FlowSession {
  readonly sessionId: string
  readonly integrationId: string
  readonly status: 'waiting' | 'completed' | 'cancelled'
  /** What is to be answered next; null when it is over. */
  readonly step: FlowView | null
  /** Why the last answer did not do. */
  readonly errors?: readonly string[]
  readonly connectionId?: string
  readonly expiresAt: Date
}

/** A step as it is shown. */
export interface FlowView {
  readonly kind: FlowStep['kind']
  readonly name: string
  readonly title?: string
  readonly text?: string
  /** Of a form: JSON Schema of its fields. */
  readonly schema?: unknown
  /** Of oauth2: where the person is sent. */
  readonly url?: string
}

export interface FlowDependencies {
  readonly records: RecordStore
  readonly vault: Vault
  readonly clock: Clock
  /** Of an integration, as it is now. */
  readonly flowOf: (integrationId: string) => { readonly flow: Flow; readonly oauth: OAuth | null }
  /** Keeps the connection; made twice with one id, the second time changes nothing. */
  readonly connect: (
    connection: {
      readonly id: string
      readonly integrationId: string
      readonly config: Readonly<Record<string, unknown>>
      readonly project: string | null
    },
    tokens: Tokens | null,
  ) => Promise<void>
  /** Of an integration: what no answer may say. */
  readonly secretsOf: (integrationId: string) => readonly string[]
  readonly signal: AbortSignal
}

const KIND = 'flow'
const EXPIRES_MS = 30 * 60_000
const HTTP_MS = 30_000

/** In the record: nothing secret. */
const body = z.object({
  integrationId: z.string(),
  status: z.enum(['waiting', 'completed', 'cancelled']),
  at: z.number(),
  connectionId: z.string(),
  /** Whose the connection will be; null: nobody's in particular. */
  project: z.string().nullable().default(null),
  /** Where in the vault what was entered is: by each answer under a new name, so that of two answers neither is kept over the other. */
  secret: z.string().exactOptional(),
})
/** In the vault, as long as the session waits. */
const kept = z.object({
  values: z.record(z.string(), z.unknown()),
  begun: z.object({ url: z.string(), state: z.string(), verifier: z.string() }).nullable(),
})
type Kept = z.output<typeof kept>

interface State extends z.output<typeof body> {
  readonly sessionId: string
  readonly secret: string
  readonly version: number
  readonly expiresAt: number
}

export class Flows {
  readonly #needs: FlowDependencies

  constructor(needs: FlowDependencies) {
    this.#needs = needs
  }

  /** Begins at the first step that waits for a person. FLOW_UNKNOWN: the connector has no flow. */
  async start(integrationId: string, project: string | null = null): Promise<FlowSession> {
    const { records, clock, flowOf } = this.#needs
    flowOf(integrationId)
    await this.#sweep()
    const sessionId = randomBytes(16).toString('hex')
    const state: State = {
      sessionId,
      integrationId,
      status: 'waiting',
      at: 0,
      connectionId: randomUUID(),
      project,
      secret: newName(sessionId),
      version: 1,
      expiresAt: clock.now() + EXPIRES_MS,
    }
    await this.#keep(state, { values: {}, begun: null })
    await records.put(recordOf(state), 0)
    return await this.#goOn(state, { values: {}, begun: null })
  }

  /** Answers the step that waits. What does not do is told in `errors`, and the step waits on. FLOW_UNKNOWN: there is no such session, or it has expired. */
  async answer(sessionId: string, input: unknown): Promise<FlowSession> {
    const state = await this.#find(sessionId)
    if (state.status !== 'waiting') return await this.#view(state, null)
    const secret = await this.#secretOf(state)
    const step = this.#steps(state)[state.at]
    if (step === undefined) return await this.#goOn(state, secret)
    const answered = await this.#take(step, state, secret, input)
    if (answered.kind === 'refused') return await this.#view(state, secret, answered.errors)
    if (answered.kind === 'cancelled') {
      const cancelled = await this.#move(state, { status: 'cancelled' })
      await this.#forget(sessionId)
      return await this.#view(cancelled, null)
    }
    const next = { values: { ...secret.values, [step.name]: answered.value }, begun: null }
    return await this.#goOn(await this.#pass(state, next), next)
  }

  /** Whose the connection will be; null: nobody's in particular. FLOW_UNKNOWN. */
  async projectOf(sessionId: string): Promise<string | null> {
    return (await this.#find(sessionId)).project
  }

  async get(sessionId: string): Promise<FlowSession> {
    const state = await this.#find(sessionId)
    return await this.#view(state, state.status === 'waiting' ? await this.#secretOf(state) : null)
  }

  async delete(sessionId: string): Promise<void> {
    await this.#needs.records.delete(KIND, sessionId)
    await this.#forget(sessionId)
  }

  /** Runs what runs by itself, up to the next step that waits for a person, or to the end. */
  async #goOn(state: State, secret: Kept): Promise<FlowSession> {
    let [now, known] = [state, secret]
    for (;;) {
      const step = this.#steps(now)[now.at]
      if (step === undefined) return await this.#finish(now, known)
      if (step.kind !== 'http' && step.kind !== 'transform') {
        const begun =
          step.kind === 'oauth2' && known.begun === null ? await beginAuthorization(this.#oauth(now)) : known.begun
        if (begun !== known.begun) await this.#keep(now, { ...known, begun })
        return await this.#view(now, { ...known, begun })
      }
      const value = await this.#runStep(step, known).catch(asSyncError)
      // It is tried again when the session is asked to go on.
      if (value instanceof SyncError) return await this.#view(now, known, [this.#textOf(value, now, known)])
      known = { values: { ...known.values, [step.name]: value }, begun: null }
      now = await this.#pass(now, known)
    }
  }

  async #finish(state: State, { values }: Kept): Promise<FlowSession> {
    const { flow } = this.#needs.flowOf(state.integrationId)
    const login = flow.steps.find(({ kind }) => kind === 'oauth2')
    const tokens = login === undefined ? null : (values[login.name] as Tokens)
    try {
      const { connectionId: id, integrationId, project } = state
      await this.#needs.connect({ id, integrationId, project, config: flow.config(values) }, tokens)
    } catch (error) {
      const text = this.#textOf(asSyncError(error), state, { values, begun: null })
      return await this.#view(state, { values, begun: null }, [text])
    }
    const done = await this.#move(state, { status: 'completed' })
    await this.#forget(state.sessionId)
    return await this.#view(done, null)
  }

  async #take(step: FlowStep, state: State, secret: Kept, input: unknown): Promise<Answered> {
    switch (step.kind) {
      case 'form': {
        const parsed = step.fields.safeParse(input)
        if (parsed.success) return { kind: 'taken', value: parsed.data }
        return {
          kind: 'refused',
          errors: parsed.error.issues.map(
            ({ path, message }) => `${path.length === 0 ? '' : `${path.join('.')}: `}${message}`,
          ),
        }
      }
      case 'confirm': {
        const parsed = z.object({ confirmed: z.boolean() }).safeParse(input)
        if (!parsed.success) return { kind: 'refused', errors: ['answer { confirmed: true } or { confirmed: false }'] }
        return parsed.data.confirmed ? { kind: 'taken', value: true } : { kind: 'cancelled' }
      }
      case 'oauth2': {
        const callback = callbackOf(input)
        if (callback === null || secret.begun === null)
          return { kind: 'refused', errors: ['answer { callbackUrl }, the whole address that the person came back to'] }
        const tokens = await endAuthorization(
          this.#oauth(state),
          secret.begun,
          callback,
          this.#needs.clock.now(),
        ).catch(asSyncError)
        if (!(tokens instanceof SyncError)) return { kind: 'taken', value: tokens }
        // A code is good once: the person is sent again, with a new state.
        await this.#keep(state, { ...secret, begun: await beginAuthorization(this.#oauth(state)) })
        return { kind: 'refused', errors: [this.#textOf(tokens, state, secret)] }
      }
      case 'display':
        return { kind: 'taken', value: true }
      default: {
        const value = await this.#runStep(step, secret).catch(asSyncError)
        if (!(value instanceof SyncError)) return { kind: 'taken', value }
        return { kind: 'refused', errors: [this.#textOf(value, state, secret)] }
      }
    }
  }

  /** What a step says went wrong, without what was entered and what the integration keeps secret. */
  #textOf({ message }: SyncError, { integrationId }: State, { values }: Kept): string {
    return redact(message, [...secretsIn(values), ...this.#needs.secretsOf(integrationId)])
  }

  async #runStep(step: Extract<FlowStep, { kind: 'http' | 'transform' }>, { values }: Kept): Promise<unknown> {
    if (step.kind === 'transform') return step.run(values)
    const signal = AbortSignal.any([this.#needs.signal, AbortSignal.timeout(HTTP_MS)])
    return await step.run(values, { fetch: (input, init) => fetch(input, { signal, ...init }), signal })
  }

  async #view(state: State, secret: Kept | null, errors?: readonly string[]): Promise<FlowSession> {
    const { sessionId, integrationId, status, connectionId, expiresAt } = state
    const current = status === 'waiting' ? ((await this.#secretOrNull(state)) ?? secret) : null
    const step = status === 'waiting' ? this.#steps(state)[state.at] : undefined
    return {
      sessionId,
      integrationId,
      status,
      step: step === undefined || current === null ? null : viewOf(step, current),
      ...(errors === undefined ? {} : { errors }),
      ...(status === 'completed' ? { connectionId } : {}),
      expiresAt: new Date(expiresAt),
    }
  }

  /** To the next step, once what is known is kept: a session that has moved on has its answers. */
  async #pass(state: State, known: Kept): Promise<State> {
    const secret = newName(state.sessionId)
    await this.#keep({ secret }, known)
    return await this.#move(state, { at: state.at + 1, secret })
  }

  /** FLOW_BUSY: somebody else answered at the same time. */
  async #move(state: State, change: Partial<Pick<State, 'status' | 'at' | 'secret'>>): Promise<State> {
    const next = { ...state, ...change }
    const version = await this.#needs.records.put(recordOf(next), state.version)
    if (version !== null) return { ...next, version }
    throw new SyncError('FLOW_BUSY', 'this session was answered somewhere else at the same time', {
      hint: 'Look at it again.',
    })
  }

  #steps(state: State): readonly FlowStep[] {
    return this.#needs.flowOf(state.integrationId).flow.steps
  }

  #oauth({ integrationId }: State): OAuth {
    const { oauth } = this.#needs.flowOf(integrationId)
    if (oauth !== null) return oauth
    throw new SyncError('CONFIG_INVALID', 'the connector has a step of kind oauth2, and no `auth`')
  }

  async #find(sessionId: string): Promise<State> {
    const record = await this.#needs.records.get(KIND, sessionId)
    if (record === null || record.expiresAt === null || record.expiresAt <= this.#needs.clock.now())
      throw unknownSession()
    const { secret = placeOf(sessionId), ...known } = body.parse(JSON.parse(record.body))
    return { sessionId, ...known, secret, version: record.version, expiresAt: record.expiresAt }
  }

  async #secretOf(state: State): Promise<Kept> {
    const secret = await this.#secretOrNull(state)
    if (secret === null) throw unknownSession()
    return secret
  }

  async #secretOrNull({ secret }: State): Promise<Kept | null> {
    const text = await this.#needs.vault.get(secret)
    return text === null ? null : kept.parse(JSON.parse(text))
  }

  async #keep({ secret }: Pick<State, 'secret'>, known: Kept): Promise<void> {
    await this.#needs.vault.set(secret, JSON.stringify(known))
  }

  /** Also what a process left that died before it moved the session on. */
  async #forget(sessionId: string): Promise<void> {
    const { vault } = this.#needs
    const place = placeOf(sessionId)
    for (const name of await vault.list()) if (name === place || name.startsWith(`${place}/`)) await vault.delete(name)
  }

  /** What expired sessions were told is forgotten with them. */
  async #sweep(): Promise<void> {
    const { records, clock } = this.#needs
    for await (const { id, expiresAt } of allRecords(records, KIND))
      if (expiresAt !== null && expiresAt <= clock.now()) await this.delete(id)
  }
}

type Answered =
  | { readonly kind: 'taken'; readonly value: unknown }
  | { readonly kind: 'refused'; readonly errors: readonly string[] }
  | { readonly kind: 'cancelled' }

function viewOf(step: FlowStep, { values, begun }: Kept): FlowView {
  const { kind, name } = step
  const title = 'title' in step && step.title !== undefined ? { title: step.title } : {}
  if (step.kind === 'form') return { kind, name, ...title, schema: z.toJSONSchema(step.fields, { io: 'input' }) }
  if (step.kind === 'oauth2') return { kind, name, ...title, ...(begun === null ? {} : { url: begun.url }) }
  if (step.kind === 'confirm' || step.kind === 'display')
    return { kind, name, text: typeof step.text === 'string' ? step.text : step.text(values) }
  return { kind, name }
}

/** `{ callbackUrl }`, or its parameters by name. */
function callbackOf(input: unknown): URLSearchParams | null {
  const whole = z.object({ callbackUrl: z.url() }).safeParse(input)
  if (whole.success) return new URL(whole.data.callbackUrl).searchParams
  const parts = z.record(z.string(), z.string()).safeParse(input)
  return parts.success && Object.keys(parts.data).length > 0 ? new URLSearchParams(parts.data) : null
}

function recordOf({ sessionId, expiresAt, version: _version, ...state }: State) {
  const body = JSON.stringify(state)
  return { kind: KIND, id: sessionId, body, expiresAt }
}

function placeOf(sessionId: string): string {
  return `flow/${sessionId}`
}

function newName(sessionId: string): string {
  return `${placeOf(sessionId)}/${randomBytes(8).toString('hex')}`
}

function unknownSession(): SyncError {
  return new SyncError('FLOW_UNKNOWN', 'there is no such session, or it has expired', { hint: 'Begin a new one.' })
}
