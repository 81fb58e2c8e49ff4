/** The queue in Postgres. A claim is the lease of the job's sync: `lease` says who may run it, `job` what there is to run. */
import { type Job, patienceMs } from '../../core/job.ts'
import type { Claim, ClaimId, ClaimOptions, Heartbeat, JobFilter, JobOutcome, JobRequest, JobStore } from '../jobs.ts'
import { jobEnded, jobUnknown } from '../refusals.ts'
import { jobOf } from '../rows.ts'
import type { Database, Queries } from './database.ts'
import { notify } from './hints.ts'
import { endRunsOf } from './leases.ts'

/** How many ended jobs of each sync are kept: runs have their own history. */
const KEPT_JOBS = 20

export class PostgresJobStore implements JobStore {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  async enqueue(request: JobRequest, nowMs: number): Promise<Job> {
    const [row] = await this.#database.query(statements.enqueue, queueValues(request, nowMs))
    return jobOf(row)
  }

  async claim({ worker, leaseMs, limit }: ClaimOptions, nowMs: number): Promise<readonly Claim[]> {
    const rows = await this.#database.query(statements.claim, [worker, nowMs, nowMs + leaseMs, limit])
    return rows.map((row) => {
      const job = jobOf(row)
      return { id: job.id, sync: job.sync, generation: Number(row.generation), job }
    })
  }

  async heartbeat(claims: readonly ClaimId[], nowMs: number, leaseMs: number): Promise<Heartbeat> {
    const rows = await this.#database.query(statements.heartbeat, [
      claims.map(({ id }) => numberOf(id)),
      claims.map(({ sync }) => sync),
      claims.map(({ generation }) => generation),
      nowMs + leaseMs,
    ])
    const those = (column: 'lost' | 'cancelling') =>
      claims.filter((claim) => rows.some((row) => row.place === claims.indexOf(claim) + 1 && row[column] === true))
    return { lost: those('lost'), cancelled: those('cancelling') }
  }

  async finish(claim: ClaimId, end: JobOutcome, follow: readonly JobRequest[], nowMs: number): Promise<boolean> {
    const { run, error } = end
    const failure = [error?.code ?? null, error?.message ?? null, error?.hint ?? null]
    return await this.#database.transaction(async (queries) => {
      if (!(await freeLease(queries, claim))) return false
      await queries.execute(statements.finish, [numberOf(claim.id), end.status, nowMs, run, ...failure])
      await queries.execute(statements.prune, [claim.sync, KEPT_JOBS])
      for (const request of follow) await queries.execute(statements.enqueue, queueValues(request, nowMs))
      return true
    })
  }

  async postpone(claim: ClaimId, dueMs: number): Promise<boolean> {
    const id = numberOf(claim.id)
    return await this.#database.transaction(async (queries) => {
      if (!(await freeLease(queries, claim))) return false
      // Where somebody asked for the sync meanwhile, that job takes its place.
      const merged = (await queries.execute(statements.mergeBack, [id, dueMs])) > 0
      if (merged) await queries.execute(statements.remove, [id])
      else await queries.execute(statements.giveBack, [id, dueMs])
      return true
    })
  }

  async cancel(id: string, nowMs: number): Promise<Job> {
    return await this.#database.transaction(async (queries) => {
      const [job] = await queries.query(`${statements.get} for update of job`, [numberOf(id)])
      if (job === undefined) throw jobUnknown(id)
      if (job.ended_at !== null) throw jobEnded(id, String(job.sync), String(job.status))
      await queries.execute(statements.cancel, [numberOf(id), nowMs])
      const [cancelled] = await queries.query(statements.get, [numberOf(id)])
      return jobOf(cancelled)
    })
  }

  async get(id: string): Promise<Job | null> {
    const [row] = await this.#database.query(statements.get, [numberOf(id)])
    return row === undefined ? null : jobOf(row)
  }

  async list({ sync, status, before, limit }: JobFilter): Promise<readonly Job[]> {
    const last = before === undefined ? null : numberOf(before)
    return (await this.#database.query(statements.list, [sync ?? null, status ?? null, last, limit])).map(jobOf)
  }

  async count(): Promise<Readonly<Record<'queued' | 'running', number>>> {
    const [row] = await this.#database.query(statements.count)
    return { queued: Number(row?.queued), running: Number(row?.running) }
  }

  async nextDue(): Promise<number | null> {
    const [row] = await this.#database.query(statements.nextDue)
    return row === undefined || row.at === null ? null : Number(row.at)
  }
}

/** What `queue` takes. */
export function queueValues(request: JobRequest, nowMs: number): readonly unknown[] {
  const { sync, priority, reason, attempt } = request
  const due = Math.max(request.dueMs, nowMs)
  return [sync, priority, reason, attempt, nowMs, due, due + patienceMs[priority]]
}

