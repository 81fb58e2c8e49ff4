/** Customers and staff of the shop: transactions that overlap, roll back to savepoints, and are sometimes given up. */
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'

/** What was committed, in rows. */
export interface Written {
  transactions: number
  inserted: number
  updated: number
  deleted: number
}

/** How many transactions are open at a time. */
const SESSIONS = 4
/** Some transactions stay open for longer than a run takes. */
const LONGEST_MS = 1_500

/** Writes until `until` (milliseconds since 1970) or until `signal` aborts. */
export async function write(url: string, until: number, signal: AbortSignal): Promise<Written> {
  const total = none()
  const orders = { next: 1_000_000 }
  const sessions = Array.from({ length: SESSIONS }, (_, session) => work(url, session, orders, total, until, signal))
  await Promise.all(sessions)
  return total
}

async function work(
  url: string,
  session: number,
  orders: { next: number },
  total: Written,
  until: number,
  signal: AbortSignal,
): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  // A connection that breaks shows in the next statement.
  client.on('error', () => {})
  await client.connect()
  const chance = dice(session)
  try {
    while (Date.now() < until && !signal.aborted) {
      const written = none()
      await client.query('begin')
      await order(client, orders.next++, chance, written)
      await change(client, chance, written)
      await sleep(chance(40) === 0 ? LONGEST_MS : chance(60), undefined, { signal })
      const given = chance(10) === 0
      await client.query(given ? 'rollback' : 'commit')
      if (!given) add(total, written)
    }
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    await client.end()
  }
}

/** A new order; its last item is thought better of now and then. */
async function order(client: pg.Client, id: number, chance: Chance, written: Written): Promise<void> {
  await client.query(
    `insert into orders values ($1, $2, $3, $4, 1, clock_timestamp(), localtimestamp, null, tstzrange(now(), null))`,
    [id, 1 + chance(5_000), chance(2) === 0 ? 'new' : 'paid', `${chance(500)}.${10 + chance(90)}`],
  )
  written.inserted++
  for (let line = 1; line <= 3; line++) {
    await client.query('savepoint item')
    const { rowCount } = await client.query(
      'insert into order_items select $1, $2, id, 1, price, null from products order by id offset $3 limit 1',
      [id, line, chance(1_000)],
    )
    if (line === 3 && chance(3) === 0) await client.query('rollback to item')
    else written.inserted += rowCount ?? 0
  }
}

/** Rows are taken in the order of their keys, and never waited for: these sessions must not block each other. */
async function change(client: pg.Client, chance: Chance, written: Written): Promise<void> {
  const first = 1 + chance(99_000)
  const some = async (statement: string, kind: 'updated' | 'deleted', values: readonly unknown[] = [first]) => {
    written[kind] += (await client.query(statement, [...values])).rowCount ?? 0
  }
  switch (chance(5)) {
    case 0:
      // Into and out of what `paid_orders` takes.
      await some(
        `update orders set status = case status when 'new' then 'paid' when 'paid' then 'shipped' else 'cancelled' end::order_status
         where id in (select id from orders where id between $1 and $1 + 9 for update skip locked)`,
        'updated',
      )
      break
    case 1:
      await some(
        `update products set stock = stock - 1, price = round(price * 1.01, 2)
         where id in (select id from products order by id offset $1 % 1000 limit 5 for update skip locked)`,
        'updated',
      )
      break
    case 2:
      await some(
        `update customers set preferences = preferences || '{"theme": "light"}', notes = 'called 📞 ' || clock_timestamp()
         where id in (select id from customers where id = $1 % 5000 for update skip locked)`,
        'updated',
      )
      break
    case 3:
      await some(
        `delete from order_items where (order_id, line) in
         (select order_id, line from order_items where order_id = $1 and line > 1 for update skip locked)`,
        'deleted',
      )
      break
    default:
      // An item gets another key.
      await some(
        `update order_items set line = line + 100
         where (order_id, line) in (select order_id, line from order_items where order_id = $1 and line = 1 for update skip locked)`,
        'updated',
      )
  }
}

/** A whole number from 0 up to, not including, `below`. */
type Chance = (below: number) => number

/** The same numbers every time. */
function dice(seed: number): Chance {
  let state = seed + 1
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

function none(): Written {
  return { transactions: 0, inserted: 0, updated: 0, deleted: 0 }
}

function add(total: Written, { inserted, updated, deleted }: Written): void {
  total.transactions++
  total.inserted += inserted
  total.updated += updated
  total.deleted += deleted
}
