/** POST /sync/start: one call that runs a sync and answers with what came of it, or gives it a schedule. */
import { z } from 'zod'
import { errorCodes, isErrorCode, SyncError } from '../../core/error.ts'
import { priorities } from '../../core/job.ts'
import type { RunRecord } from '../../core/run.ts'
import type { Schedule } from '../../core/schedule.ts'
import { type AnySync, isTwoWay, placesOf } from '../../core/two-way.ts'
import { gatheredBy } from '../../engine/connections/handler-syncs.ts'
import type { KnownSync, Operations } from '../../engine/operations.ts'
import { jobEnd } from '../../engine/results.ts'
import type { ApiKey } from '../../engine/secrets/api-keys.ts'
import { iso } from '../../protocol/objects.ts'
import { visibleSyncs } from '../lookup.ts'
import { queueRun } from '../queue-run.ts'
import { type Answer, type Route, route } from '../route.ts'
import { readSchedule, scheduleText } from '../schedule-text.ts'
import { setSchedule } from '../set-schedule.ts'

const strategies = ['prefer_local', 'prefer_remote', 'manual_review', 'last-write-wins'] as const
const name = z.string().min(1).max(300)
const request = z.strictObject({
  project_id: z.string().regex(/^[\w-]{1,100}$/, 'letters, digits, _ and -'),
  sync_type: z.enum(['pull', 'push', 'bidirectional']),
  source_platform: name.describe(
    'a connection, by its name, its connector’s or its integration’s, or a service of the catalogue',
  ),
  target_entity: name.describe('a sync, or the collection that it writes'),
  schedule: scheduleText.optional().describe('without one it runs now'),
  strategy: z.enum(strategies).optional(),
  priority: z.enum(priorities).default('high'),
})

export const startRoutes: readonly Route[] = [
  route({
    method: 'POST',
    url: '/sync/start',
    summary: 'Runs a sync and answers with the result; with a schedule registers it',
    tag: 'sync',
    scope: 'operate',
    body: request,
    answers: { 200: 'SyncResult', 202: 'SyncScheduled', default: 'SyncResult' },
    handle: async ({ operations, body, key, ...call }) => {
      if (key?.project != null && key.project !== body.project_id)
        throw new SyncError('FORBIDDEN', 'this key is of another project')
      const visible = visibleSyncs(operations, key).filter(
        ({ project }) => project === null || project === body.project_id,
      )
      const known = choose(visible, operations, body, await platformsOf(operations, body.source_platform))
      const { sync } = known
      refuseOtherStrategy(sync, body.strategy)
      return body.schedule === undefined
        ? await runNow(known, body, operations, key, call)
        : await register(known, readSchedule(body.schedule), body, operations, key)
    },
  }),
]

type Request = z.output<typeof request>

/** What the catalogue's words for a platform mean here, beside the word itself. */
async function platformsOf({ catalogue }: Operations, platform: string): Promise<readonly string[]> {
  const services = (await catalogue?.services()) ?? []
  const meant = services.filter(({ name, title }) => same(name, platform) || same(title ?? undefined, platform))
  return [platform, ...meant.map(({ integration }) => integration)]
}

/** SYNC_UNKNOWN and SYNC_AMBIGUOUS name the candidates. */
function choose(
  syncs: readonly KnownSync[],
  operations: Operations,
  body: Request,
  platforms: readonly string[],
): KnownSync {
  const connections = new Map(operations.connections().map((connection) => [connection.name, connection]))
  const isPlatform = (name: string) => {
    const { connector, integration } = connections.get(name) ?? {}
    return [name, connector, integration ?? undefined].some((known) => platforms.some((asked) => same(known, asked)))
  }
  const fits = syncs.filter(({ sync }) => {
    const [left, right] = placesOf(sync)
    if (body.sync_type === 'bidirectional')
      return isTwoWay(sync) && (isPlatform(left.connection) || isPlatform(right.connection))
    return !isTwoWay(sync) && isPlatform(body.sync_type === 'pull' ? left.connection : right.connection)
  })
  const found = fits.filter(({ sync }) => isTarget(sync, body.target_entity))
  const [only] = found
  if (only !== undefined && found.length === 1) return only
  const candidates = (found.length > 0 ? found : fits.length > 0 ? fits : syncs).map(({ sync }) => sync.id).slice(0, 20)
  throw new SyncError(
    found.length > 0 ? 'SYNC_AMBIGUOUS' : 'SYNC_UNKNOWN',
    found.length > 0
      ? `several syncs fit: ${candidates.join(', ')}`
      : `no ${body.sync_type} sync of ${body.source_platform} writes ${body.target_entity}`,
    {
      hint:
        found.length > 0
          ? 'Name one of them as target_entity.'
          : candidates.length === 0
            ? 'There are none.'
            : `There are ${candidates.join(', ')}.`,
    },
  )
}

