/** What a config file may hold: validates all of it and reports every mistake. */
import { z } from 'zod'
import { SyncError } from '../core/error.ts'
import { didYouMean, formatName, parseName, wellQuoted } from '../core/name.ts'
import type { Permit } from '../engine/queue/permit.ts'
import { parseConnection } from './connection-schema.ts'
import { missingValue, resolveEnv } from './env.ts'
import { resolveFunctions } from './functions.ts'
import { parseIntegrations, parts } from './integration-schema.ts'
import { type Mistake, mistakesError, zodMistakes } from './mistakes.ts'
import type {
  ConnectionSetup,
  ConnectionTraits,
  Kept,
  KnownSetups,
  Place,
  ProjectConfig,
  Surroundings,
  SyncSetup,
} from './project-config.ts'
import { stepMistakes } from './step-schema.ts'
import { syncOptions, syncSchema } from './sync-schema.ts'
import { twoWayMistakes, twoWayOptions, twoWaySchema } from './two-way-schema.ts'

/** The connection's traits, wherever it is from; undefined: it can't be used. */
export function traitsOf({ connections, kept }: ProjectConfig, name: string): ConnectionTraits | undefined {
  const known = connections.get(name) ?? kept.get(name)
  return known instanceof SyncError ? undefined : known
}

/** Validates what a config file exports. Throws CONFIG_INVALID, or ENV_MISSING when nothing else is wrong. */
export function parseConfig(raw: unknown, surroundings: Surroundings): ProjectConfig {
  const { whole, mistakes } = examineConfig(raw, surroundings)
  if (mistakes.length > 0) throw mistakesError(surroundings.file, mistakes)
  return whole
}

/** Where there are mistakes, what they are in is left out. */
export function examineConfig(
  raw: unknown,
  surroundings: Surroundings,
): { readonly whole: ProjectConfig; readonly mistakes: readonly Mistake[] } {
  const whole = wholeSchema.safeParse(raw)
  const mistakes: Mistake[] = whole.success ? [] : zodMistakes(whole.error.issues, [], Object.keys(wholeSchema.shape))
  mistakes.push(...nobodysNames(raw))
  const written = { connections: entriesOf(raw, 'connections'), syncs: entriesOf(raw, 'syncs') }
  const connections = new Map<string, ConnectionSetup>()
  for (const [name, definition] of written.connections) {
    const setup = parseConnection(name, definition, surroundings, mistakes)
    if (setup !== null) connections.set(name, setup)
  }
  const names = written.connections.map(([name]) => name)
  const kept: Kept = surroundings.kept ?? new Map()
  const known: KnownSetups = new Map([...kept.keys(), ...names].map((name) => [name, connections.get(name) ?? null]))
  const syncs = written.syncs.flatMap(
    ([name, definition]) => parseSync(name, definition, known, surroundings, mistakes) ?? [],
  )
  mistakes.push(...referenceMistakes(syncs), ...scheduleMistakes(syncs, written.syncs))
  const setup = parseIntegrations(raw, surroundings, mistakes)
  const projects = whole.success ? new Map(Object.entries(whole.data.projects ?? {})) : new Map()
  for (const [project, used] of projects)
    for (const [at, name] of used.entries())
      if (!names.includes(name))
        mistakes.push({ path: ['projects', project, at], message: `no connection "${name}"${didYouMean(name, names)}` })
  for (const { name, options } of syncs)
    if (options.project !== undefined && !projects.has(options.project)) {
      const message = `no project "${options.project}"${didYouMean(options.project, [...projects.keys()])}`
      mistakes.push({ path: ['syncs', name, 'project'], message })
    }
  const made = { made: new Map(), setAside: new Map() }
  return {
    whole: { connections, kept, syncs, projects, ...made, ...setup, permit: whole.data?.permit ?? null },
    mistakes,
  }
}

const named = z.record(z.string().min(1), z.unknown())
const wholeSchema = z.strictObject(
  {
    connections: named,
    syncs: named,
    projects: z.record(z.string().regex(/^[\w-]{1,100}$/, 'letters, digits, _ and -'), z.array(z.string())).optional(),
    ...parts.shape,
    permit: z.custom<Permit>((value) => typeof value === 'function', 'expected a function').optional(),
  },
  { error: (issue) => (issue.code === 'invalid_type' ? 'export an object with `connections` and `syncs`' : undefined) },
)

/** The connections that a sync of this definition would be between, as far as it names any. */
export function connectionsNamed(definition: unknown): readonly string[] {
  const { from, to, between = [] } = naming.safeParse(definition).data ?? {}
  return [from, to, ...between].flatMap((place) => (place === undefined ? [] : [parsePlace(place).connection]))
}

