/** Executes an action of a connection: its input and output are checked, it ends in time, and it shares the connection's limits. */
import { setTimeout as timer } from 'node:timers/promises'
import type { ZodType } from 'zod'
import type { Context } from '../../connectors/connector.ts'
import type { Handle } from '../../connectors/handlers.ts'
import type { ActionDefinition, AnyConnector, Limits } from '../../connectors/kit.ts'
import { asHandlerError, type ErrorCode, retriable, SyncError } from '../../core/error.ts'
import type { ActionResult } from '../../core/step.ts'
import { handlerContext, type TokenSource } from '../calls/handler-context.ts'
import type { Limiter } from '../calls/rate-limiter.ts'
import { redactError } from '../secrets/redact.ts'

const TIMEOUT_MS = 30_000
const FIRST_WAIT_MS = 500

/** How long an action that does not end at its signal is waited for. */
const GRACE_MS = 1000

/** A connection that can act, and is kept in no store: the config says it. */
export interface ActingConnection {
  readonly connector: AnyConnector
  readonly handle: Handle<never>
  /** Whose it is; null: nobody's in particular. */
  readonly project: string | null
}

export interface ActionCall {
  readonly name: string
  readonly action: ActionDefinition<never>
  readonly handle: Handle<never>
  readonly params: unknown
  readonly limits: Limits
  readonly tokens: TokenSource | null
}

/** Never throws for an action that fails: the result says what happened. */
export async function executeAction(call: ActionCall, context: Context, limiter: Limiter): Promise<ActionResult> {
  const startedAt = context.clock.now()
  try {
    const data = await attemptAll(call, context, limiter)
    return { success: true, data, executionTime: context.clock.now() - startedAt }
  } catch (error) {
    const failure = asHandlerError(error, `action ${call.name}`)
    const { code, message, hint } = redactError(failure, context.redact)
    return {
      success: false,
      error: hint === null ? message : `${message}. ${hint}`,
      code,
      executionTime: context.clock.now() - startedAt,
    }
  }
}

async function attemptAll(call: ActionCall, context: Context, limiter: Limiter): Promise<unknown> {
  const { name, action, params } = call
  const input = check(action.input, params, `the input of action ${name}`, 'USAGE_INVALID')
  for (let attempt = 0; ; attempt++) {
    try {
      const output = await attemptOnce(call, input, context, limiter)
      return check(action.output, output, `the output of action ${name}`, 'VALUE_REFUSED')
    } catch (error) {
      if (attempt >= (action.retries ?? 0) || context.signal.aborted || !worthAnother(error)) throw error
      await context.clock.sleep(FIRST_WAIT_MS * 2 ** attempt * (0.5 + context.random()), context.signal)
    }
  }
}

/** A handler that does not heed its signal is not waited for: its answer comes too late. */
async function attemptOnce(
  { name, action, handle, limits, tokens }: ActionCall,
  input: unknown,
  context: Context,
  limiter: Limiter,
): Promise<unknown> {
  const timeoutMs = action.timeoutMs ?? TIMEOUT_MS
  const ended = new AbortController()
  const late = AbortSignal.timeout(timeoutMs)
  const signal = AbortSignal.any([context.signal, late])
  const run = action.run(
    handle,
    input as never,
    handlerContext({ ...context, signal }, handle.id, limits, limiter, tokens),
  )
  const limit = timer(timeoutMs + GRACE_MS, undefined, { signal: AbortSignal.any([ended.signal, context.signal]) })
  try {
    return await Promise.race([run, limit.then(() => Promise.reject(timedOut(name, timeoutMs)))])
  } catch (error) {
    throw late.aborted ? timedOut(name, timeoutMs) : error
  } finally {
    ended.abort()
    limit.catch(() => {})
    run.catch(() => {})
  }
}

function check(schema: ZodType, value: unknown, what: string, code: ErrorCode): unknown {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const reasons = parsed.error.issues.map(
    ({ path, message }) => `${path.length === 0 ? '' : `${path.join('.')}: `}${message}`,
  )
  throw new SyncError(code, `${what} is not as it should be: ${reasons.join('; ')}`)
}

function timedOut(name: string, ms: number): SyncError {
  return new SyncError('TIMED_OUT', `action ${name} took longer than ${ms} ms and was stopped`)
}

/** Network failures may pass, and so may what says so of itself. */
function worthAnother(error: unknown): boolean {
  return retriable(error) || (error instanceof TypeError && error.cause !== undefined)
}
