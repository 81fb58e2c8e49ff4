/** Schedules as they come with a request. */
import { z } from 'zod'
import { SyncError } from '../core/error.ts'
import { parseSchedule, type Schedule } from '../core/schedule.ts'

/** Without `after`: what runs after what is part of a definition, which can be looked at as a whole. */
export const scheduleText = z
  .union([
    z.string().max(200),
    z.strictObject({ every: z.string().max(200) }),
    z.strictObject({ cron: z.string().max(200), zone: z.string().max(100).optional() }),
  ])
  .describe(
    'every_15_minutes, 1h, a cron expression in UTC, one with a zone as "0 6 * * 1-5 (Europe/Berlin)" or { cron, zone }, continuous, manual, webhook',
  )

/** CONFIG_INVALID: it can't be read; `place` says which one it is. */
export function readSchedule(written: z.output<typeof scheduleText>, place = ''): Schedule {
  const schedule = parseSchedule(written)
  if (typeof schedule === 'string') throw new SyncError('CONFIG_INVALID', `${place}${schedule}`)
  return schedule
}
