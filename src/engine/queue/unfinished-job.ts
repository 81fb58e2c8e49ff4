/**
 * What becomes of a job that did not end: its process died, or stood still until its lease was over. That may have been by what the job does,
 * so it is not run again at once, and not for ever.
 */
import type { Clock } from '../../connectors/connector.ts'
import { SyncError } from '../../core/error.ts'
import type { Log } from '../../core/log.ts'
import type { Claim } from '../../store/jobs.ts'
import type { RunStore } from '../../store/store.ts'
import type { Events } from '../observe/events.ts'
import { jobEventsOf, recordFailure } from '../observe/run-events.ts'
import type { JobResult } from './worker.ts'

/** A job that did not end so often is failed. */
const MOST_TAKEOVERS = 5
/** 2 s, 8 s, 32 s, two minutes: others run first, and a service that starts gets to answer. */
const FIRST_WAIT_MS = 2000

export interface UnfinishedOptions {
  readonly runs: RunStore
  readonly events: Events
  readonly clock: Clock
  readonly random: () => number
  readonly log: Log
}

/** Says what to do instead of running it; history tells of the job that is given up. */
export async function unfinished({ id, sync, takeovers }: Claim, options: UnfinishedOptions): Promise<JobResult> {
  const { runs, events, clock, random, log } = options
  const now = clock.now()
  const what = `job ${id} of ${sync} did not end: the process that ran it died, or stood still`
  if (takeovers < MOST_TAKEOVERS) {
    const waitMs = FIRST_WAIT_MS * 4 ** (takeovers - 1)
    log(`${what}; it is run again in ${waitMs / 1000} s`, 'warn')
    return { kind: 'postponed', untilMs: now + waitMs }
  }
  const error = new SyncError('JOB_UNFINISHED', `${what}, ${takeovers} times`, {
    hint: `Look at the log, run it alone with \`syncline run ${sync}\`, then trigger it again.`,
  })
  log(error.message, 'error')
  const { id: run, error: failure } = await recordFailure(
    { name: sync, error },
    {
      store: { runs },
      context: { clock, random },
      emit: (event) => {
        events.emit(event)
        for (const told of jobEventsOf(event, id)) events.emit(told)
      },
    },
  )
  return { kind: 'ended', status: 'failed', run, error: failure, retry: false }
}
