/** Contacts of a CRM and customers of a shop, kept equal both ways: paired, edited on both sides, a conflict decided, a run undone. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

const folder = mkdtempSync(join(tmpdir(), 'syncline-two-way-'))
try {
  cpSync(join(import.meta.dirname, 'syncline.config.ts'), join(folder, 'syncline.config.ts'))
  write(
    'crm.db',
    `create table contacts (id integer primary key, email text, full_name text, phone text);
     insert into contacts (email, full_name, phone) values ('ann@example.com', 'Ann', '+1 555 1'), ('bob@example.com', 'Bob', '+1 555 2');`,
  )
  write(
    'shop.db',
    `create table customers (id text primary key default (lower(hex(randomblob(8)))), email text, name text, phone text);
     insert into customers (email, name, phone) values ('ANN@example.com', 'Ann', '15551'), ('cid@example.com', 'Cid', '15553');`,
  )
  assert.equal(syncline('plan'), 0)
  assert.equal(syncline('run'), 0)

  // Each side edits; both edit Bob's name.
  write('crm.db', "update contacts set full_name = 'Robert', phone = '+1 555 9' where full_name = 'Bob'")
  write(
    'shop.db',
    "update customers set name = 'Bobby' where name = 'Bob'; update customers set phone = '15554' where name = 'Cid'",
  )
  assert.equal(syncline('run'), 0)
  assert.equal(syncline('conflicts'), 0)
  const conflict = JSON.parse(output('conflicts', '--json').trim().split('\n').at(0) ?? '{}')
  assert.equal(syncline('conflicts', 'show', conflict.id), 0)
  assert.equal(syncline('conflicts', 'resolve', conflict.id, '--take', 'right'), 0)
  assert.equal(syncline('run'), 0)
  assert.equal(syncline('verify'), 0)
  assert.equal(syncline('why', 'contacts', '2'), 0)
  assert.deepEqual(names('crm.db', 'select full_name as name from contacts'), ['Ann', 'Bobby', 'Cid'])
  assert.deepEqual(names('shop.db', 'select name from customers'), ['Ann', 'Bobby', 'Cid'])

  const last = JSON.parse(output('history', '--json').trim().split('\n').at(0) ?? '{}')
  assert.equal(syncline('undo', last.run, '--yes'), 0)
  assert.deepEqual(names('crm.db', 'select full_name as name from contacts'), ['Ann', 'Cid', 'Robert'])
} finally {
  rmSync(folder, { recursive: true, force: true })
}

function write(file: string, statements: string): void {
  using database = new DatabaseSync(join(folder, file))
  database.exec(statements)
}

function names(file: string, query: string): unknown[] {
  using database = new DatabaseSync(join(folder, file), { readOnly: true })
  return database
    .prepare(query)
    .all()
    .map((row) => row.name)
    .sort()
}

/** Runs a command and returns its exit code. */
function syncline(...args: readonly string[]): number | null {
  console.log(`\n$ syncline ${args.join(' ')}`)
  return spawnSync(process.execPath, [launcher(), ...args], { cwd: folder, stdio: 'inherit' }).status
}

function output(...args: readonly string[]): string {
  return spawnSync(process.execPath, [launcher(), ...args], { cwd: folder, encoding: 'utf8' }).stdout
}

function launcher(): string {
  return join(import.meta.dirname, '..', '..', 'bin', 'syncline.js')
}