/** The end of a WITH that puts a job into the queue, once per row of `source`, and gives it a lease to be claimed by. */
export const queue = (source: string) => `
  known as (
    insert into lease (sync, generation, expires_at) select $1::text, 0, 0 ${source} on conflict do nothing
  )
  insert into job (sync, priority, reason, attempt, queued_at, due_at, rank_at, status)
  select $1::text, $2::text, $3::text, $4::integer, $5::bigint, $6::bigint, $7::bigint, 'queued' ${source}
  on conflict (sync) where status = 'queued' do update set
    priority = case when excluded.rank_at - excluded.due_at < job.rank_at - job.due_at then excluded.priority else job.priority end,
    rank_at = least(job.rank_at, excluded.rank_at), due_at = least(job.due_at, excluded.due_at),
    attempt = least(job.attempt, excluded.attempt)
  returning *, null::bigint as lease_until, ${notify}`

async function freeLease(queries: Queries, { sync, generation }: ClaimId): Promise<boolean> {
  return (await queries.execute(statements.free, [sync, generation])) === 1
}

/** What a person names may be anything; an id is a whole number. */
function numberOf(id: string): number {
  return /^\d{1,15}$/.test(id) ? Number(id) : -1
}

const withLease = `select job.*, (select expires_at from lease where lease.sync = job.sync) as lease_until from job`
const open = `job join lease on lease.sync = job.sync where job.status in ('queued', 'running')`

const statements = {
  enqueue: `with ${queue('')}`,
  // Who is in the middle of something with a job or a lease is left alone: to wait for him could be to wait for a frozen process.
  claim: `
    with found as materialized (
      select job.id, job.sync, job.status, job.rank_at from ${open} and (lease.holder is null or lease.expires_at <= $2)
        and (job.status = 'running' or job.due_at <= $2 and not exists (
          select 1 from job as other where other.sync = job.sync and other.status = 'running'))
      order by job.rank_at limit $4 for update of job, lease skip locked
    ), taken as (
      update lease set generation = generation + 1, holder = $1, expires_at = $3 from found where lease.sync = found.sync
      returning lease.sync, generation, expires_at
    ), ended as (${endRunsOf('taken')})
    , started as (
      update job set status = 'running', worker = $1, started_at = $2,
        attempt = case when found.status = 'running' then job.attempt + 1 else job.attempt end
      from found where job.id = found.id
      returning job.*
    )
    select started.*, taken.generation, taken.expires_at as lease_until from started join taken using (sync) order by rank_at`,
  heartbeat: `
    with beat as (
      select * from unnest($1::bigint[], $2::text[], $3::bigint[]) with ordinality as beat (id, sync, generation, place)
    ), renewed as (
      update lease set expires_at = $4 from beat
      where lease.sync = beat.sync and lease.generation = beat.generation and holder is not null
      returning place
    )
    select place, place not in (select place from renewed) as lost,
      exists (select 1 from job where job.id = beat.id and cancelling) as cancelling from beat`,
  free: `update lease set holder = null where sync = $1 and generation = $2 and holder is not null`,
  finish: `
    update job set status = $2, ended_at = $3, run = $4, cancelling = false, error_code = $5, error_message = $6, error_hint = $7
    where id = $1`,
  prune: `
    delete from job where sync = $1 and ended_at is not null and id <=
      (select id from job where sync = $1 and ended_at is not null order by id desc limit 1 offset $2)`,
  mergeBack: `
    update job set due_at = least(due_at, $2), rank_at = least(rank_at, $2 + rank_at - due_at)
    where status = 'queued' and sync = (select sync from job where id = $1)`,
  remove: `delete from job where id = $1`,
  giveBack: `
    update job set status = 'queued', worker = null, started_at = null, rank_at = $2 + rank_at - due_at, due_at = $2
    where id = $1 returning ${notify}`,
  cancel: `
    update job set cancelling = status = 'running', ended_at = case when status = 'queued' then $2::bigint end,
      status = case when status = 'queued' then 'cancelled' else status end
    where id = $1`,
  get: `${withLease} where id = $1`,
  list: `
    ${withLease} where ($1::text is null or sync = $1) and ($2::text is null or status = $2) and ($3::bigint is null or id < $3)
    order by id desc limit $4`,
  count: `
    select count(*) filter (where status = 'queued') as queued, count(*) filter (where status = 'running') as running
    from job where status in ('queued', 'running')`,
  // A job of a sync that somebody runs may start when that one's lease is over; whoever runs it looks again by himself when it ends.
  nextDue: `
    select min(case
      when job.status = 'running' then case when lease.holder is null then 0 else lease.expires_at end
      when lease.holder is null then job.due_at
      else greatest(job.due_at, lease.expires_at) end) as at
    from ${open}`,
} as const
