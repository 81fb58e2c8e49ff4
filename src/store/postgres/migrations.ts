/** The numbered migrations of the Postgres store: forward only, each run once, in one transaction with its number. */
import { SyncError } from '../../core/error.ts'
import type { Database, Queries } from './database.ts'

/** The position in the list is the version that the statement leads to. Never edit one that was released. */
export const migrations: readonly { readonly name: string; readonly sql: string }[] = [
  {
    name: '0001-project-run-lease-job',
    sql: `
      create table project (one boolean primary key default true check (one), id text not null);

      create table run (
        seq bigint generated always as identity primary key,
        id text not null unique,
        sync text collate "C" not null,
        -- running, succeeded, failed, held or interrupted
        status text not null,
        started_at bigint not null,
        duration_ms bigint,
        read bigint not null default 0,
        inserted bigint not null default 0,
        updated bigint not null default 0,
        deleted bigint not null default 0,
        unchanged bigint not null default 0,
        rejected bigint not null default 0,
        lossy bigint not null default 0,
        conflicts bigint not null default 0,
        error_code text,
        error_message text,
        error_hint text,
        held_deletes bigint,
        released_at bigint,
        -- the newest run when this one was released: later ones may use the release
        released_seq bigint
      );
      create index run_by_sync on run (sync, seq);
      create index run_idle on run (sync, seq) where status = 'succeeded' and inserted + updated + deleted = 0;
      create index run_running on run (sync) where status = 'running';
      create index run_held on run (sync, seq) where status = 'held';

      create table lease (
        sync text collate "C" primary key,
        generation bigint not null,
        holder text,
        expires_at bigint not null
      );
      -- Makes the generation a key: who holds FOR KEY SHARE on a lease keeps others from taking it over, and lets heartbeats pass.
      create unique index lease_generation on lease (sync, generation);

      create table job (
        id bigint generated always as identity primary key,
        sync text collate "C" not null,
        priority text not null,
        reason text not null,
        queued_at bigint not null,
        due_at bigint not null,
        -- due_at, and the patience of its priority: what comes first
        rank_at bigint not null,
        attempt integer not null,
        -- queued, running, succeeded, failed, held or cancelled
        status text not null,
        worker text,
        started_at bigint,
        cancelling boolean not null default false,
        ended_at bigint,
        run text,
        error_code text,
        error_message text,
        error_hint text
      );
      create unique index job_queued on job (sync) where status = 'queued';
      create unique index job_running on job (sync) where status = 'running';
      create index job_open on job (rank_at) where status in ('queued', 'running');
      create index job_by_sync on job (sync, id);

      create table schedule (
        sync text collate "C" primary key,
        schedule text not null,
        origin text not null,
        after_sync text collate "C",
        paused boolean not null default false,
        next_at bigint,
        last_at bigint,
        failures integer not null default 0
      );
      create index schedule_next on schedule (next_at) where next_at is not null;
      create index schedule_after on schedule (after_sync) where after_sync is not null;

      create table record (
        kind text collate "C" not null,
        id text collate "C" not null,
        body text not null,
        expires_at bigint,
        version bigint not null,
        primary key (kind, id)
      );
      create index record_expiry on record (expires_at) where expires_at is not null;
    `,
  },
  {
    name: '0002-two-way',
    sql: `
      create table pairing (
        id bigint generated always as identity primary key,
        sync text collate "C" not null unique,
        left_cursor text,
        right_cursor text,
        -- the generation of each side's fence, as this sync last took it
        left_fence bigint,
        right_fence bigint,
        layouts text not null default '[]',
        runs bigint not null default 0
      );

      -- bases are bytes, since those of hashes are no text; right_base null: the same as left_base
      create table pair (
        id bigint generated always as identity primary key,
        pairing bigint not null,
        left_key text collate "C" not null,
        right_key text collate "C" not null,
        left_base bytea not null,
        right_base bytea,
        layout integer not null,
        recent text
      );
      create unique index pair_by_left on pair (pairing, left_key);
      create unique index pair_by_right on pair (pairing, right_key);
      create index pair_by_id on pair (pairing, id);

      create table unpaired (
        pairing bigint not null,
        side text not null,
        key text collate "C" not null,
        match text collate "C",
        state text not null,
        code text,
        message text,
        primary key (pairing, side, key)
      );
      create index unpaired_by_match on unpaired (pairing, side, match) where match is not null;

      create table pending (
        pairing bigint not null,
        pair bigint not null,
        state text not null,
        code text,
        message text,
        primary key (pairing, pair)
      );

      create table intent (
        pairing bigint not null,
        id text collate "C" not null,
        side text not null,
        body text not null,
        primary key (pairing, id)
      );

      create table conflict (
        id bigint generated always as identity primary key,
        sync text collate "C" not null,
        kind text not null,
        pair bigint,
        left_key text,
        right_key text,
        fields text not null,
        status text not null,
        run text not null,
        opened_at bigint not null,
        closed_at bigint
      );
      create index conflict_by_status on conflict (sync, status);
      create index conflict_by_pair on conflict (pair, status);

      create table journal (
        seq bigint generated always as identity primary key,
        sync text collate "C" not null,
        run text not null,
        at bigint not null,
        side text not null,
        kind text not null,
        pair bigint,
        left_key text,
        right_key text,
        fields text,
        before text,
        after text,
        reason text not null
      );
      create index journal_by_run on journal (run);
      create index journal_by_left on journal (sync, left_key);
      create index journal_by_right on journal (sync, right_key);
      create index journal_by_sync on journal (sync, seq);
    `,
  },
  {
    name: '0003-limits',
    sql: `
      -- Not logged: after a crash of the server a window begins anew, and a system that is asked too early says so again.
      create unlogged table limit_line (
        connection text collate "C" primary key,
        paused_until timestamptz not null default '-infinity',
        second_from timestamptz not null default '-infinity',
        second_count integer not null default 0,
        minute_from timestamptz not null default '-infinity',
        minute_count integer not null default 0
      );

      create unlogged table limit_turn (
        id text collate "C" primary key,
        connection text collate "C" not null,
        expires_at timestamptz not null
      );
      create index limit_turn_by_connection on limit_turn (connection);

      -- state: taken; busy, as many calls as may be are being made; paused and spent, for so many milliseconds.
      create function take_turn(
        which text, turn text, per_second integer, per_minute integer, at_once integer, lease_ms integer,
        out state text, out wait_ms integer
      ) language plpgsql as $$
      declare
        line limit_line;
        at timestamptz;
      begin
        insert into limit_line (connection) values (which) on conflict do nothing;
        select * into line from limit_line where connection = which for update;
        -- The clock is read under the lock: who came later is never given an earlier instant.
        at := clock_timestamp();
        state := 'paused';
        wait_ms := case when line.paused_until > at then ceil(extract(epoch from line.paused_until - at) * 1000) end;
        if wait_ms is not null then return; end if;

        if at_once is not null then
          delete from limit_turn where connection = which and expires_at <= at;
          state := 'busy';
          -- Its own is one whose answer was lost.
          if (select count(*) from limit_turn where connection = which and id <> turn) >= at_once then return; end if;
        end if;

        if line.second_from <= at - interval '1 s' then line.second_from := at; line.second_count := 0; end if;
        if line.minute_from <= at - interval '1 min' then line.minute_from := at; line.minute_count := 0; end if;
        state := 'spent';
        if line.second_count >= per_second then
          wait_ms := ceil(extract(epoch from line.second_from + interval '1 s' - at) * 1000);
        end if;
        if line.minute_count >= per_minute then
          wait_ms := greatest(wait_ms, ceil(extract(epoch from line.minute_from + interval '1 min' - at) * 1000)::integer);
        end if;
        if wait_ms is not null then return; end if;

        if per_second is not null or per_minute is not null then
          update limit_line set second_from = line.second_from, second_count = line.second_count + 1,
            minute_from = line.minute_from, minute_count = line.minute_count + 1 where connection = which;
        end if;
        if at_once is not null then
          insert into limit_turn (id, connection, expires_at) values (turn, which, at + lease_ms * interval '1 ms')
            on conflict do nothing;
        end if;
        state := 'taken';
        wait_ms := 0;
      end $$;
    `,
  },
  {
    name: 'who asked for a job',
    sql: 'alter table job add column asked_by text',
  },
  {
    name: 'what calls processes make',
    sql: `
      -- Not logged, as it counts for seconds. calls: a list of objects, each with connection, active and waiting.
      create unlogged table limit_process (
        id text collate "C" primary key,
        calls jsonb not null,
        expires_at timestamptz not null
      );
    `,
  },
  {
    name: 'circuits',
    sql: `
      -- Connections that failed last. Not logged: after a crash of the server they are tried as if they had not.
      create unlogged table circuit (
        connection text collate "C" primary key,
        failures integer not null,
        -- of one that is not left alone: when it failed
        open_until bigint not null
      );
    `,
  },
  {
    name: 'how often fences of two-way syncs were about to be taken',
    sql: 'alter table pairing add column claims bigint not null default 0',
  },
  {
    name: 'how often a job did not end',
    sql: 'alter table job add column takeovers integer not null default 0',
  },
]

