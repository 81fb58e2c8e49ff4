/** A route of the API as one value: what it takes, what it answers, who may call it. The server, its description and its tests read the same list. */
import type { ZodType, z } from 'zod'
import type { Operations } from '../engine/operations.ts'
import type { ApiKey, Scope } from '../engine/secrets/api-keys.ts'
import type { SchemaName } from './answers/index.ts'

/**
 * What is answered, by status: the name of its schema, types of texts, or null for no body. `default`: of failures, beside the problem that
 * every route may answer.
 */
export type Answers = Readonly<Record<number, Content>> & { readonly default?: SchemaName }
export type Content = SchemaName | readonly string[] | null

/** A route as the description tells of it. */
export type DescribedRoute = Pick<Route, 'method' | 'url' | 'scope' | 'params' | 'query' | 'body' | 'answers'>

export interface Route<
  Params extends ZodType = ZodType,
  Query extends ZodType = ZodType,
  Body extends ZodType = ZodType,
> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** With `:name` for parameters. */
  readonly url: string
  readonly summary: string
  readonly tag: string
  /** Null: open to all. */
  readonly scope: Scope | null
  readonly params?: Params
  readonly query?: Query
  readonly body?: Body
  readonly answers: Answers
  /** It reads whole tables: such requests of a project have turns. */
  readonly heavy?: true
  /** The answer tells a secret: it is kept nowhere. */
  readonly secret?: true
  readonly handle: (call: Call<z.output<Params>, z.output<Query>, z.output<Body>>) => Promise<Answer>
}

export interface Call<Params, Query, Body> {
  readonly params: Params
  readonly query: Query
  readonly body: Body
  /** Who asks; null on routes open to all. */
  readonly key: ApiKey | null
  readonly operations: Operations
  /** Aborted when the caller hangs up. */
  readonly signal: AbortSignal
  /** Aborted when the server stops: what only waits answers now, what works has a few seconds. */
  readonly stopping: AbortSignal
}

export interface Answer {
  /** Default 200. */
  readonly status?: number
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** It is told once and kept nowhere. */
  readonly secret?: true
}

/** A route with its types inferred from its schemas; of all kinds in one list. */
export function route<Params extends ZodType, Query extends ZodType, Body extends ZodType>(
  written: Route<Params, Query, Body>,
): Route {
  const known = written as unknown as Route
  if (known.secret === undefined) return known
  return { ...known, handle: async (call) => ({ ...(await known.handle(call)), secret: true }) }
}
