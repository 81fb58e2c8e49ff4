/** Syncs: what there are, what they would do and have done, and making them do it. */
import { z } from 'zod'
import { SyncError } from '../../core/error.ts'
import { priorities } from '../../core/job.ts'
import { formatSchedule } from '../../core/schedule.ts'
import { describeChange } from '../../core/schema.ts'
import { isTwoWay, placesOf } from '../../core/two-way.ts'
import { systemClock } from '../../engine/clock.ts'
import { planSync } from '../../engine/one-way/plan.ts'
import { verifySync } from '../../engine/one-way/verify.ts'
import type { KnownSync, Operations } from '../../engine/operations.ts'
import { setPaused } from '../../engine/queue/service.ts'
import { resetSync } from '../../engine/runs/run-sync.ts'
import { underLease } from '../../engine/runs/run-under-lease.ts'
import { whyRow } from '../../engine/two-way/explain.ts'
import { planTwoWay } from '../../engine/two-way/plan.ts'
import { storyObject } from '../../engine/two-way/story-object.ts'
import { verifyTwoWay } from '../../engine/two-way/verify.ts'
import { iso, jobObject, runObject } from '../../protocol/objects.ts'
import { printable } from '../../protocol/printable.ts'
import { announce } from '../announce.ts'
import { maySee } from '../auth.ts'
import { visibleSync, visibleSyncs } from '../lookup.ts'
import { cutPage, namedPageQuery } from '../page.ts'
import { queueRun } from '../queue-run.ts'
import { type Route, route } from '../route.ts'
import { readSchedule, scheduleText } from '../schedule-text.ts'
import { setSchedule, takeScheduleBack } from '../set-schedule.ts'

/** `everything/orders` is one name: its slash is sent as %2F. */
const named = z.object({ name: z.string().min(1).max(300) })