/** A sync by its name, or by what it writes: the whole name of the collection, or its last part. */
function isTarget(sync: AnySync, entity: string): boolean {
  if (same(sync.id, entity)) return true
  const [left, right] = placesOf(sync)
  // What a connection's sync gathers is called as the sync is.
  const gathered = !isTwoWay(sync) && gatheredBy(right.connection) !== null ? left.collection : undefined
  const targets = isTwoWay(sync) ? [left, right] : [right]
  return targets.some(({ connection, collection }) =>
    [collection, collection.split('.').at(-1), `${connection}.${collection}`, gathered].some((known) =>
      same(known, entity),
    ),
  )
}

function same(a: string | undefined, b: string): boolean {
  return a?.toLowerCase() === b.toLowerCase()
}

/** What decides where both sides changed a field; of a one-way sync, whose rows win. */
function resolutionOf(sync: AnySync, type: Request['sync_type']): string {
  if (!isTwoWay(sync)) return type === 'push' ? 'auto_override_from_local' : 'auto_override_from_remote'
  const rule = sync.onConflict
  if (typeof rule === 'function') return 'custom_rule'
  if (rule === 'newest') return 'last_write_wins'
  if (rule === 'ask') return 'manual_review'
  return rule === (sync.local ?? 'left') ? 'auto_override_from_local' : 'auto_override_from_remote'
}

const asked: Readonly<Record<(typeof strategies)[number], string>> = {
  prefer_local: 'auto_override_from_local',
  prefer_remote: 'auto_override_from_remote',
  manual_review: 'manual_review',
  'last-write-wins': 'last_write_wins',
}

function refuseOtherStrategy(sync: AnySync, strategy: Request['strategy']): void {
  if (strategy === undefined || !isTwoWay(sync) || asked[strategy] === resolutionOf(sync, 'bidirectional')) return
  throw new SyncError(
    'CONFIG_INVALID',
    `sync "${sync.id}" decides by ${resolutionOf(sync, 'bidirectional')}, not by ${strategy}`,
    {
      hint: `Change its \`onConflict\`: a rule holds for all runs of a sync.`,
    },
  )
}

async function runNow(
  known: KnownSync,
  body: Request,
  operations: Operations,
  key: ApiKey | null,
  { signal, stopping }: { readonly signal: AbortSignal; readonly stopping: AbortSignal },
): Promise<Answer> {
  const { store, events } = operations
  const { sync } = known
  const job = await queueRun(operations, known, body.priority, key)
  const ended = await jobEnd(job, store, events, AbortSignal.any([signal, stopping]))
  if (ended === null && signal.aborted)
    throw new SyncError('INTERRUPTED', 'the caller hung up before the sync ended; it goes on')
  if (ended === null)
    throw new SyncError('SERVER_STOPPING', 'the server stops before the sync has ended', {
      hint: `Job ${job.id} stays: another process goes on with it, or this one when it starts again.`,
    })
  const run = ended.run === null ? null : await store.runs.get(ended.run)
  const answer = {
    status: ended.status === 'succeeded' ? 'success' : ended.status,
    synced_items: run === null ? 0 : run.inserted + run.updated + run.deleted,
    conflicts_detected: run?.conflicts ?? 0,
    conflict_resolution: resolutionOf(sync, body.sync_type),
    last_sync: await lastSync(operations, sync.id),
  }
  const error = run?.error ?? ended.error
  return { status: statusOf(ended.status, error), body: { ...answer, ...(error === null ? {} : { error }) } }
}

function statusOf(status: string, error: RunRecord['error']): number {
  if (status === 'succeeded' || error === null) return 200
  return isErrorCode(error.code) ? errorCodes[error.code].status : 500
}

async function register(
  known: KnownSync,
  schedule: Schedule,
  body: Request,
  operations: Operations,
  key: ApiKey | null,
): Promise<Answer> {
  const { sync } = known
  const firstMs = await setSchedule(operations, known, schedule, key)
  return {
    status: 202,
    body: {
      status: 'scheduled',
      synced_items: 0,
      conflicts_detected: 0,
      conflict_resolution: resolutionOf(sync, body.sync_type),
      last_sync: await lastSync(operations, sync.id),
      next_run: iso(firstMs),
    },
  }
}

async function lastSync({ store }: Operations, sync: string): Promise<string | null> {
  const [last] = await store.runs.list({ sync, status: 'succeeded', latest: true, limit: 1 })
  return last === undefined ? null : iso(last.startedAt + (last.durationMs ?? 0))
}
