/** The queue in SQLite. A claim is the lease of the job's sync: `lease` says who may run it, `job` what there is to run. */
import type { DatabaseSync, SQLOutputValue } from 'node:sqlite'
import { SyncError } from '../../core/error.ts'
import { type Job, patienceMs } from '../../core/job.ts'
import { LONGEST_DELAY_MS, LONGEST_LEASE_MS, LONGEST_PAUSE_MS } from '../believable.ts'
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
import { prepared, transact } from './statements.ts'

/** How many ended jobs of each sync are kept: runs have their own history. */
const KEPT_JOBS = 20

export class SqliteJobStore implements JobStore {
  readonly #database: DatabaseSync

  constructor(database: DatabaseSync) {
    this.#database = database
  }

  async enqueue(request: JobRequest, nowMs: number): Promise<Job> {
    return jobOf(enqueue(this.#database, request, nowMs))
  }

  async claim({ worker, leaseMs, limit }: ClaimOptions, nowMs: number): Promise<readonly Claim[]> {
    return transact(this.#database, () => {
      const asked = { now: nowMs, limit }
      const found = [statements.expired, statements.waiting].flatMap((sql) => prepared(this.#database, sql).all(asked))
      const first = found.toSorted((a, b) => Number(a.rank_at) - Number(b.rank_at)).slice(0, limit)
      return first.flatMap(({ id, sync, status, cancelling }) => {
        const times = { sync: String(sync), now: nowMs, until: nowMs + leaseMs }
        const lease = prepared(this.#database, statements.lease).get({ ...times, holder: worker })
        const claim = { sync: String(sync), generation: Number(lease?.generation) }
        if (cancelling === 1) {
          prepared(this.#database, statements.cancelClaimed).run({ id: Number(id), now: nowMs })
          freeLease(this.#database, claim)
          return []
        }
        const takesOver = status === 'running'
        const start = takesOver ? statements.takeOver : statements.start
        prepared(this.#database, start).run({ id: Number(id), worker, now: nowMs })
        const row = prepared(this.#database, statements.get).get({ id: Number(id) })
        const job = jobOf(row)
        return [{ id: job.id, ...claim, job, takeovers: takesOver ? Number(row?.takeovers) : 0 }]
      })
    })
  }

  async heartbeat(claims: readonly ClaimId[], nowMs: number, leaseMs: number): Promise<Heartbeat> {
    return transact(this.#database, () => {
      const lost = claims.filter(({ sync, generation }) => {
        const beat = { sync, generation, until: nowMs + leaseMs }
        return prepared(this.#database, statements.renew).run(beat).changes === 0
      })
      const cancelled = claims.filter(({ id }) => {
        return prepared(this.#database, statements.cancelling).get({ id: Number(id) }) !== undefined
      })
      return { lost, cancelled }
    })
  }

  async finish(claim: ClaimId, end: JobOutcome, retry: JobRequest | null, nowMs: number): Promise<Finished | null> {
    return transact(this.#database, () => {
      if (!freeLease(this.#database, claim)) return null
      prepared(this.#database, statements.finish).run({
        id: Number(claim.id),
        status: end.status,
        now: nowMs,
        run: end.run,
        error_code: end.error?.code ?? null,
        error_message: end.error?.message ?? null,
        error_hint: end.error?.hint ?? null,
      })
      prepared(this.#database, statements.prune).run({ sync: claim.sync, kept: KEPT_JOBS })
      if (retry !== null) enqueue(this.#database, retry, nowMs)
      if (end.status === 'succeeded') this.#enqueueAfter(claim.sync, nowMs)
      const row = prepared(this.#database, statements.failures).get({ sync: claim.sync })
      return { failures: row === undefined ? null : Number(row.failures) }
    })
  }

  #enqueueAfter(ended: string, nowMs: number): void {
    for (const { sync } of prepared(this.#database, statements.after).all({ sync: ended })) {
      const follower: JobRequest = {
        sync: String(sync),
        priority: 'default',
        reason: 'after',
        dueMs: nowMs,
        attempt: 1,
      }
      enqueue(this.#database, follower, nowMs)
    }
  }

  async postpone(claim: ClaimId, dueMs: number): Promise<boolean> {
    return transact(this.#database, () => {
      if (!freeLease(this.#database, claim)) return false
      const id = Number(claim.id)
      // Where somebody asked for the sync meanwhile, that job takes its place.
      const merged = prepared(this.#database, statements.mergeBack).run({ id, due: dueMs }).changes > 0
      if (merged) prepared(this.#database, statements.remove).run({ id })
      else prepared(this.#database, statements.giveBack).run({ id, due: dueMs })
      return true
    })
  }

  async cancel(id: string, nowMs: number): Promise<Job> {
    const named = { id: numberOf(id) }
    return transact(this.#database, () => {
      const job = prepared(this.#database, statements.get).get(named)
      if (job === undefined) throw jobUnknown(id)
      if (job.ended_at !== null) {
        throw jobEnded(id, String(job.sync), String(job.status))
      }
      prepared(this.#database, statements.cancelQueued).run({ ...named, now: nowMs })
      prepared(this.#database, statements.cancelRunning).run(named)
      return jobOf(prepared(this.#database, statements.get).get(named))
    })
  }

  async get(id: string): Promise<Job | null> {
    const row = prepared(this.#database, statements.get).get({ id: numberOf(id) })
    return row === undefined ? null : jobOf(row)
  }

  async list({ sync, among, status, before, limit }: JobFilter): Promise<readonly Job[]> {
    const filter = {
      sync: sync ?? null,
      status: status ?? null,
      before: before === undefined ? null : numberOf(before),
    }
    const found = among === undefined ? statements.list : statements.listAmong
    return prepared(this.#database, found)
      .all({ ...filter, limit, ...(among === undefined ? {} : { among: JSON.stringify(among) }) })
      .map(jobOf)
  }

  async count(): Promise<Readonly<Record<'queued' | 'running', number>>> {
    const row = prepared(this.#database, statements.count).get()
    return { queued: Number(row?.queued), running: Number(row?.running) }
  }

  async nextDue(): Promise<number | null> {
    const at = prepared(this.#database, statements.nextDue).get()?.at
    return at === null || at === undefined ? null : Number(at)
  }
}

/** To be called inside a transaction, or as one. */
export function enqueue(database: DatabaseSync, request: JobRequest, nowMs: number): Record<string, SQLOutputValue> {
  const { sync, priority, reason, attempt } = request
  const due = Math.max(request.dueMs, nowMs)
  const times = { now: nowMs, due, rank: due + patienceMs[priority] }
  const asked_by = askedByOf(request.key)
  const row = prepared(database, statements.enqueue).get({ sync, priority, reason, attempt, asked_by, ...times })
  if (row === undefined) throw new SyncError('INTERNAL', `a job of "${sync}" could not be queued`)
  return row
}

function freeLease(database: DatabaseSync, { sync, generation }: Omit<ClaimId, 'id'>): boolean {
  return prepared(database, statements.free).run({ sync, generation }).changes === 1
}

/** What a person names may be anything; an id is a whole number. */
function numberOf(id: string): number {
  return /^\d{1,15}$/.test(id) ? Number(id) : -1
}

const expired = `(lease.holder is null or lease.expires_at <= :now or lease.expires_at > :now + ${LONGEST_LEASE_MS})`
const pauses = `(takeovers > 0 and due_at <= :now + ${LONGEST_PAUSE_MS})`
const leaseUntil = `(select expires_at from lease where lease.sync = job.sync) as lease_until`

const statements = {
  enqueue: `
    insert into job (sync, priority, reason, queued_at, due_at, rank_at, attempt, asked_by, status)
    values (:sync, :priority, :reason, :now, :due, :rank, :attempt, :asked_by, 'queued')
    on conflict (sync) where status = 'queued' do update set
      priority = case when excluded.rank_at - excluded.due_at < rank_at - due_at then excluded.priority else priority end,
      rank_at = case when ${pauses} then rank_at else min(rank_at, excluded.rank_at) end,
      due_at = case when ${pauses} then due_at else min(due_at, excluded.due_at) end, attempt = min(attempt, excluded.attempt),
      asked_by = case when excluded.asked_by is not null then asked_by end, cancelling = 0
    returning *, null as lease_until`,
  // Two statements, each of which walks its index in order and stops: together they would sort everything that waits.
  expired: `
    select job.id, job.sync, job.status, job.cancelling, job.rank_at from job join lease on lease.sync = job.sync
    where job.status = 'running' and ${expired} order by job.rank_at limit :limit`,
  waiting: `
    select job.id, job.sync, job.status, job.cancelling, job.rank_at from job left join lease on lease.sync = job.sync
    where job.status = 'queued' and (job.due_at <= :now or job.due_at > :now + ${LONGEST_DELAY_MS}) and ${expired}
      and not exists (select 1 from job as other where other.sync = job.sync and other.status = 'running')
    order by job.rank_at limit :limit`,
  lease: `
    insert into lease (sync, generation, holder, expires_at) values (:sync, 1, :holder, :until)
    on conflict (sync) do update set generation = generation + 1, holder = excluded.holder, expires_at = excluded.expires_at
      where ${expired}
    returning generation`,
  start: `update job set status = 'running', worker = :worker, started_at = :now where id = :id`,
  takeOver: `update job set worker = :worker, started_at = :now, attempt = attempt + 1, takeovers = takeovers + 1 where id = :id`,
  renew: `update lease set expires_at = :until where sync = :sync and generation = :generation and holder is not null`,
  free: `update lease set holder = null where sync = :sync and generation = :generation and holder is not null`,
  cancelling: `select 1 from job where id = :id and cancelling = 1`,
  finish: `
    update job set status = :status, ended_at = :now, run = :run, cancelling = 0,
      error_code = :error_code, error_message = :error_message, error_hint = :error_hint
    where id = :id`,
  prune: `
    delete from job where sync = :sync and ended_at is not null and id <=
      (select id from job where sync = :sync and ended_at is not null order by id desc limit 1 offset :kept)`,
  after: `select sync from schedule where after_sync = :sync and not paused`,
  failures: `select failures from schedule where sync = :sync`,
  mergeBack: `
    update job set takeovers = max(job.takeovers, given.takeovers),
      due_at = case when given.takeovers > 0 then :due else min(job.due_at, :due) end,
      rank_at = job.rank_at - job.due_at + case when given.takeovers > 0 then :due else min(job.due_at, :due) end,
      asked_by = case when given.asked_by is not null then job.asked_by end
    from (select sync, takeovers, asked_by from job where id = :id) as given
    where job.status = 'queued' and job.sync = given.sync`,
  remove: `delete from job where id = :id`,
  giveBack: `
    update job set status = 'queued', worker = null, started_at = null, rank_at = :due + rank_at - due_at, due_at = :due
    where id = :id`,
  cancelQueued: `update job set status = 'cancelled', ended_at = :now where id = :id and status = 'queued'`,
  cancelClaimed: `update job set status = 'cancelled', ended_at = :now, cancelling = 0 where id = :id`,
  cancelRunning: `update job set cancelling = 1 where id = :id and status = 'running'`,
  get: `select *, ${leaseUntil} from job where id = :id`,
  list: `
    select *, ${leaseUntil} from job
    where (:sync is null or sync = :sync) and (:status is null or status = :status) and (:before is null or id < :before)
    order by id desc limit :limit`,
  // By the index of syncs, not from the newest on: other syncs may have any number.
  listAmong: `
    select *, ${leaseUntil} from job where sync in (select value from json_each(:among)) and (:sync is null or sync = :sync)
      and (:status is null or status = :status) and (:before is null or id < :before) order by +id desc limit :limit`,
  count: `
    select (select count(*) from job where status = 'queued') as queued,
      (select count(*) from job where status = 'running') as running`,
  // A job of a sync that somebody runs may start when that one's lease is over; whoever runs it looks again by himself when it ends.
  nextDue: `
    select min(at) as at from (
      select case when lease.holder is null then job.due_at else max(job.due_at, lease.expires_at) end as at
      from job left join lease on lease.sync = job.sync where job.status = 'queued'
      union all
      select case when lease.holder is null then 0 else lease.expires_at end
      from job join lease on lease.sync = job.sync where job.status = 'running')`,
} as const
