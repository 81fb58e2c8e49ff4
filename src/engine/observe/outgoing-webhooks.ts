/**
 * Outgoing webhooks: events as signed requests (Standard Webhooks), tried again until they are taken. A delivery is a record from
 * the moment its event is told until it is over, so that a restart goes on with it.
 */
import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import type { Clock } from '../../connectors/connector.ts'
import { SyncError } from '../../core/error.ts'
import { type EngineEvent, eventNames, frequentEvents } from '../../core/event.ts'
import type { Log } from '../../core/log.ts'
import { didYouMean } from '../../core/name.ts'
import { allRecords } from '../../store/all-records.ts'
import type { RecordStore, StoredRecord } from '../../store/records.ts'
import type { Vault } from '../secrets/vault.ts'
import { Bell } from '../wake-signal.ts'
import type { Events } from './events.ts'

/** Where events go. */
export interface Webhook {
  readonly id: string
  readonly url: string
  /** Names of events, or `*` for all but those that come by the batch or the row. */
  readonly events: readonly string[]
  /** Null: of all projects. */
  readonly project: string | null
}

/** One event on its way to one webhook. */
export interface Delivery {
  readonly id: string
  readonly webhook: string
  readonly event: string
  readonly status: 'pending' | 'delivered' | 'failed'
  readonly attempts: number
  /** What was answered last: a status, or why there was no answer. */
  readonly answer: string | null
  readonly createdAt: number
  readonly nextAt: number
}

export interface WebhookOptions {
  readonly records: RecordStore
  readonly vault: Vault
  readonly events: Events
  readonly clock: Clock
  readonly random: () => number
  readonly log: Log
  /** The project that what an event is about belongs to. */
  readonly projectOf: (event: EngineEvent) => string | null
}

/** After each failure, in seconds: a day in all. */
const WAITS_S = [5, 30, 120, 600, 3600, 14_400, 68_000]
const TIMEOUT_MS = 15_000
/** A delivery that is being made by a process that died is made again after this long. */
const BUSY_MS = 60_000
const LOOK_MS = 1000
const KEPT_MS = 3 * 24 * 3_600_000
/** Per webhook: how many requests at a time, how many deliveries per look, and how many may wait. */
const AT_ONCE = 8
const PER_LOOK = 200
const MOST_PENDING = 5000

const KINDS = { webhook: 'webhook', pending: 'delivery-pending', done: 'delivery' } as const
const webhookBody = z.object({ url: z.string(), events: z.array(z.string()), project: z.string().nullable() })
const deliveryBody = z.object({
  webhook: z.string(),
  event: z.string(),
  body: z.string(),
  status: z.enum(['pending', 'delivered', 'failed']),
  attempts: z.number(),
  answer: z.string().nullable(),
  createdAt: z.number(),
  nextAt: z.number(),
})
type StoredDelivery = z.output<typeof deliveryBody>

export class Webhooks {
  readonly #options: WebhookOptions
  readonly #bell = new Bell()
  #keeping: Promise<unknown> = Promise.resolve()
  /** What is being sent now, by webhook: one that does not answer keeps only its own waiting. */
  readonly #sending = new Map<string, Promise<void>>()
  #count = 0

  constructor(options: WebhookOptions) {
    this.#options = options
  }

