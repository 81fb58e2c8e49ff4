/**
 * The topic of a store: NOTIFY with a text in pieces, which come together and in order as one transaction. Who hears holds a lock that
 * the others can see, so that nothing is sent where nobody does, and a process that is gone hears no more.
 */
import { createHash, randomBytes } from 'node:crypto'
import type { Topic } from '../topic.ts'
import type { Database } from './database.ts'
import { type ListenOptions, listen } from './hints.ts'

/** Any number; with a number made of the schema's name it is the lock of those who hear. */
const LOCK = 795_431_822
/** A payload has to be shorter than 8000 bytes. */
const PIECE = 7900
/**
 * The server keeps what is told until the slowest of all sessions that listen has taken it. When that queue is full no transaction that
 * tells anything commits, also none that puts a job into the queue: so events leave off long before.
 */
const FULLEST = 0.1

export class PostgresTopic implements Topic {
  readonly #database: Database
  readonly #url: string
  readonly #channel: string
  readonly #lock: number
  /** Nobody hears what he told himself. */
  readonly #origin = randomBytes(8).toString('hex')
  readonly #own = new Set<number>()

  constructor(database: Database, url: string, schema: string) {
    const hash = createHash('sha256').update(schema).digest()
    this.#database = database
    this.#url = url
    // Schemas may have names as long as a channel's may be.
    this.#channel = `syncline_${hash.toString('hex').slice(0, 32)}`
    this.#lock = hash.readInt32BE()
  }

  async heard(): Promise<boolean> {
    const [row] = await this.#database.query(statements.heard, [LOCK, this.#lock, [...this.#own], FULLEST])
    return row?.heard === true
  }

  async tell(text: string): Promise<void> {
    const ascii = asciiOf(text)
    const count = Math.ceil(ascii.length / PIECE)
    // What is equal is sent once per transaction: numbers tell pieces apart.
    const pieces = Array.from(
      { length: count },
      (_, at) => `${this.#origin} ${at + 1}/${count} ${ascii.slice(at * PIECE, (at + 1) * PIECE)}`,
    )
    await this.#database.query(statements.tell, [this.#channel, pieces])
  }

  async *hear(signal: AbortSignal): AsyncGenerator<string | null> {
    let pid: number | null = null
    const begin: ListenOptions['begin'] = async (query) => {
      if (pid !== null) this.#own.delete(pid)
      const [row] = await query(statements.begin, [LOCK, this.#lock])
      pid = Number(row?.[0])
      this.#own.add(pid)
    }
    let text = ''
    try {
      for await (const payload of listen(this.#url, this.#channel, signal, { name: 'syncline events', begin })) {
        const [, origin, at, count, piece = ''] = /^([0-9a-f]{16}) (\d+)\/(\d+) (.*)$/s.exec(payload ?? '') ?? []
        if (payload === null) yield null
        // Nor is what somebody else sent on the channel one of ours.
        if (origin === undefined || origin === this.#origin) continue
        text = at === '1' ? piece : text + piece
        const told = at === count ? textOf(text) : null
        if (told !== null) yield told
      }
    } finally {
      if (pid !== null) this.#own.delete(pid)
    }
  }
}

/** Each character a byte, so that it can be cut anywhere. */
function asciiOf(text: string): string {
  return JSON.stringify(text).replaceAll(
    /[\u0080-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** Null: whoever sent it, it is no text of ours. Anybody who may connect may send on any channel. */
function textOf(ascii: string): string | null {
  try {
    const text: unknown = JSON.parse(ascii)
    return typeof text === 'string' ? text : null
  } catch {
    return null
  }
}

const statements = {
  heard: `
    select exists (
      select from pg_locks where locktype = 'advisory' and granted and objsubid = 2
        and database = (select oid from pg_database where datname = current_database())
        and classid = $1::int::oid and objid = $2::int::oid and pid <> all ($3::int[])
    ) and pg_notification_queue_usage() < $4 as heard`,
  tell: `select count(*) from unnest($2::text[]) as piece, lateral pg_notify($1, piece)`,
  begin: `select pg_backend_pid(), pg_advisory_lock_shared($1, $2)`,
} as const
