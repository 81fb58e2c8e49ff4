/** What a sync may say about its steps. */
import { z } from 'zod'
import { didYouMean } from '../core/name.ts'
import type { FinishedRun, StartingRun, Step, StepInput, Steps } from '../core/step.ts'
import type { Mistake } from './mistakes.ts'
import type { KnownSetups } from './project-config.ts'

const named = z.string().min(1)
const input = <Run>() => z.custom<StepInput<Run>>().optional()

export const steps = {
  onBefore: z.strictObject({ connection: named, action: named, input: input<StartingRun>() }).optional(),
  onAfter: z.strictObject({ connection: named, action: named, input: input<FinishedRun>() }).optional(),
}

interface Written<Run extends StartingRun> {
  readonly connection: string
  readonly action: string
  readonly input?: StepInput<Run> | undefined
}

interface WrittenSteps {
  readonly onBefore?: Written<StartingRun> | undefined
  readonly onAfter?: Written<FinishedRun> | undefined
}

/** Nothing, where there are none. An input that is not given is an empty one. */
export function stepsOf(sync: WrittenSteps): { readonly steps?: Steps } {
  if (sync.onBefore === undefined && sync.onAfter === undefined) return {}
  return { steps: { before: stepOf(sync.onBefore), after: stepOf(sync.onAfter) } }
}

function stepOf<Run extends StartingRun>(written: Written<Run> | undefined): Step<Run> | null {
  return written === undefined ? null : { ...written, input: written.input ?? {} }
}

/** Of connections of the config it is known what they can do; those that the API makes come and go. */
export function stepMistakes(sync: WrittenSteps, path: readonly PropertyKey[], connections: KnownSetups): Mistake[] {
  return (['onBefore', 'onAfter'] as const).flatMap((when): Mistake[] => {
    const { connection = '', action = '' } = sync[when] ?? {}
    const setup = connections.get(connection) ?? null
    if (setup === null) return []
    const names = [...(setup.acting?.connector.actions.keys() ?? [])]
    if (names.length === 0)
      return [{ path: [...path, when, 'connection'], message: `connection "${connection}" has no actions` }]
    if (names.includes(action)) return []
    const others = didYouMean(action, names) || `; there are ${names.join(', ')}`
    return [
      { path: [...path, when, 'action'], message: `connection "${connection}" has no action "${action}"${others}` },
    ]
  })
}