  /** Keeps a webhook. The secret is told here and never again. USAGE_INVALID: no such address, no event of that name. */
  async create(webhook: Omit<Webhook, 'id'>): Promise<{ readonly webhook: Webhook; readonly secret: string }> {
    const { records, vault } = this.#options
    if (!/^https?:\/\//.test(webhook.url) || !URL.canParse(webhook.url))
      throw new SyncError('USAGE_INVALID', 'a webhook’s url begins with https:// or http://')
    for (const name of webhook.events) if (name !== '*' && !eventNames.includes(name)) throw unknownEvent(name)
    const id = randomBytes(8).toString('hex')
    const secret = `whsec_${randomBytes(32).toString('base64')}`
    await vault.set(secretOf(id), secret)
    await records.put({ kind: KINDS.webhook, id, body: JSON.stringify(webhook), expiresAt: null })
    return { webhook: { id, ...webhook }, secret }
  }

  async list(): Promise<readonly Webhook[]> {
    const found = allRecords(this.#options.records, KINDS.webhook)
    return await Array.fromAsync(found, ({ id, body }) => ({ id, ...webhookBody.parse(JSON.parse(body)) }))
  }

  async delete(id: string): Promise<boolean> {
    await this.#options.vault.delete(secretOf(id))
    return await this.#options.records.delete(KINDS.webhook, id)
  }

  /** What was and will be sent to a webhook, newest first. */
  async deliveries(webhook: string, limit: number): Promise<readonly Delivery[]> {
    const found: Delivery[] = []
    for (const kind of [KINDS.pending, KINDS.done]) {
      for await (const record of allRecords(this.#options.records, kind)) {
        const { body: _body, ...delivery } = parse(record)
        if (delivery.webhook === webhook) found.push({ id: record.id, ...delivery })
      }
    }
    return found.toSorted((a, b) => (a.id < b.id ? 1 : -1)).slice(0, limit)
  }

  /** Sends until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { events, clock, log } = this.#options
    const unsubscribe = events.subscribe((event) => {
      this.#keeping = this.#keeping
        .then(() => this.#keep(event))
        .catch((error: unknown) => log(`webhooks: ${String(error)}`, 'error'))
    })
    try {
      while (!signal.aborted) {
        await this.#sendDue(signal).catch((error: unknown) => log(`webhooks: ${String(error)}`, 'error'))
        await this.#bell.wait(clock, LOOK_MS, signal)
      }
    } finally {
      unsubscribe()
      await this.#keeping
      await Promise.all(this.#sending.values())
    }
  }

  async #keep(event: EngineEvent): Promise<void> {
    const { records, clock, projectOf } = this.#options
    const wanted = (await this.list()).filter(({ events, project }) => {
      const wants = events.includes(event.event) || (events.includes('*') && !frequentEvents.has(event.event))
      return wants && (project === null || project === projectOf(event))
    })
    const now = clock.now()
    for (const { id: webhook } of wanted) {
      const id = `${now.toString(36).padStart(9, '0')}${(this.#count++ % 1296).toString(36).padStart(2, '0')}${randomBytes(8).toString('hex')}`
      const body = JSON.stringify({ type: event.event, timestamp: new Date(now).toISOString(), data: event })
      const delivery: StoredDelivery = {
        webhook,
        event: event.event,
        body,
        status: 'pending',
        attempts: 0,
        answer: null,
        createdAt: now,
        nextAt: now,
      }
      await records.put({ kind: KINDS.pending, id, body: JSON.stringify(delivery), expiresAt: null }, 0)
    }
    if (wanted.length > 0) this.#bell.ring()
  }

  /** Starts what is due and does not wait for it. */
  async #sendDue(signal: AbortSignal): Promise<void> {
    const now = this.#options.clock.now()
    const waiting = new Map<string, number>()
    const due = new Map<string, StoredRecord[]>()
    for await (const record of allRecords(this.#options.records, KINDS.pending)) {
      const { webhook, nextAt } = parse(record)
      const count = (waiting.get(webhook) ?? 0) + 1
      waiting.set(webhook, count)
      if (count > MOST_PENDING) await this.#giveUp(record)
      else if (nextAt <= now && !this.#sending.has(webhook)) {
        const some = due.get(webhook) ?? []
        if (some.length < PER_LOOK) due.set(webhook, [...some, record])
      }
    }
    for (const [webhook, records] of due) this.#start(webhook, records, signal)
  }

  #start(webhook: string, records: readonly StoredRecord[], signal: AbortSignal): void {
    const sending = this.#sendAll(records, signal).finally(() => {
      this.#sending.delete(webhook)
      this.#bell.ring()
    })
    this.#sending.set(webhook, sending)
  }

