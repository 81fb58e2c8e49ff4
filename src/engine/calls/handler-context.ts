/** What a connector's handlers get to call their system with: `fetch` under the limits of the connection. */
import type { Context } from '../../connectors/connector.ts'
import type { HandlerContext } from '../../connectors/handlers.ts'
import type { Limits } from '../../connectors/kit.ts'
import type { Limiter } from './rate-limiter.ts'

/** How long a system is left alone that says "too many" without saying until when; twice as long each time. */
const FIRST_PAUSE_MS = 1000
const LONGEST_PAUSE_MS = 60_000

/** Who says for how long is believed up to this. */
const LONGEST_NAMED_MS = 3_600_000

/** Where access tokens come from. `refused`: the one that the system no longer takes, else null. */
export interface TokenSource {
  get(refused: string | null, signal: AbortSignal): Promise<string | null>
}

/** The context of a run or an action of a connection. */
export function handlerContext(
  context: Context,
  connection: string,
  limits: Limits,
  limiter: Limiter,
  tokens: TokenSource | null = null,
): HandlerContext {
  return {
    ...context,
    turn: async () => {
      using _turn = await limiter.turn(connection, limits, context.signal)
    },
    fetch: async (input, init) => {
      const signal =
        init?.signal === undefined || init.signal === null
          ? context.signal
          : AbortSignal.any([context.signal, init.signal])
      const headers = new Headers(init?.headers ?? (input instanceof Request ? input.headers : undefined))
      // A caller that authorizes itself needs no token of ours.
      const source = headers.has('authorization') ? null : tokens
      let token = (await source?.get(null, signal)) ?? null
      for (let attempt = 0; ; attempt++) {
        using _turn = await limiter.turn(connection, limits, signal)
        if (token !== null) headers.set('authorization', `Bearer ${token}`)
        const answer = await fetch(input instanceof Request ? input.clone() : input, { ...init, headers, signal })
        const fresh: string | null =
          answer.status === 401 && token !== null ? ((await source?.get(token, signal)) ?? null) : null
        // The system no longer takes it, whatever it said about how long: once a new one may do.
        if (fresh !== null && fresh !== token && attempt < 2) {
          token = fresh
          await answer.body?.cancel()
          continue
        }
        const waitMs = pauseOf(answer, attempt, context.clock.now())
        if (waitMs === null) return answer
        await answer.body?.cancel()
        context.log(`${connection} asks to be left alone for ${Math.round(waitMs / 1000)} s`)
        await limiter.pause(connection, waitMs)
      }
    },
  }
}

/** Null: the answer is an answer. */
function pauseOf({ status, headers }: Response, attempt: number, nowMs: number): number | null {
  const named = headers.get('retry-after')
  if (status !== 429 && !(status === 503 && named !== null)) return null
  const namedMs = retryAfterMs(named, nowMs)
  if (namedMs !== null) return Math.min(LONGEST_NAMED_MS, namedMs)
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** attempt)
}

/** `Retry-After: 3`, or the date of HTTP; null: neither. */
export function retryAfterMs(value: string | null, nowMs: number): number | null {
  if (value === null) return null
  if (/^\s*\d+(\.\d+)?\s*$/.test(value)) return Number(value) * 1000
  const at = Date.parse(value)
  return Number.isNaN(at) ? null : Math.max(0, at - nowMs)
}
