/** The queue in Postgres. A claim is the lease of the job's sync: `lease` says who may run it, `job` what there is to run. */
import { type Job, patienceMs } from '../../core/job.ts'
import { LONGEST_DELAY_MS, LONGEST_LEASE_MS, LONGEST_PAUSE_MS } from '../believable.ts'
import type { Delivery } from '../delivery.ts'
import type {
  Claim,
  ClaimId,
  ClaimOptions,
  Finished,
  Heartbeat,
  JobFilter,
  JobOutcome,
  JobRequest,
  JobStore,
} from '../jobs.ts'
import { jobEnded, jobUnknown } from '../refusals.ts'
import { askedByOf, jobOf } from '../rows.ts'
import type { Database, Queries } from './database.ts'
import { Gathering } from './gathering.ts'
import { endRunsOf } from './leases.ts'

/** How many ended jobs of each sync are kept: runs have their own history. */
const KEPT_JOBS = 20

export class PostgresJobStore implements JobStore {
  readonly #database: Database
  readonly #delivery: Pick<Delivery, 'send'>
  readonly #ends: Gathering<End, Finished | null>

  constructor(database: Database, delivery: Pick<Delivery, 'send'>) {
    this.#database = database
    this.#delivery = delivery
    this.#ends = new Gathering((ends) => this.#finishAll(ends))
  }

  async enqueue(request: JobRequest, nowMs: number): Promise<Job> {
    const [row] = await this.#database.query(statements.enqueue, queueValues(request, nowMs))
    this.#delivery.send()
    return jobOf(row)
  }

  async claim({ worker, leaseMs, limit }: ClaimOptions, nowMs: number): Promise<readonly Claim[]> {
    const rows = await this.#database.query(statements.claim, [worker, nowMs, nowMs + leaseMs, limit])
    return rows.map((row) => {
      const job = jobOf(row)
      const takeovers = row.takes_over === true ? Number(row.takeovers) : 0
      return { id: job.id, sync: job.sync, generation: Number(row.generation), job, takeovers }
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

  async finish(claim: ClaimId, outcome: JobOutcome, retry: JobRequest | null, nowMs: number): Promise<Finished | null> {
    return await this.#ends.ask({ claim, outcome, retry, nowMs })
  }

  async #finishAll(ends: readonly End[]): Promise<readonly (Finished | null)[]> {
    const rows = await this.#database.query(statements.finish, [
      ends.map(({ claim }) => numberOf(claim.id)),
      ends.map(({ claim }) => claim.sync),
      ends.map(({ claim }) => claim.generation),
      ends.map(({ nowMs }) => nowMs),
      ends.map(({ outcome }) => outcome.status),
      ends.map(({ outcome }) => outcome.run),
      ends.map(({ outcome }) => outcome.error?.code ?? null),
      ends.map(({ outcome }) => outcome.error?.message ?? null),
      ends.map(({ outcome }) => outcome.error?.hint ?? null),
      ...columnsOf(ends.map(({ retry, nowMs }) => (retry === null ? noValues : queueValues(retry, nowMs)))),
      KEPT_JOBS,
    ])
    if (Number(rows[0]?.followers ?? 0) > 0) this.#delivery.send()
    const failures = new Map(
      rows.map((row) => [Number(row.place), row.failures === null ? null : Number(row.failures)]),
    )
    return ends.map((_end, at) => (failures.has(at + 1) ? { failures: failures.get(at + 1) ?? null } : null))
  }

