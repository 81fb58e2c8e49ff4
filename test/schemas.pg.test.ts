/**
 * Whole schemas in the spirit of well-known samples, from Postgres into a SQLite file and on into another Postgres: by plain SQL every
 * table has the same rows at the end, also after changes.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import pg from 'pg'
import { createDatabase } from '../tools/database.ts'
import { ServiceProject } from './service/project.ts'

const changes: Readonly<Record<string, string>> = {
  rental: `update film set title = title || ' II', special_features = array['new'] where film_id % 5 = 0; delete from film_actor where actor_id = 11; update payment set payment_date = payment_date + interval '1 year' where payment_id < 20`,
  company: `update employee set manager = 1, shift = '-1 mon 3 days' where id % 10 = 0; delete from truck where plate = 'T3'; update car set doors = null; insert into vehicle values ('V3', 1, '2024-02-29')`,
  library: `update book set tags = '{}', meta = 'null' where pages % 7 = 0; update branch set code = code || '!' where code = 'b1a'; delete from book where isbn = '0000000009' and not exists (select 1 from loan where loan.isbn = book.isbn)`,
  ledger: `update entry set side = 'credit' where part < 0.3; delete from total where day < '2025-01-10'; update account set opened = '-infinity' where owner = 3`,
}

interface Table {
  readonly name: string
  readonly columns: readonly string[]
}

/** Tables that have a key, with their columns; partitions are their table's. */
async function tablesOf(client: pg.Client): Promise<readonly Table[]> {
  const { rows } = await client.query<{ name: string; columns: string[] }>(
    `select c.relname as name, array_agg(a.attname::text order by a.attnum) as columns from pg_class c join pg_attribute a on a.attrelid = c.oid
     where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition and a.attnum > 0 and not a.attisdropped
       and c.relname not like '\\_syncline%' group by c.relname order by c.relname`,
  )
  return rows
}

const quote = (name: string) => `"${name.replaceAll('"', '""')}"`

async function rowsOf(client: pg.Client, { name, columns }: Table): Promise<readonly string[]> {
  const list = columns.map((column) => `${quote(column)}::text`).join(', ')
  const { rows } = await client.query<{ line: string }>(
    `select row(${list})::text as line from ${quote(name)} order by 1`,
  )
  return rows.map(({ line }) => line)
}

async function connected(url: string): Promise<pg.Client & AsyncDisposable> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(
    "set timezone = 'UTC'; set extra_float_digits = 1; set intervalstyle = 'postgres'; set datestyle = 'ISO'",
  )
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.end() })
}

describe('whole schemas, Postgres → SQLite → Postgres', () => {
  for (const name of Object.keys(changes))
    test(name, async () => {
      await using source = await createDatabase()
      await using copy = await createDatabase()
      await using left = await connected(source.url)
      await using right = await connected(copy.url)
      await left.query(readFileSync(join(import.meta.dirname, 'schemas', `${name}.sql`), 'utf8'))
      using project = new ServiceProject({
        connections: {
          source: { connector: 'postgres', url: source.url },
          file: { connector: 'sqlite', file: './file.db' },
          copy: { connector: 'postgres', url: copy.url },
        },
        syncs: {
          out: { from: 'source', to: 'file', collections: ['public.*'] },
          back: { from: 'file', to: 'copy', collections: ['*'] },
        },
      })
      const synced = async () => {
        const { code, lines, stderr } = await project.run('run')
        assert.equal(code, 0, stderr + JSON.stringify(lines.filter((line) => line.error != null)))
        const tables = await tablesOf(left)
        assert.ok(tables.length >= 5)
        for (const table of tables)
          assert.deepEqual(await rowsOf(right, table), await rowsOf(left, table), `${name}.${table.name}`)
        const verified = await project.run('verify')
        assert.equal(verified.code, 0, JSON.stringify(verified.lines.filter(({ equal }) => equal === false)))
      }
      await synced()
      await left.query(changes[name] ?? '')
      await synced()
      const idle = await project.run('run')
      const written = idle.lines.filter(({ event }) => event === 'run.finished')
      assert.deepEqual(
        written.flatMap(({ inserted, updated, deleted }) => [inserted, updated, deleted]).filter((n) => n !== 0),
        [],
      )
    })
})
