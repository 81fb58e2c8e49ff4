/** One SQLite file kept in sync with another: made, copied, changed, followed, verified. Takes about a second. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

const folder = mkdtempSync(join(tmpdir(), 'syncline-minimal-'))
try {
  cpSync(join(import.meta.dirname, 'syncline.config.ts'), join(folder, 'syncline.config.ts'))

  write(`
    create table note (id integer primary key, title text not null, written text not null);
    create table tag (note integer references note, name text, primary key (note, name));
    insert into note values (1, 'Milk', '2025-01-31'), (2, 'Call "Ada"', '2025-02-01'), (3, 'Ünïcödé 🎈', '2025-02-02');
    insert into tag values (1, 'shopping'), (2, 'phone'), (2, 'today');
  `)
  assert.equal(syncline('verify'), 1, 'before the first run the sides are not equal')
  assert.equal(syncline('run'), 0)
  assert.equal(syncline('verify'), 0)

  write(`
    update note set title = 'Milk and bread' where id = 1;
    delete from tag where note = 2;
    delete from note where id = 2;
    insert into note values (4, 'New', '2025-02-03');
  `)
  assert.equal(syncline('verify'), 1, 'a change that has not been brought over is a difference')
  assert.equal(syncline('plan'), 0)
  assert.equal(syncline('run'), 0)
  assert.equal(syncline('verify'), 0)

  using backup = new DatabaseSync(join(folder, 'backup.db'), { readOnly: true })
  const titles = backup.prepare('select title from note order by id').all()
  assert.deepEqual(
    titles.map((row) => row.title),
    ['Milk and bread', 'Ünïcödé 🎈', 'New'],
  )
} finally {
  rmSync(folder, { recursive: true, force: true })
}

function write(statements: string): void {
  using notes = new DatabaseSync(join(folder, 'notes.db'))
  notes.exec(statements)
}

/** Runs a command and returns its exit code. */
function syncline(...args: readonly string[]): number | null {
  console.log(`\n$ syncline ${args.join(' ')}`)
  const launcher = join(import.meta.dirname, '..', '..', 'bin', 'syncline.js')
  return spawnSync(process.execPath, [launcher, ...args], { cwd: folder, stdio: 'inherit' }).status
}
