/** The numbered migrations of the state database: forward only, each run once, in one transaction with its number. */
import type { DatabaseSync } from 'node:sqlite'
import { SyncError } from '../../core/error.ts'

/** Named statements; the position in the list is the version that the statement leads to. Never edit one that was released. */
export const migrations: readonly { readonly name: string; readonly sql: string }[] = [
  {
    name: '0001-project-run-lease',
    sql: `
      create table project (id text primary key not null) strict;

      create table run (
        seq integer primary key autoincrement,
        id text not null unique,
        sync text not null,
        -- running, succeeded, failed, held or interrupted
        status text not null,
        -- the process that runs it; see lock.ts
        holder text not null,
        started_at integer not null,
        duration_ms integer,
        read integer not null default 0,
        inserted integer not null default 0,
        updated integer not null default 0,
        deleted integer not null default 0,
        unchanged integer not null default 0,
        rejected integer not null default 0,
        lossy integer not null default 0,
        error_code text,
        error_message text,
        error_hint text,
        held_deletes integer,
        released_at integer,
        -- the newest run when this one was released: later ones may use the release
        released_seq integer
      ) strict;
      create index run_by_sync on run (sync, seq);

      create table lease (
        sync text primary key not null,
        generation integer not null,
        holder text,
        expires_at integer not null
      ) strict;
    `,
  },
  {
    name: '0002-two-way',
    sql: `
      alter table run add column conflicts integer not null default 0;

      create table pairing (
        id integer primary key,
        sync text not null unique,
        left_cursor text,
        right_cursor text,
        layouts text not null default '[]',
        runs integer not null default 0
      ) strict;

      -- bases: text where they hold values, blobs where they hold hashes; right_base null: the same as left_base
      create table pair (
        id integer primary key,
        pairing integer not null,
        left_key text not null,
        right_key text not null,
        left_base any not null,
        right_base any,
        layout integer not null,
        recent text
      ) strict;
      create unique index pair_by_left on pair (pairing, left_key);
      create unique index pair_by_right on pair (pairing, right_key);

      create table unpaired (
        pairing integer not null,
        side text not null,
        key text not null,
        match text,
        state text not null,
        code text,
        message text,
        primary key (pairing, side, key)
      ) strict, without rowid;
      create index unpaired_by_match on unpaired (pairing, side, match) where match is not null;

      create table pending (
        pairing integer not null,
        pair integer not null,
        state text not null,
        code text,
        message text,
        primary key (pairing, pair)
      ) strict, without rowid;

      create table intent (
        pairing integer not null,
        id text not null,
        side text not null,
        body text not null,
        primary key (pairing, id)
      ) strict, without rowid;

      create table conflict (
        id integer primary key autoincrement,
        sync text not null,
        kind text not null,
        pair integer,
        left_key text,
        right_key text,
        fields text not null,
        status text not null,
        run text not null,
        opened_at integer not null,
        closed_at integer
      ) strict;
      create index conflict_by_status on conflict (sync, status);
      create index conflict_by_pair on conflict (pair, status);

      create table journal (
        seq integer primary key autoincrement,
        sync text not null,
        run text not null,
        at integer not null,
        side text not null,
        kind text not null,
        pair integer,
        left_key text,
        right_key text,
        fields text,
        before text,
        after text,
        reason text not null
      ) strict;
      create index journal_by_run on journal (run);
      create index journal_by_left on journal (sync, left_key);
      create index journal_by_right on journal (sync, right_key);
    `,
  },
  {
    name: '0003-fences-seen',
    sql: `
      -- the generation of each side's fence, as this sync last took it
      alter table pairing add column left_fence integer;
      alter table pairing add column right_fence integer;
    `,
  },
  {
    name: '0004-jobs',
    sql: `
      create table job (
        id integer primary key autoincrement,
        sync text not null,
        priority text not null,
        reason text not null,
        queued_at integer not null,
        due_at integer not null,
        -- due_at, and the patience of its priority: what comes first
        rank_at integer not null,
        attempt integer not null,
        -- queued, running, succeeded, failed, held or cancelled
        status text not null,
        worker text,
        started_at integer,
        cancelling integer not null default 0,
        ended_at integer,
        run text,
        error_code text,
        error_message text,
        error_hint text
      ) strict;
      create unique index job_queued on job (sync) where status = 'queued';
      create unique index job_running on job (sync) where status = 'running';
      create index job_rank on job (rank_at) where status = 'queued';
      create index job_by_sync on job (sync, id);

      create table schedule (
        sync text primary key not null,
        schedule text not null,
        origin text not null,
        after_sync text,
        paused integer not null default 0,
        next_at integer,
        last_at integer,
        failures integer not null default 0
      ) strict;
      create index schedule_next on schedule (next_at) where next_at is not null;
      create index schedule_after on schedule (after_sync) where after_sync is not null;

      create table record (
        kind text not null,
        id text not null,
        body text not null,
        expires_at integer,
        version integer not null,
        primary key (kind, id)
      ) strict, without rowid;
      create index record_expiry on record (expires_at) where expires_at is not null;
    `,
  },
  {
    name: 'who asked for a job',
    sql: 'alter table job add column asked_by text',
  },
  {
    name: 'how often fences of two-way syncs were about to be taken',
    sql: 'alter table pairing add column claims integer not null default 0',
  },
  {
    name: 'how often a job did not end',
    sql: 'alter table job add column takeovers integer not null default 0',
  },
]

/** Brings a database up to date. Two processes may do so at once: the second waits, and finds nothing left to do. */
export function migrate(database: DatabaseSync, path: string): void {
  if (schemaVersion(database, path) === migrations.length) return
  database.exec('begin immediate')
  try {
    const version = schemaVersion(database, path)
    for (const { sql } of migrations.slice(version)) database.exec(sql)
    database.exec(`pragma user_version = ${migrations.length}`)
    database.exec('commit')
  } catch (error) {
    database.exec('rollback')
    throw error
  }
}

/** The version a database is at; one that a newer Syncline wrote is refused. */
export function schemaVersion(database: DatabaseSync, path: string): number {
  const version = Number(database.prepare('pragma user_version').get()?.user_version ?? 0)
  if (version <= migrations.length) return version
  throw new SyncError(
    'FILE_UNUSABLE',
    `${path} was written by a newer Syncline (its version is ${version}, this one knows ${migrations.length})`,
    {
      hint: 'Update Syncline: npm install syncline@latest',
    },
  )
}
