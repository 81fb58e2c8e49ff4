/** Syncs made elsewhere than in the config file, by calls of the API: each stands for itself, and what is wrong with one takes only that one away. */
import { z } from 'zod'
import { SyncError } from '../core/error.ts'
import { mistakesError } from './mistakes.ts'
import type { ProjectConfig, Surroundings, SyncSetup } from './project-config.ts'
import { connectionsNamed, examineConfig } from './schema.ts'

/** One of them, as a config would write it in JSON. */
export interface Made {
  /** Null: its record can't be read. */
  readonly definition: unknown
  /** Null: nobody's in particular. */
  readonly project: string | null
}

/** The config with more syncs; those of the file come first. */
export function withMade(
  raw: unknown,
  config: ProjectConfig,
  made: ReadonlyMap<string, Made>,
  surroundings: Surroundings,
): ProjectConfig {
  if (made.size === 0 || typeof raw !== 'object' || raw === null) return config
  const setAside = new Map<string, SyncError>()
  const own = Object(Reflect.get(raw, 'syncs'))
  for (const [name, { definition }] of made)
    if (Object.hasOwn(own, name))
      setAside.set(name, new SyncError('CONFIG_INVALID', `the config file has a sync "${name}", too`))
    else if (definition === null) setAside.set(name, unreadable(name))
  // One may name another: what is wrong with that one is only seen when the other is gone.
  for (;;) {
    const left = [...made].filter(([name]) => !setAside.has(name))
    const definitions = Object.fromEntries(left.map(([name, { definition }]) => [name, definition]))
    const { whole, mistakes } = examineConfig({ ...raw, syncs: { ...definitions, ...own } }, surroundings)
    if (mistakes.length === 0)
      return { ...whole, made: new Map(left.map(([name, { project }]) => [name, project])), setAside }
    const before = setAside.size
    for (const [name] of left) {
      const its = mistakes.filter(({ path }) => path[0] === 'syncs' && path[1] === name)
      if (its.length > 0) setAside.set(name, mistakesError(`sync "${name}"`, its))
    }
    if (setAside.size === before) throw mistakesError(surroundings.file, mistakes)
  }
}

function unreadable(name: string): SyncError {
  return new SyncError('CONFIG_INVALID', `the record of sync "${name}" in the store can’t be read`, {
    hint: 'With a key of no project, write it again (PUT /api/syncs/<name>) or take it away (DELETE).',
  })
}

/** The connections that these syncs name, also those that they act through, and that the config does not have. */
export function connectionsBeside(config: ProjectConfig, made: ReadonlyMap<string, Made>): readonly string[] {
  const named = [...made.values()].flatMap(({ definition }) => [
    ...connectionsNamed(definition),
    ...actingNamed(definition),
  ])
  return [...new Set(named)].filter((name) => !config.connections.has(name))
}

/** The connections that steps of a sync of this definition would act through. */
export function actingNamed(definition: unknown): readonly string[] {
  const { onBefore, onAfter } = naming.safeParse(definition).data ?? {}
  return [onBefore, onAfter].flatMap((step) => step?.connection ?? [])
}

/** The syncs that a sync of this definition would run after or refer to. */
export function syncsNamed(definition: unknown): readonly string[] {
  const { schedule, fields } = naming.safeParse(definition).data ?? {}
  const references = Object.values(fields ?? {}).flatMap((field) => field?.references ?? [])
  return [...(schedule?.after === undefined ? [] : [schedule.after]), ...references]
}

const text = z.string().optional().catch(undefined)
const step = z.looseObject({ connection: text }).optional().catch(undefined)
const naming = z.looseObject({
  onBefore: step,
  onAfter: step,
  schedule: z.looseObject({ after: text }).optional().catch(undefined),
  fields: z
    .record(z.string(), z.looseObject({ references: text }).optional().catch(undefined))
    .optional()
    .catch(undefined),
})

/** What keeps a sync from running as it is written; null: nothing is known to. */
export function unusableOf(setup: SyncSetup, config: ProjectConfig): SyncError | null {
  for (const name of placesIn(setup)) {
    const known = config.connections.has(name) ? undefined : config.kept.get(name)
    if (known instanceof SyncError) return known
  }
  if (config.made.has(setup.name) && setup.options.project !== undefined)
    return new SyncError('CONFIG_INVALID', `sync "${setup.name}": it can't say whose it is`, {
      hint: 'Leave `project` out: a sync that is made here belongs to the project of the key that makes it.',
    })
  const project = config.made.get(setup.name) ?? null
  return project === null ? null : foreignOf(setup, project, config)
}

/** A sync of a project uses its connections only: through another's it would read what is not its own. */
function foreignOf(setup: SyncSetup, project: string, config: ProjectConfig): SyncError | null {
  const place = placesIn(setup).find((name) => !isOf(name, project, config))
  if (place !== undefined)
    return new SyncError('FORBIDDEN', `project "${project}" may not use the connection "${place}"`, {
      hint: 'The config file says which connections a project may use: projects: { name: [connections] }.',
    })
  const { steps, schedule } = setup.options
  const acting = [steps?.before, steps?.after].find((one) => one != null && !isOf(one.connection, project, config))
  if (acting != null)
    return new SyncError('FORBIDDEN', `project "${project}" has no connection "${acting.connection}" to act through`, {
      hint: 'Steps of a project’s syncs are actions of connections that its keys have made, or that the config lets it use.',
    })
  const references =
    setup.kind === 'two-way' ? (setup.options.fields ?? []).flatMap((field) => field.references ?? []) : []
  const others = [...(schedule.kind === 'after' ? [schedule.sync] : []), ...references]
  const foreign = others.find((name) => config.made.get(name.split('/')[0] ?? name) !== project)
  return foreign === undefined ? null : new SyncError('CONFIG_INVALID', `sync "${setup.name}": no sync "${foreign}"`)
}

function placesIn(setup: SyncSetup): readonly string[] {
  const places = setup.kind === 'two-way' ? [setup.left, setup.right] : [setup.from, setup.to]
  return places.map(({ connection }) => connection)
}

function isOf(connection: string, project: string, { connections, projects, kept }: ProjectConfig): boolean {
  if (connections.has(connection)) return projects.get(project)?.includes(connection) === true
  const known = kept.get(connection)
  return known !== undefined && !(known instanceof SyncError) && known.project === project
}