  async #sendAll(records: readonly StoredRecord[], signal: AbortSignal): Promise<void> {
    const { log } = this.#options
    for (let start = 0; start < records.length && !signal.aborted; start += AT_ONCE) {
      const some = records.slice(start, start + AT_ONCE)
      const send = (record: StoredRecord) =>
        this.#send(record, signal).catch((error: unknown) => log(`webhooks: ${String(error)}`, 'error'))
      await Promise.all(some.map(send))
    }
  }

  /** Claims it first: who sends it meanwhile has it. */
  async #giveUp(record: StoredRecord): Promise<void> {
    if ((await this.#options.records.put(record, record.version)) === null) return
    const answer = `not sent: ${MOST_PENDING} others were waiting`
    await this.#end(record.id, { ...parse(record), status: 'failed', answer })
  }

  /** Claims it first: of several processes one sends it. */
  async #send(record: StoredRecord, signal: AbortSignal): Promise<void> {
    const { records, clock, random } = this.#options
    const delivery = parse(record)
    const busy = { ...delivery, nextAt: clock.now() + BUSY_MS }
    const version = await records.put({ ...record, body: JSON.stringify(busy) }, record.version)
    if (version === null) return
    const webhook = (await this.list()).find(({ id }) => id === delivery.webhook)
    const { taken, answer } =
      webhook === undefined
        ? { taken: false, answer: 'the webhook was taken away' }
        : await this.#post(webhook, record.id, delivery, signal)
    const attempts = delivery.attempts + 1
    const waitS = WAITS_S[attempts - 1]
    if (taken || waitS === undefined || webhook === undefined) {
      await this.#end(record.id, { ...delivery, status: taken ? 'delivered' : 'failed', attempts, answer })
      return
    }
    const nextAt = Math.round(clock.now() + waitS * 1000 * (0.8 + 0.4 * random()))
    await records.put({ ...record, body: JSON.stringify({ ...delivery, attempts, answer, nextAt }) }, version)
  }

  async #end(id: string, delivery: StoredDelivery): Promise<void> {
    const { records, clock } = this.#options
    const expiresAt = clock.now() + KEPT_MS
    await records.put({ kind: KINDS.done, id, body: JSON.stringify(delivery), expiresAt })
    await records.delete(KINDS.pending, id)
  }

  async #post(
    webhook: Webhook,
    id: string,
    { body }: StoredDelivery,
    signal: AbortSignal,
  ): Promise<{ taken: boolean; answer: string }> {
    const { vault, clock } = this.#options
    const secret = await vault.get(secretOf(webhook.id))
    if (secret === null) return { taken: false, answer: 'the webhook has no secret any more' }
    const { Webhook: Signer } = await import('standardwebhooks')
    const at = new Date(clock.now())
    const headers = {
      'content-type': 'application/json',
      'webhook-id': `msg_${id}`,
      'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
      'webhook-signature': new Signer(secret).sign(`msg_${id}`, at, body),
    }
    try {
      // Redirects are not followed: the event is for the address that was named.
      const answer = await fetch(webhook.url, {
        method: 'POST',
        headers,
        body,
        redirect: 'manual',
        signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
      })
      await answer.body?.cancel()
      return { taken: answer.ok, answer: String(answer.status) }
    } catch (error) {
      return { taken: false, answer: error instanceof Error ? error.name : 'no answer' }
    }
  }
}

function parse({ body }: StoredRecord): StoredDelivery {
  return deliveryBody.parse(JSON.parse(body))
}

function unknownEvent(name: string): SyncError {
  return new SyncError('USAGE_INVALID', `there is no event "${name}"${didYouMean(name, eventNames)}`, {
    hint: `The events are ${eventNames.join(', ')}; * are all but those that come by the batch or the row.`,
  })
}

function secretOf(id: string): string {
  return `webhook/${id}`
}
