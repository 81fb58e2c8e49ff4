/** Hints that schedules have changed, from one process to all others: LISTEN and NOTIFY. One that gets lost costs a second. */
import { on } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'

/** To be selected in a statement that changes a schedule: others hear of it when that is committed. Channels are per database. */
export const notify = `pg_notify(current_schema(), '')`

const CONNECT_MS = 10_000
const RECONNECT_MS = 1000
/** A connection that is gone without a word is noticed. */
const KEEP_ALIVE_MS = 10_000
/**
 * The other way round, too: the server ends the connection of a process that is frozen or gone, and takes nothing. Until then it keeps for
 * it all that anybody tells.
 */
const noticed = `
  set tcp_user_timeout = '30s';
  set tcp_keepalives_idle = '10s';
  set tcp_keepalives_interval = '10s';
  set tcp_keepalives_count = 3;`

type Query = (sql: string, values: readonly unknown[]) => Promise<readonly unknown[][]>

export interface ListenOptions {
  /** Of the connection, as the server shows it. */
  readonly name: string
  /** Done on the connection once it listens. */
  readonly begin?: (query: Query) => Promise<void>
}

/** Yields payloads, and null whenever it begins to listen: there may have been some before. Ends when the signal is aborted. */
export async function* listen(
  url: string,
  channel: string,
  signal: AbortSignal,
  { name, begin }: ListenOptions = { name: 'syncline hints' },
): AsyncGenerator<string | null> {
  while (!signal.aborted) {
    const client = new pg.Client({
      connectionString: url,
      application_name: name,
      connectionTimeoutMillis: CONNECT_MS,
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    })
    // A connection that the server ends tells so twice; `on` hears the first, and an error that nobody hears ends the process.
    client.on('error', () => {})
    try {
      const notifications = on(client, 'notification', { signal, close: ['end'] })
      await client.connect()
      await client.query(noticed)
      await client.query(`listen "${channel}"`)
      await begin?.(async (text, values) => (await client.query({ text, values: [...values], rowMode: 'array' })).rows)
      yield null
      for await (const [notification] of notifications) yield payloadOf(notification)
    } catch {
      // Aborted, or lost: then it is tried again.
    } finally {
      // A server that is gone without a word does not say goodbye either.
      await Promise.race([client.end().catch(() => {}), sleep(RECONNECT_MS, undefined, { ref: false })])
    }
    await sleep(RECONNECT_MS, undefined, { signal }).catch(() => {})
  }
}

/** The driver's `on` does not say what comes. */
function payloadOf(notification: unknown): string {
  return String((notification as pg.Notification).payload ?? '')
}
