/** A program that syncs and then has nothing more to do. It must end by itself: nothing here ends it. */
import { openPair, postgresAt } from './pair.ts'

const [how, url = ''] = process.argv.slice(2)
// Somebody else makes and drops the database: dropping it would end what was left open.
const given = { url, [Symbol.asyncDispose]: async () => {} }
await using pair = await openPair(await postgresAt(given), await postgresAt(given), {
  to: { connection: 'right', collection: 'copy' },
})
await pair.left.sql(
  `CREATE TABLE t (id int PRIMARY KEY, note text); INSERT INTO t SELECT n, 'x' FROM generate_series(1, 20000) n`,
)
if (how === 'interrupted') pair.onPage = () => pair.interrupt.abort()
if (how === 'failed') await pair.left.sql('DROP TABLE t')
if (how === 'terminated') {
  let once = true
  pair.onPage = () => {
    if (once)
      void pair.left.sql(
        'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()',
      )
    once = false
  }
}
const run = await pair.run()
if (how === 'succeeded') await pair.verify()
console.log(`${run.status} ${run.error?.code ?? ''}`)