export const syncRoutes: readonly Route[] = [
  route({
    method: 'GET',
    url: '/api/syncs',
    summary: 'The syncs, with their schedules and last runs',
    tag: 'syncs',
    scope: 'read',
    query: z.object(namedPageQuery),
    answers: { 200: 'SyncPage' },
    handle: async ({ operations, query, key }) => {
      const { items, next } = cutPage(visibleSyncs(operations, key), query, ({ sync }) => sync.id)
      return { body: { items: await Promise.all(items.map((known) => describe(operations, known))), next } }
    },
  }),
  route({
    method: 'GET',
    url: '/api/syncs/:name',
    summary: 'One sync',
    tag: 'syncs',
    scope: 'read',
    params: named,
    answers: { 200: 'Sync' },
    handle: async ({ operations, params, key }) => ({
      body: await describe(operations, visibleSync(operations, key, params.name)),
    }),
  }),
  route({
    method: 'PUT',
    url: '/api/syncs/:name',
    summary: 'Makes a sync, or changes one made here: the body is written as in a config file',
    tag: 'syncs',
    scope: 'admin',
    params: named,
    // Its own schema is the config's, which says better what is wrong.
    body: z.looseObject({}).meta({ $ref: '#/components/schemas/SyncDefinition' }),
    answers: { 200: 'SyncList', 201: 'SyncList' },
    handle: async ({ operations, params, body, key }) => {
      const { change, project, syncs } = await operations.putSync(params.name, body, key?.project ?? null)
      announce(operations, key, { what: 'sync', name: params.name, change, project })
      return {
        status: change === 'made' ? 201 : 200,
        body: { items: await Promise.all(syncs.map((one) => describe(operations, one))) },
      }
    },
  }),
  route({
    method: 'DELETE',
    url: '/api/syncs/:name',
    summary: 'Takes away a sync made here; its target keeps its rows',
    tag: 'syncs',
    scope: 'admin',
    params: named,
    answers: { 204: null },
    handle: async ({ operations, params, key }) => {
      // By the name it was made under, also a pattern's, and while it is set aside.
      const made = operations.madeSync(params.name)
      if (made === null || !maySee(key, made.project)) {
        visibleSync(operations, key, params.name)
        throw new SyncError('FORBIDDEN', `no sync was made here as "${params.name}"`, {
          hint: 'One of the config file is taken out there; one that a pattern expanded to goes with its pattern.',
        })
      }
      await operations.removeSync(params.name, key?.project ?? null)
      announce(operations, key, { what: 'sync', name: params.name, change: 'removed', project: made.project })
      return { status: 204 }
    },
  }),
  route({
    method: 'POST',
    url: '/api/syncs/:name/run',
    summary: 'Puts it into the queue',
    tag: 'syncs',
    scope: 'operate',
    params: named,
    body: z.object({ priority: z.enum(priorities).default('default') }).nullish(),
    answers: { 202: 'Job' },
    handle: async ({ operations, params, body, key }) => {
      const known = visibleSync(operations, key, params.name)
      return { status: 202, body: jobObject(await queueRun(operations, known, body?.priority ?? 'default', key)) }
    },
  }),
  ...(['pause', 'resume'] as const).map((action) =>
    route({
      method: 'POST',
      url: `/api/syncs/:name/${action}`,
      summary: action === 'pause' ? 'Stops it from being run by its schedule' : 'Lets it go on',
      tag: 'syncs',
      scope: 'operate',
      params: named,
      answers: { 200: 'Sync' },
      handle: async ({ operations, params, key }) => {
        const known = visibleSync(operations, key, params.name)
        await setPaused(operations.store, systemClock, known.sync.id, action === 'pause')
        operations.service.wake()
        const change = action === 'pause' ? 'paused' : 'resumed'
        announce(operations, key, { what: 'schedule', name: known.sync.id, change, project: known.project })
        return { body: await describe(operations, known) }
      },
    }),
  ),
  route({
    method: 'PUT',
    url: '/api/syncs/:name/schedule',
    summary: 'When it runs, whatever its definition says',
    tag: 'syncs',
    scope: 'operate',
    params: named,
    body: z.strictObject({ schedule: scheduleText }),
    answers: { 200: 'Sync' },
    handle: async ({ operations, params, body, key }) => {
      const known = visibleSync(operations, key, params.name)
      await setSchedule(operations, known, readSchedule(body.schedule), key)
      return { body: await describe(operations, known) }
    },
  }),
  route({
    method: 'DELETE',
    url: '/api/syncs/:name/schedule',
    summary: 'Takes back when a call said that it runs: what its definition says counts again',
    tag: 'syncs',
    scope: 'operate',
    params: named,
    answers: { 200: 'Sync' },
    handle: async ({ operations, params, key }) => {
      const known = visibleSync(operations, key, params.name)
      await takeScheduleBack(operations, known, key)
      return { body: await describe(operations, known) }
    },
  }),
  route({
    method: 'POST',
    url: '/api/syncs/:name/plan',
    summary: 'What a run would change; writes nothing',
    heavy: true,
    tag: 'syncs',
    scope: 'read',
    params: named,
    answers: { 200: 'Plan' },
    handle: async ({ operations, params, key, signal }) => {
      const { sync } = visibleSync(operations, key, params.name)
      return await operations.use(async (project) => {
        if (isTwoWay(sync)) return { body: printable(await planTwoWay(sync, project)) }
        const { schema, ...plan } = await planSync(sync, project)
        const changes = schema.map((change) => ({ ...change, description: describeChange(change) }))
        return { body: printable({ ...plan, schema: changes }) }
      }, signal)
    },
  }),
  route({
    method: 'POST',
    url: '/api/syncs/:name/verify',
    summary: 'Whether both sides are equal, by value',
    heavy: true,
    tag: 'syncs',
    scope: 'read',
    params: named,
    answers: { 200: 'Verification' },
    handle: async ({ operations, params, key, signal }) => {
      const { sync } = visibleSync(operations, key, params.name)
      const quietly = () => {}
      return await operations.use(
        async (project) => ({
          body: printable(
            isTwoWay(sync)
              ? await verifyTwoWay(sync, project, quietly)
              : await verifySync(sync, project, { repair: false, onProgress: quietly }),
          ),
        }),
        signal,
      )
    },
  }),
  route({
    method: 'GET',
    url: '/api/syncs/:name/why',
    summary: 'A row’s story: its pair, base, both values now, the last ten writes and why; of a two-way sync',
    heavy: true,
    tag: 'syncs',
    scope: 'read',
    params: named,
    query: z.object({
      key: z.string().min(1).max(5000).describe('as the left or the right side has it; parts are separated by commas'),
    }),
    answers: { 200: 'Story' },
    handle: async ({ operations, params, query, key, signal }) => {
      const { sync } = visibleSync(operations, key, params.name)
      if (!isTwoWay(sync))
        throw new SyncError('CONFIG_INVALID', `sync "${sync.id}" is not two-way`, {
          hint: 'Only syncs with `between` have pairs and a journal; a one-way sync keeps counts (GET /api/runs).',
        })
      const story = await operations.use((project) => whyRow(sync, project, query.key), signal)
      return { body: printable(await storyObject(story, operations.store.pairs)) }
    },
  }),
  route({
    method: 'POST',
    url: '/api/syncs/:name/reset',
    summary: 'Forgets how far it was read: the next run compares in full; 409 while it is running',
    tag: 'syncs',
    scope: 'admin',
    params: named,
    answers: { 204: null },
    handle: async ({ operations, params, key, signal }) => {
      const { sync } = visibleSync(operations, key, params.name)
      // A run under way would go on from what is forgotten: while there is one, this is refused.
      await operations.use(
        (project) => underLease(sync, project, (_, held) => resetSync(sync, held, { drop: false })),
        signal,
      )
      return { status: 204 }
    },
  }),
]

async function describe({ store }: Operations, { sync, origin, project }: KnownSync): Promise<Record<string, unknown>> {
  const [left, right] = placesOf(sync)
  const schedule = await store.schedules.get(sync.id)
  const [last] = await store.runs.list({ sync: sync.id, latest: true, limit: 1 })
  return {
    name: sync.id,
    kind: isTwoWay(sync) ? 'two-way' : 'one-way',
    left: `${left.connection}.${left.collection}`,
    right: `${right.connection}.${right.collection}`,
    origin,
    project,
    schedule: formatSchedule(schedule?.schedule ?? sync.schedule),
    scheduledBy: origin !== 'connection' && schedule?.origin === 'api' ? 'call' : 'definition',
    paused: schedule?.paused ?? false,
    nextAt: iso(schedule?.nextAt ?? null),
    failures: schedule?.failures ?? 0,
    lastRun: last === undefined ? null : runObject(last),
  }
}