  async postpone(claim: ClaimId, dueMs: number): Promise<boolean> {
    const id = numberOf(claim.id)
    const given = await this.#database.transaction(async (queries) => {
      if (!(await freeLease(queries, claim))) return false
      // Where somebody asked for the sync meanwhile, that job takes its place.
      const merged = (await queries.execute(statements.mergeBack, [id, dueMs])) > 0
      if (merged) await queries.execute(statements.remove, [id])
      else await queries.execute(statements.giveBack, [id, dueMs])
      return true
    })
    if (given) this.#delivery.send()
    return given
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

  async list({ sync, among, status, before, limit }: JobFilter): Promise<readonly Job[]> {
    const last = before === undefined ? null : numberOf(before)
    const values = [sync ?? null, status ?? null, last, limit]
    const found =
      among === undefined
        ? await this.#database.query(statements.list, values)
        : await this.#database.query(statements.listAmong, [...values, among])
    return found.map(jobOf)
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

interface End {
  readonly claim: ClaimId
  readonly outcome: JobOutcome
  readonly retry: JobRequest | null
  readonly nowMs: number
}

/** Rows as columns, for `unnest`. */
function columnsOf(rows: readonly (readonly unknown[])[]): readonly (readonly unknown[])[] {
  return (rows[0] ?? []).map((_value, at) => rows.map((row) => row[at]))
}

const noValues: readonly unknown[] = Array(8).fill(null)

/** What `queue` takes. */
export function queueValues(request: JobRequest, nowMs: number): readonly unknown[] {
  const { sync, priority, reason, attempt } = request
  const due = Math.max(request.dueMs, nowMs)
  return [sync, priority, reason, attempt, nowMs, due, due + patienceMs[priority], askedByOf(request.key)]
}

const pauses = `(job.takeovers > 0 and job.due_at <= excluded.queued_at + ${LONGEST_PAUSE_MS})`

/** The end of a WITH that puts a job into the queue, once per row of `source`, and gives it a lease to be claimed by. */
export const queue = (source: string) => `
  asked as (
    select $1::text as sync, $2::text as priority, $3::text as reason, $4::integer as attempt, $5::bigint as queued_at,
      $6::bigint as due_at, $7::bigint as rank_at, $8::text as asked_by ${source}
  ), ${putInto('asked')})
  select * from queued`

/** Two parts of a WITH, the last of them open: jobs from the rows of `asked`, one per sync. */
function putInto(asked: string): string {
  return `known as (
    insert into lease (sync, generation, expires_at) select sync, 0, 0 from ${asked} on conflict do nothing
  ), queued as (
    insert into job (sync, priority, reason, attempt, queued_at, due_at, rank_at, asked_by, status)
    select sync, priority, reason, attempt, queued_at, due_at, rank_at, asked_by, 'queued' from ${asked}
    on conflict (sync) where status = 'queued' do update set
      priority = case when excluded.rank_at - excluded.due_at < job.rank_at - job.due_at then excluded.priority else job.priority end,
      rank_at = case when ${pauses} then job.rank_at else least(job.rank_at, excluded.rank_at) end,
      due_at = case when ${pauses} then job.due_at else least(job.due_at, excluded.due_at) end,
      attempt = least(job.attempt, excluded.attempt), asked_by = case when excluded.asked_by is not null then job.asked_by end,
      cancelling = false
    returning *, null::bigint as lease_until`
}

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
      select job.id, job.sync, job.status, job.cancelling, job.rank_at from ${open} and (lease.holder is null or lease.expires_at <= $2 or lease.expires_at > $2::bigint + ${LONGEST_LEASE_MS})
        and (job.status = 'running' or (job.due_at <= $2 or job.due_at > $2::bigint + ${LONGEST_DELAY_MS}) and not exists (
          select 1 from job as other where other.sync = job.sync and other.status = 'running'))
      order by job.rank_at limit $4 for update of job, lease skip locked
    ), taken as (
      update lease set generation = generation + 1, holder = case when not cancelling then $1 end, expires_at = $3
      from found where lease.sync = found.sync
      returning lease.sync, generation, expires_at
    ), ended as (${endRunsOf('taken')})
    , cancelled as (
      update job set status = 'cancelled', ended_at = $2, cancelling = false from found where job.id = found.id and found.cancelling
    ), started as (
      update job set status = 'running', worker = $1, started_at = $2,
        attempt = job.attempt + (found.status = 'running')::integer, takeovers = job.takeovers + (found.status = 'running')::integer
      from found where job.id = found.id and not found.cancelling
      returning job.*, found.status = 'running' as takes_over
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
  // Many at once, each only if its lease is still held; leases are locked in one order, so that two processes don't wait for each other.
  finish: `
    with ended as (
      select * from unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
        $10::text[], $11::text[], $12::text[], $13::integer[], $14::bigint[], $15::bigint[], $16::bigint[], $17::text[]) with ordinality
        as ended (id, sync, generation, at, status, run, error_code, error_message, error_hint,
          retry, priority, reason, attempt, queued_at, due_at, rank_at, asked_by, place)
    ), held as (
      select ended.* from ended join lease on lease.sync = ended.sync and lease.generation = ended.generation
      where holder is not null order by lease.sync for update of lease
    ), freed as (
      update lease set holder = null from held where lease.sync = held.sync
    ), done as (
      update job set status = held.status, ended_at = held.at, run = held.run, cancelling = false,
        error_code = held.error_code, error_message = held.error_message, error_hint = held.error_hint
      from held where job.id = held.id
    ), pruned as (
      delete from job using held, lateral (
        select id from job as old where old.sync = held.sync and ended_at is not null order by id desc limit 1 offset $18) as last
      where job.sync = held.sync and job.ended_at is not null and job.id <= last.id
    ), followers as (
      select retry as sync, priority, reason, attempt, queued_at, due_at, rank_at, asked_by from held where retry is not null
      union all
      select schedule.sync, 'default', 'after', 1, held.at, held.at, held.at + ${patienceMs.default}, null
      from held join schedule on after_sync = held.sync where held.status = 'succeeded' and not paused
    ), first as (select distinct on (sync) * from followers order by sync, rank_at), ${putInto('first')})
    select place, failures, (select count(*) from queued) as followers from held left join schedule using (sync)`,
  mergeBack: `
    update job set takeovers = greatest(job.takeovers, given.takeovers),
      due_at = case when given.takeovers > 0 then $2 else least(job.due_at, $2) end,
      rank_at = job.rank_at - job.due_at + case when given.takeovers > 0 then $2 else least(job.due_at, $2) end,
      asked_by = case when given.asked_by is not null then job.asked_by end
    from (select sync, takeovers, asked_by from job where id = $1) as given
    where job.status = 'queued' and job.sync = given.sync`,
  remove: `delete from job where id = $1`,
  giveBack: `
    update job set status = 'queued', worker = null, started_at = null, rank_at = $2 + rank_at - due_at, due_at = $2
    where id = $1`,
  cancel: `
    update job set cancelling = status = 'running', ended_at = case when status = 'queued' then $2::bigint end,
      status = case when status = 'queued' then 'cancelled' else status end
    where id = $1`,
  get: `${withLease} where id = $1`,
  list: `
    ${withLease} where ($1::text is null or sync = $1) and ($2::text is null or status = $2) and ($3::bigint is null or id < $3)
    order by id desc limit $4`,
  // By the index of syncs, not from the newest on: other syncs may have any number.
  listAmong: `
    ${withLease} where job.sync = any ($5::text[]) and ($1::text is null or sync = $1) and ($2::text is null or status = $2)
      and ($3::bigint is null or id < $3) order by id + 0 desc limit $4`,
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
