/**
 * Delivery by pg-boss, in a schema of its own beside the store's. A message says that there is something in the queue, not what: the most
 * urgent job is known when somebody has a hand for it. So one message that waits is enough, however many jobs do.
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ConstructorOptions, Db, PgBoss } from 'pg-boss'
import { SyncError } from '../../core/error.ts'
import type { Delivery } from '../delivery.ts'
import { codeOf, type Database } from './database.ts'
import { Gathering } from './gathering.ts'
import { listen } from './hints.ts'

const QUEUE = 'work'
/** `short`: of messages that nobody has taken there is one. Who died with a message has not lost anything: others look by themselves. */
const queue = { policy: 'short', notify: true, retryLimit: 0, deleteAfterSeconds: 60 } as const
/** pg-boss deletes once a day by itself, and looks through the whole table once a minute. */
const MAINTENANCE_SECONDS = 60
/** Held until there is a free hand, so as long as runs take. As long as pg-boss allows. */
const HELD_SECONDS = 86_400
/** pg-boss derives names from that of its schema. */
const LONGEST_SCHEMA = 50
const STOP_MS = 2000
const UNIQUE_VIOLATION = '23505'
/** Somebody dropped them. */
const NO_TABLES: ReadonlySet<string> = new Set(['42P01', '3F000', '42883'])

export class PostgresDelivery implements Delivery, AsyncDisposable {
  readonly #database: Database
  readonly #options: ConstructorOptions
  readonly #schema: string
  /** To send takes no connection, timer or check of its own: a process that only sends never starts it. */
  #sender: Promise<PgBoss> | null = null
  readonly #sends = new Gathering<null, null>(async (sends) => {
    await this.#send()
    return sends.map(() => null)
  })
  #sent: Promise<unknown> = Promise.resolve()
  /** Whether anybody has ever waited here: he makes the schema. */
  #made = false

  constructor(database: Database, url: string, schema: string) {
    this.#database = database
    this.#schema = deliverySchema(schema)
    this.#options = {
      ...{ db: dbOf(database, url), schema: this.#schema, schedule: false, useListenNotify: true },
      maintenanceIntervalSeconds: MAINTENANCE_SECONDS,
    }
  }

  /** To be called when what was put is committed: else who takes the message at once would not see it. */
  send(): void {
    this.#sent = this.#sends.ask(null)
  }

  async *receive(signal: AbortSignal): AsyncGenerator<void> {
    const boss = await this.#make()
    const aborted = signal.aborted ? Promise.resolve() : once(signal, 'abort')
    // What goes wrong later passes, or the queue itself does not answer either: whoever looks there says so. But tables do not come back.
    const gone = Promise.withResolvers<never>()
    gone.promise.catch(() => {})
    boss.on('error', (error) => {
      if ('code' in error && NO_TABLES.has(String(error.code)))
        gone.reject(new SyncError('CONNECTION_LOST', `the schema ${this.#schema} of pg-boss is gone: ${error.message}`))
    })
    let arrived = Promise.withResolvers<void>()
    let released = Promise.withResolvers<void>()
    try {
      await Promise.race([begin(boss), aborted])
      if (signal.aborted) return
      // What is sent from here on waits until somebody asks.
      yield
      await boss.work(QUEUE, async () => {
        arrived.resolve()
        await released.promise
      })
      for (;;) {
        await Promise.race([arrived.promise, aborted, gone.promise])
        if (signal.aborted) break
        arrived = Promise.withResolvers()
        yield
        released.resolve()
        released = Promise.withResolvers()
      }
    } catch (error) {
      if (!signal.aborted) throw this.#database.told(error)
    } finally {
      released.resolve()
      const stopped = boss.offWork(QUEUE, { wait: true }).then(() => boss.stop({ graceful: false }))
      await Promise.race([stopped.catch(() => {}), sleep(STOP_MS, undefined, { ref: false })])
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sent
  }

  async #send(): Promise<void> {
    try {
      this.#made ||= await this.#isMade()
      if (!this.#made) return
      this.#sender ??= this.#make()
      await (await this.#sender).send(QUEUE)
    } catch {
      // Who can't be reached looks by himself.
    }
  }

  async #isMade(): Promise<boolean> {
    const [row] = await this.#database.query(`select to_regclass($1) is not null as made`, [`${this.#schema}.job`])
    return row?.made === true
  }

  async #make(): Promise<PgBoss> {
    const { PgBoss } = await import('pg-boss')
    return new PgBoss(this.#options)
  }
}

/** Of several that make the schema at the same time one does it; to the others it is there, of which pg-boss knows only one way to be told. */
async function begin(boss: PgBoss): Promise<void> {
  try {
    await boss.start()
  } catch (error) {
    if (codeOf(error) !== UNIQUE_VIOLATION) throw error
    await boss.start()
  }
  await boss.createQueue(QUEUE, { ...queue, expireInSeconds: HELD_SECONDS })
}

/** The schema that pg-boss has for a store's schema: some of its tables have the names of the store's. */
export function deliverySchema(schema: string): string {
  const name = `${schema}_pgboss`
  if (name.length <= LONGEST_SCHEMA) return name
  const hash = createHash('sha256').update(schema).digest('hex').slice(0, 16)
  return `${schema.slice(0, LONGEST_SCHEMA - `_${hash}_pgboss`.length)}_${hash}_pgboss`
}

/** The store's own connections, and the way it listens. */
function dbOf(database: Database, url: string): Db {
  return {
    executeSql: (text, values) => database.plain(text, values),
    listen: async (channel, hear, begin) => {
      const stop = new AbortController()
      const hearing = (async () => {
        for await (const payload of listen(url, channel, stop.signal, { name: 'syncline deliveries' }))
          if (payload === null) begin()
          else hear(payload)
      })()
      return {
        close: async () => {
          stop.abort()
          await hearing
        },
      }
    },
  }
}