/** Any number; the same for every process that migrates a store on this server. */
const MIGRATION_LOCK = 7_954_318_221

/** The version that the schema is at; 0: it is not there. One that a newer Syncline wrote is refused. */
export async function schemaVersion(queries: Queries, schema: string, place: string): Promise<number> {
  const [there] = await queries.query('select to_regclass($1) is not null as there', [`"${schema}".migration`])
  if (there?.there !== true) return 0
  const [row] = await queries.query('select coalesce(max(version), 0) as version from migration')
  const version = Number(row?.version)
  if (version <= migrations.length) return version
  throw new SyncError(
    'FILE_UNUSABLE',
    `the store at ${place} was written by a newer Syncline (its version is ${version}, this one knows ${migrations.length})`,
    { hint: 'Update Syncline: npm install syncline@latest' },
  )
}

/** Brings the schema up to date. Several processes may do so at once: the others wait, and find nothing left to do. */
export async function migrate(database: Database, schema: string): Promise<void> {
  if ((await schemaVersion(database, schema, database.place)) === migrations.length) return
  await database.transaction(async (queries) => {
    await queries.execute('select pg_advisory_xact_lock($1)', [MIGRATION_LOCK])
    await queries.execute(`create schema if not exists "${schema}"`)
    await queries.execute(
      'create table if not exists migration (version integer primary key, name text not null, at timestamptz not null default now())',
    )
    const version = await schemaVersion(queries, schema, database.place)
    for (const [index, { name, sql }] of migrations.entries()) {
      if (index < version) continue
      await queries.execute(sql)
      await queries.execute('insert into migration (version, name) values ($1, $2)', [index + 1, name])
    }
  })
}
