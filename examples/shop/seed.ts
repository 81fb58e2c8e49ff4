/** Fills an empty database with the shop: the same rows every time. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'

const CUSTOMERS = 5_000
const PRODUCTS = 1_000
const ORDERS = 100_000
/** The most items that an order has; the average is two less. */
const MOST_ITEMS = 5

/** Creates the tables with their rows; returns the number of rows by table. */
export async function seed(url: string): Promise<Readonly<Record<string, number>>> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(await readFile(join(import.meta.dirname, 'schema.sql'), 'utf8'))
    // The rows satisfy their foreign keys; checking each again would take longer than everything else.
    await client.query('set session_replication_role = replica')
    const rows: Record<string, number> = {}
    for (const [table, statement] of Object.entries(inserts))
      rows[table] = (await client.query(statement)).rowCount ?? 0
    await client.query('analyze')
    return rows
  } finally {
    await client.end()
  }
}

/** In the order that foreign keys ask for. */
const inserts = {
  customers: `
    insert into customers
    select g, 'customer' || g || '@example.com',
      (array['Ada', 'Grace', 'Łukasz', '山田', 'O''Brien', 'Zoë', 'Ürün', 'नेहा'])[1 + g % 8] || ' ' || g,
      (array['DEU', 'FRA', 'JPN', 'IND', 'UK'])[1 + g % 5],
      g % 10 = 0,
      case g % 500 when 0 then null when 1 then 'infinity' when 2 then '0044-03-15 BC' else date '1950-01-01' + g end,
      timestamptz '2020-01-01 00:00:00Z' + g * interval '7 hours 3.000001 seconds',
      case g % 3 when 0 then null when 1 then inet '10.0.0.0/8' + g else inet '2001:db8::/64' + g end,
      case g % 4 when 0 then '{}' when 1 then array['new'] when 2 then array['a "quoted" tag', 'comma, tag', null] else array['back\\slash', ''] end,
      jsonb_build_object('theme', case when g % 2 = 0 then 'dark' end, 'price limit', g / 7.0, 'letters', jsonb_build_array(g % 2 = 0, null, '"')),
      case g % 6
        when 0 then null when 1 then '' when 2 then 'said "hello", it''s fine' when 3 then E'two\\nlines\\r\\nand a\\ttab'
        when 4 then E'back\\\\slash, \\\\N and \\\\.' else '👩‍🚀 in orbit, naïve café' end
    from generate_series(1, ${CUSTOMERS}) g`,
  products: `
    insert into products
    select md5(g::text)::uuid, 'Product ' || g, round(g * 1.37, 2),
      case g % 50 when 0 then 'NaN' when 1 then 0.000000000000000000001 when 2 then 123456789012345678901234567890.5 else 0.190 end,
      (g * 7919) % 500, case when g % 9 > 0 then g / 3.0 end,
      case g % 40 when 0 then 'Infinity' when 1 then 1e-300 else g / 7.0 end,
      (g % 256)::bit(8), case when g % 5 > 0 then decode(repeat(md5(g::text), g % 20), 'hex') end,
      case g % 3 when 0 then null when 1 then array[g, -g, null] else array[36, 38, 40] end,
      format('{"color" : "%s",  "big":12345678901234567890, "color":"twice"}', g % 7)::json,
      case g % 20 when 0 then 'infinity' when 1 then '-infinity' when 2 then '12025-01-31' else date '2030-01-01' + g end,
      case g % 4 when 0 then interval '0' when 1 then interval '1 year 2 mons -3 days' else g * interval '1 minute 0.5 seconds' end
    from generate_series(1, ${PRODUCTS}) g`,
  orders: `
    insert into orders
    select g, 1 + (g::bigint * 7919) % ${CUSTOMERS}, (enum_range(null::order_status))[1 + g % 4], round((g * 31) % 90000 / 100.0, 2), g % 3 - 1,
      timestamptz '2024-01-01 00:00:00Z' + g * interval '17 minutes 0.123456 seconds',
      timestamp '2024-01-01 01:00:00' + g * interval '17 minutes',
      case when g % 3 = 0 then time '08:00' + g % 600 * interval '1 minute' end,
      case g % 5 when 0 then null when 1 then 'empty'
        when 2 then tstzrange(timestamptz '2024-01-02 00:00:00Z' + g * interval '17 minutes', null)
        else tstzrange(timestamptz '2024-01-02 00:00:00Z' + g * interval '17 minutes', timestamptz '2024-01-03 00:00:00Z' + g * interval '17 minutes', '[]') end
    from generate_series(1, ${ORDERS}) g`,
  order_items: `
    insert into order_items
    select g, line, md5((1 + (g * line) % ${PRODUCTS})::text)::uuid, 1 + (g + line) % 4, round(((g + line) * 31) % 9000 / 100.0, 2),
      case when (g + line) % 11 = 0 then 'For you 🎁 — "enjoy"' end
    from generate_series(1, ${ORDERS}) g, generate_series(1, 1 + g % ${MOST_ITEMS}) line`,
}