const spelled = z.string().optional().catch(undefined)
const naming = z.looseObject({ from: spelled, to: spelled, between: z.array(spelled).optional().catch(undefined) })

function entriesOf(raw: unknown, part: 'connections' | 'syncs'): [string, unknown][] {
  const parsed = z.looseObject({ [part]: named }).safeParse(raw)
  return parsed.success ? Object.entries(parsed.data[part] ?? {}) : []
}

/** What is written under this name, which JSON can say, would be dropped without a word. */
function* nobodysNames(raw: unknown): Iterable<Mistake> {
  for (const part of ['connections', 'syncs', 'projects', 'integrations'])
    if (Object.hasOwn(Object(Object(raw)[part]), '__proto__'))
      yield { path: [part, '__proto__'], message: 'nothing can have this name' }
  for (const [sync, definition] of Object.entries(Object(Object(raw).syncs)))
    if (Object.hasOwn(Object(Object(definition).fields), '__proto__'))
      yield {
        path: ['syncs', sync, 'fields', '__proto__'],
        message: 'a field of this name can’t be listed; without `fields` all columns are synced, this one too',
      }
}

function parseSync(
  name: string,
  definition: unknown,
  known: KnownSetups,
  surroundings: Surroundings,
  mistakes: Mistake[],
): SyncSetup | null {
  const path = ['syncs', name]
  const before = mistakes.length
  if (/[\s/*]/.test(name)) mistakes.push({ path, message: 'a name without slashes, stars and white space is needed' })
  const resolved = resolveEnv(definition, path, surroundings, isPlainInSync)
  for (const value of resolved.missing) mistakes.push(missingValue(value))
  const written = resolveFunctions(resolved.value, path, surroundings.exports ?? new Map(), mistakes)
  if (isTwoWay(written)) return parseTwoWay(name, written, path, known, mistakes, before)
  const connections = [...known.keys()]
  const parsed = syncSchema.safeParse(written)
  if (!parsed.success) {
    mistakes.push(...zodMistakes(parsed.error.issues, path, Object.keys(syncSchema.shape)))
    return null
  }
  const { from, to, collections = null } = parsed.data
  const places = { from: parsePlace(from), to: parsePlace(to) }
  for (const [side, place] of Object.entries(places)) {
    const unset = resolved.missing.some((missing) => missing.path.at(-1) === side)
    if (!wellQuoted(place.connection)) {
      mistakes.push({ path: [...path, side], message: misquoted(place.connection) })
      continue
    }
    if (unset || connections.includes(place.connection)) continue
    const known = didYouMean(place.connection, connections) || `; there are ${connections.join(', ') || 'none'}`
    mistakes.push({ path: [...path, side], message: `no connection "${place.connection}"${known}` })
  }
  mistakes.push(...stepMistakes(parsed.data, path, known))
  for (const mistake of shapeMistakes(parsed.data, places))
    mistakes.push({ ...mistake, path: [...path, ...mistake.path] })
  if (mistakes.length > before) return null
  return { kind: 'one-way', name, ...places, patterns: collections, options: syncOptions(parsed.data) }
}

function isTwoWay(definition: unknown): boolean {
  return typeof definition === 'object' && definition !== null && 'between' in definition
}

function parseTwoWay(
  name: string,
  definition: unknown,
  path: readonly PropertyKey[],
  known: KnownSetups,
  mistakes: Mistake[],
  before: number,
): SyncSetup | null {
  const connections = [...known.keys()]
  const parsed = twoWaySchema.safeParse(definition)
  if (!parsed.success) {
    mistakes.push(...zodMistakes(parsed.error.issues, path, Object.keys(twoWaySchema.shape)))
    return null
  }
  const [left, right] = parsed.data.between.map(parsePlace) as [Place, Place]
  for (const [at, place] of [left, right].entries()) {
    if (!wellQuoted(place.connection))
      mistakes.push({ path: [...path, 'between', at], message: misquoted(place.connection) })
    else if (!connections.includes(place.connection)) {
      const known = didYouMean(place.connection, connections) || `; there are ${connections.join(', ') || 'none'}`
      mistakes.push({ path: [...path, 'between', at], message: `no connection "${place.connection}"${known}` })
    } else if (place.collection === null)
      mistakes.push({ path: [...path, 'between', at], message: `name a collection ("${place.connection}.…")` })
  }
  mistakes.push(...stepMistakes(parsed.data, path, known))
  const options = twoWayOptions(parsed.data)
  for (const mistake of twoWayMistakes(options)) mistakes.push({ ...mistake, path: [...path, ...mistake.path] })
  return mistakes.length > before ? null : { kind: 'two-way', name, left, right, patterns: null, options }
}

/** A reference is translated through the pairs of a two-way sync between the same connections. */
function referenceMistakes(syncs: readonly SyncSetup[]): Mistake[] {
  const twoWay = syncs.filter((setup) => setup.kind === 'two-way')
  const names = twoWay.map(({ name }) => name)
  return twoWay.flatMap(({ name, left, right, options }) =>
    (options.fields ?? []).flatMap(({ name: field, references }): Mistake[] => {
      if (references === null) return []
      const path = ['syncs', name, 'fields', field, 'references']
      const other = twoWay.find((setup) => setup.name === references)
      if (other === undefined)
        return [{ path, message: `no two-way sync "${references}"${didYouMean(references, names)}` }]
      if (other.left.connection === left.connection && other.right.connection === right.connection) return []
      return [{ path, message: `sync "${references}" is not between ${left.connection} and ${right.connection}` }]
    }),
  )
}

/** A sync has one schedule, and one that runs after another names a sync that runs. */
function scheduleMistakes(syncs: readonly SyncSetup[], written: readonly (readonly [string, unknown])[]): Mistake[] {
  const both = z.looseObject({ every: z.unknown(), schedule: z.unknown() })
  const twice = written.flatMap(([name, definition]): Mistake[] => {
    const { data } = both.safeParse(definition)
    if (data?.every === undefined || data.schedule === undefined) return []
    return [{ path: ['syncs', name, 'schedule'], message: 'write `every` or `schedule`, not both' }]
  })
  const names = written.map(([name]) => name)
  const unknown = syncs.flatMap(({ name, options }): Mistake[] => {
    if (options.schedule.kind !== 'after') return []
    const { sync } = options.schedule
    const path = ['syncs', name, 'schedule', 'after']
    if (sync === name) return [{ path, message: 'a sync can’t run after itself' }]
    const other = syncs.find((setup) => setup.name === sync || sync.startsWith(`${setup.name}/`))
    if (other?.patterns != null && sync === other.name)
      return [{ path, message: `"${sync}" is many syncs: name one, like "${sync}/orders"` }]
    return other !== undefined || names.includes(sync)
      ? []
      : [{ path, message: `no sync "${sync}"${didYouMean(sync, names)}` }]
  })
  return [...twice, ...unknown, ...circles(syncs)]
}

/** Syncs that run after each other would run without end. */
function circles(syncs: readonly SyncSetup[]): Mistake[] {
  const before = new Map(
    syncs.map(({ name, options }) => [name, options.schedule.kind === 'after' ? options.schedule.sync : null]),
  )
  return syncs.flatMap(({ name }): Mistake[] => {
    const met = [name]
    for (let next = before.get(name); next != null && next !== name; next = before.get(next)) {
      if (met.includes(next)) return []
      met.push(next)
    }
    const last = met.at(-1) ?? name
    if (met.length === 1 || before.get(last) !== name) return []
    return [
      {
        path: ['syncs', name, 'schedule', 'after'],
        message: `${[...met, name].map((one) => `"${one}"`).join(' after ')} goes round in a circle`,
      },
    ]
  })
}

/** What fits one collection and what fits many. */
function shapeMistakes(sync: z.output<typeof syncSchema>, places: { from: Place; to: Place }): Mistake[] {
  if (sync.collections === undefined) {
    if (places.from.collection !== null) return []
    const message = `name a collection ("${sync.from}.…"), or choose many with \`collections: ["…"]\``
    return [{ path: ['from'], message }]
  }
  const sides = (['from', 'to'] as const).filter((side) => places[side].collection !== null)
  const options = (['fields', 'where', 'key'] as const).filter((option) => sync[option] !== undefined)
  return [
    ...sides.map((side) => ({ path: [side], message: 'with `collections`, write the connection alone' })),
    ...options.map((option) => ({
      path: [option],
      message:
        'only for a sync of one collection; take that one out of `collections` with "!…" and give it its own sync',
    })),
  ]
}

function parsePlace(text: string): Place {
  const [connection = '', ...collection] = parseName(text)
  return { connection, collection: collection.length === 0 ? null : formatName(collection) }
}

function misquoted(text: string): string {
  return `the double quotes in ${text} don't fit: put them around a whole part, and only around one that holds a dot or a quote (crm.public."odd.name"), with a quote inside written twice`
}

/** Filters and field lists may have a field named `env`: `where: { env: 'production' }` is no reference. */
function isPlainInSync(path: readonly PropertyKey[]): boolean {
  if (path[2] === 'fields') return path.length === 3
  if (path[2] !== 'where') return false
  const [last, parent] = [path.at(-1), path.at(-2)]
  return path.length === 3 || last === 'not' || (typeof last === 'number' && (parent === 'and' || parent === 'or'))
}
