/** A program that syncs and then has nothing more to do. It must end by itself: nothing here ends it. */
import { postgresToSqlite } from './pair.ts'

const how = process.argv[2]
await using pair = await postgresToSqlite()
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
