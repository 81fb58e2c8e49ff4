/** When a sync runs by itself. Pure: instants come in and go out as milliseconds since 1970, UTC. */
import { Cron } from 'croner'
import { parseDuration } from './quantity.ts'

export type Schedule =
  /** Every so many milliseconds, in step with the instant it was first due. */
  | { readonly kind: 'interval'; readonly everyMs: number }
  /** At the minutes (or seconds) that a cron expression names on the clocks of an IANA time zone. */
  | { readonly kind: 'cron'; readonly cron: string; readonly zone: string }
  /** When a side announces a change, and at least every so many milliseconds. */
  | { readonly kind: 'continuous'; readonly everyMs: number }
  /** When the other sync has succeeded. */
  | { readonly kind: 'after'; readonly sync: string }
  /** When a webhook comes in for one of its connections. */
  | { readonly kind: 'webhook' }
  /** Only when somebody asks for it. */
  | { readonly kind: 'manual' }

/**
 * The first instant after `nowMs` at which the schedule is due; null: the clock never makes it due. What was missed meanwhile
 * is not made up for: a sync that is due once runs once. `dueMs`: when it was last due, which an interval keeps step with.
 * A time of day that the clocks skip is due at the next instant there is, one that they show twice is due once.
 */
export function nextInstant(schedule: Schedule, nowMs: number, dueMs: number): number | null {
  switch (schedule.kind) {
    case 'interval':
    case 'continuous':
      return nowMs < dueMs ? nowMs + schedule.everyMs : nowMs + schedule.everyMs - ((nowMs - dueMs) % schedule.everyMs)
    case 'cron':
      return cronOf(schedule).nextRun(new Date(nowMs))?.getTime() ?? null
    default:
      return null
  }
}

/** When a schedule that is new at `nowMs` is first due: an interval at once, a cron expression at its next time. */
export function firstInstant(schedule: Schedule, nowMs: number): number | null {
  return schedule.kind === 'interval' || schedule.kind === 'continuous' ? nowMs : nextInstant(schedule, nowMs, nowMs)
}

/** What a person may write. */
export type ScheduleText =
  | string
  | { readonly every: string }
  | { readonly cron: string; readonly zone?: string | undefined }
  | { readonly after: string }

/** How often a continuous sync looks by itself, where nothing else is said. */
const LOOK_MS = 2000

/**
 * Reads `15m`, `every 15 minutes`, `every_15_minutes`, `hourly`, `continuous`, `manual`, `webhook`, a cron expression (in UTC, or as
 * `0 6 * * * (Europe/Berlin)`), or `{ every }`, `{ cron, zone }`, `{ after }`. A text is the reason why it can't be read.
 */
export function parseSchedule(written: ScheduleText): Schedule | string {
  if (typeof written === 'string') return parseText(written.trim())
  if ('after' in written) return { kind: 'after', sync: written.after }
  if ('every' in written) {
    const everyMs = parseEvery(written.every)
    return everyMs === null ? unreadable(written.every) : { kind: 'interval', everyMs }
  }
  return parseCron(written.cron, written.zone ?? 'UTC')
}

/** As `parseSchedule` reads it. */
export function formatSchedule(schedule: Schedule): string {
  switch (schedule.kind) {
    case 'interval':
      return `every ${formatMs(schedule.everyMs)}`
    case 'cron':
      return `${schedule.cron} (${schedule.zone})`
    case 'after':
      return `after ${schedule.sync}`
    default:
      return schedule.kind
  }
}

function parseText(text: string): Schedule | string {
  if (text === 'manual' || text === 'webhook') return { kind: text }
  if (text === 'continuous') return { kind: 'continuous', everyMs: LOOK_MS }
  const everyMs = parseEvery(text)
  if (everyMs !== null) return { kind: 'interval', everyMs }
  const [, cron = text, zone = 'UTC'] = /^(.*\S)\s*\(([\w+/-]+)\)$/s.exec(text) ?? []
  return /^[\d*@]/.test(cron) && /[\s@]/.test(cron) ? parseCron(cron, zone) : unreadable(text)
}

const adverbs: Readonly<Record<string, number>> = { hourly: 3_600_000, daily: 86_400_000, weekly: 604_800_000 }
const units: Readonly<Record<string, string>> = { second: 's', minute: 'm', hour: 'h', day: 'd', week: 'w' }

function parseEvery(text: string): number | null {
  const words = text
    .toLowerCase()
    .replace(/^every(?=[\s_\d])/, '')
    .split(/[\s_]+/)
    .filter((word) => word !== '')
  const [first = '', second] = words
  if (words.length === 1) return adverbs[first] ?? parseDuration(first) ?? parseDuration(`1${unitOf(first)}`)
  return words.length === 2 && second !== undefined ? parseDuration(`${first}${unitOf(second)}`) : null
}

function unitOf(word: string): string {
  return units[word.replace(/s$/, '')] ?? word
}

function parseCron(cron: string, zone: string): Schedule | string {
  const schedule: Schedule = { kind: 'cron', cron: cron.trim(), zone }
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone })
  } catch {
    return `no time zone "${zone}": write its IANA name, like "Europe/Berlin"`
  }
  try {
    return cronOf(schedule).nextRun(new Date(0)) === null
      ? `the cron expression "${cron}" names a time that never comes`
      : schedule
  } catch (error) {
    return `the cron expression "${cron}" can't be read: ${error instanceof Error ? error.message : String(error)}`
  }
}

function unreadable(text: string): string {
  return `"${text}" is no schedule: write a time like "15m" or "every 15 minutes", a cron expression, "continuous", "manual" or "webhook"`
}

const known = new Map<string, Cron>()

/** Parsing one takes longer than asking it; schedules are few. Without a function and paused it starts no timer. */
function cronOf({ cron, zone }: { readonly cron: string; readonly zone: string }): Cron {
  const id = `${zone} ${cron}`
  const parsed = known.get(id) ?? new Cron(cron, { timezone: zone, paused: true })
  if (known.size >= 10_000) known.clear()
  known.set(id, parsed)
  return parsed
}

const spellings: readonly (readonly [ms: number, unit: string])[] = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'm'],
  [1000, 's'],
]

function formatMs(ms: number): string {
  const [size, unit] = spellings.find(([size]) => ms % size === 0) ?? [1, 'ms']
  return `${ms / size}${unit}`
}
