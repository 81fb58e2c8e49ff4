/** The public API of Syncline. Connectors have their own entries: `syncline/postgres`, `syncline/sqlite`. */
export {
  type CollectionSync,
  type Config,
  type ConflictRule,
  type ConnectionDefinition,
  defineConfig,
  type FieldDefinition,
  type IntegrationDefinition,
  type PairFieldDefinition,
  type PatternSync,
  type SourceRow,
  type SyncDefinition,
  type SyncOptions,
  type TwoWayDefinition,
} from './config/define-config.ts'
export { env, secret } from './config/env.ts'
export { type ErrorCode, SyncError } from './core/error.ts'
export type { EngineEvent } from './core/event.ts'
export type { Where } from './core/filter.ts'
export type { Counts, Failure, Phase, PrintedKey, RunEvent, RunRecord, RunStatus } from './core/run.ts'
export type { Field, Schema, SchemaChange } from './core/schema.ts'
export type { ActionResult } from './core/step.ts'
export { ask, type Direction, type RuleFunction, type SideName } from './core/two-way.ts'
export type { Row, Type, Value } from './core/value.ts'
export type { Verification } from './core/verification.ts'
export {
  type ConnectionChange,
  type ConnectionRemains,
  type ConnectionStore,
  type EngineConnection,
  InMemoryConnectionStore,
  type Integration,
} from './engine/connections/connection-store.ts'
export type { FlowSession, FlowView } from './engine/connections/flows.ts'
export { Engine, type EngineOptions } from './engine/engine.ts'
export type { Plan, Sample } from './engine/one-way/plan.ts'
export type { Permit, PermitRequest } from './engine/queue/permit.ts'
export type { ExecutionResult, ScheduledJob } from './engine/results.ts'
export type { ConflictSample, TwoWayPlan, TwoWaySample } from './engine/two-way/plan.ts'
export type { TwoWayVerification } from './engine/two-way/verify.ts'
