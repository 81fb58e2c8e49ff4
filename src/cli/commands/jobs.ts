/** `syncline jobs`, `trigger`, `cancel`, `pause` and `resume`: what the service has to do, and how a person steers it. */
import { type Command, Option } from 'commander'
import { type Job, type Priority, priorities } from '../../core/job.ts'
import { formatSchedule } from '../../core/schedule.ts'
import { systemClock } from '../../engine/clock.ts'
import { setPaused, trigger } from '../../engine/queue/service.ts'
import { jobObject, scheduleObject } from '../../protocol/objects.ts'
import type { ScheduleRecord } from '../../store/jobs.ts'
import { openProject } from '../project/open-project.ts'
import { exitCodes } from '../terminal/exit-code.ts'
import { instant, table } from '../terminal/format.ts'
import { failureLines } from '../terminal/run-reporter.ts'
import { type Shell, show } from '../terminal/shell.ts'
import type { Execute } from './command.ts'

export function addJobs(program: Command, execute: Execute): void {
  program
    .command('jobs')
    .description('show the schedules, and what is queued and running')
    .argument('[sync]', 'only this sync, with its last jobs')
    .addHelpText(
      'after',
      `
With --json, one object per schedule (event schedule: sync, schedule, paused, nextAt, lastAt, failures) and one per job
(event job: id, sync, status, priority, reason, attempt, queuedAt, dueAt, startedAt, endedAt, run, error).`,
    )
    .action((sync?: string) => execute((shell) => jobs(shell, sync)))
}

export function addTrigger(program: Command, execute: Execute): void {
  program
    .command('trigger')
    .description('put syncs into the queue of the running service')
    .argument('<sync...>', 'their names')
    .addOption(new Option('--priority <priority>', 'how urgent it is').choices([...priorities]).default('high'))
    .action((syncs: string[], options: { priority: Priority }) =>
      execute((shell) => triggerAll(shell, syncs, options.priority)),
    )
}

export function addCancel(program: Command, execute: Execute): void {
  program
    .command('cancel')
    .description('take a job out of the queue, or stop it: what it did stays done')
    .argument('<job>', 'its id, as `jobs` prints it')
    .action((id: string) => execute((shell) => cancel(shell, id)))
}

export function addPause(program: Command, execute: Execute): void {
  program
    .command('pause')
    .description('stop syncs from being run by their schedules')
    .argument('<sync...>', 'their names')
    .action((syncs: string[]) => execute((shell) => pauseAll(shell, syncs, true)))
}

export function addResume(program: Command, execute: Execute): void {
  program
    .command('resume')
    .description('let paused syncs go on')
    .argument('<sync...>', 'their names')
    .action((syncs: string[]) => execute((shell) => pauseAll(shell, syncs, false)))
}

async function jobs(shell: Shell, sync: string | undefined): Promise<number> {
  await using opened = await openProject(shell, { readOnly: true })
  const { store } = opened.project
  const all = await store.schedules.list({})
  const schedules = all.filter((schedule) => sync === undefined || schedule.sync === sync)
  const statuses = ['running', 'queued'] as const
  const found =
    sync === undefined
      ? (await Promise.all(statuses.map((status) => store.jobs.list({ status, limit: 1000 })))).flat()
      : await store.jobs.list({ sync, limit: 20 })
  for (const schedule of schedules) show(shell, { event: 'schedule', ...scheduleObject(schedule) }, () => {})
  for (const job of found) show(shell, { event: 'job', ...jobObject(job) }, () => {})
  if (shell.json) return exitCodes.fine
  const { out } = shell.terminal
  if (schedules.length === 0) out('nothing is scheduled: `syncline start` schedules the syncs of the config')
  else for (const line of table(schedules.map(scheduleCells), ['sync', 'schedule', 'next', 'failures'])) out(line)
  if (found.length > 0) {
    out('')
    for (const line of table(found.map(jobCells), ['job', 'sync', 'status', 'priority', 'reason', 'since'])) out(line)
  }
  for (const { id, state } of found)
    if ('error' in state && state.error !== null)
      for (const line of [`\n${id}`, ...failureLines(state.error)]) out(line)
  return exitCodes.fine
}

/** Puts syncs into the queue. */
export async function triggerAll(shell: Shell, syncs: readonly string[], priority: Priority): Promise<number> {
  await using opened = await openProject(shell, { readOnly: false })
  const { syncs: chosen, failures } = await opened.expand(syncs)
  for (const { error } of failures) throw error
  for (const { id } of chosen) {
    const job = await trigger(opened.project.store, systemClock, id, priority)
    show(shell, { event: 'job', ...jobObject(job) }, () => shell.terminal.out(`${id} is queued as job ${job.id}`))
  }
  const ids = chosen.map(({ id }) => id).join(' ')
  if (!shell.json && opened.project.store.worked?.() === false)
    shell.terminal.out(
      `No process works on this project now: \`syncline start\` would, or run it here: syncline run ${ids}`,
    )
  return exitCodes.fine
}

async function cancel(shell: Shell, id: string): Promise<number> {
  await using opened = await openProject(shell, { readOnly: false })
  const job = await opened.project.store.jobs.cancel(id, systemClock.now())
  show(shell, { event: 'job', ...jobObject(job) }, () => {
    const what = job.state.status === 'running' ? 'is being stopped: it finishes its batch first' : 'is cancelled'
    shell.terminal.out(`job ${id} of ${job.sync} ${what}`)
  })
  return exitCodes.fine
}

async function pauseAll(shell: Shell, syncs: readonly string[], paused: boolean): Promise<number> {
  await using opened = await openProject(shell, { readOnly: false })
  const { store } = opened.project
  for (const sync of syncs) {
    await setPaused(store, systemClock, sync, paused)
    const schedule = await store.schedules.get(sync)
    if (schedule === null) continue
    show(shell, { event: 'schedule', ...scheduleObject(schedule) }, () =>
      shell.terminal.out(`${sync} is ${paused ? 'paused' : 'going on'}`),
    )
  }
  return exitCodes.fine
}

function scheduleCells({ sync, schedule, paused, nextAt, failures }: ScheduleRecord): (string | number)[] {
  const next = paused ? 'paused' : nextAt === null ? '' : instant(nextAt)
  return [sync, formatSchedule(schedule), next, failures]
}

function jobCells({ id, sync, priority, reason, state, queuedAt }: Job): (string | number)[] {
  const since = 'endedAt' in state ? state.endedAt : 'startedAt' in state ? state.startedAt : queuedAt
  return [id, sync, state.status, priority, reason, instant(since)]
}
