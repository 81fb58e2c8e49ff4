/** From the syncs of a config file to the syncs that run: patterns expanded, targets named, every target written once. */
import { asSyncError, SyncError } from '../core/error.ts'
import { didYouMean, reserved, selectNames } from '../core/name.ts'
import { type Schema, whyNotSynced } from '../core/schema.ts'
import type { Sync } from '../core/sync.ts'
import { type AnySync, isTwoWay, placesOf, type TwoWaySync } from '../core/two-way.ts'
import { unusableOf } from './made.ts'
import { fullName, sameName, shortName, targetName } from './names.ts'
import type { OneWaySetup, Place, ProjectConfig, SyncSetup, TwoWaySetup } from './project-config.ts'
import { traitsOf } from './schema.ts'

/** Lists the collections of a connection. */
export type Discover = (connection: string) => Promise<readonly Schema[]>

export interface Expansion {
  /** In the order of the file, expanded ones in the order their connector lists them, and referenced ones before those that reference them. */
  readonly syncs: readonly AnySync[]
  /** Definitions that could not be expanded, because their source could not be read or a connection of theirs is gone. */
  readonly failures: readonly ExpansionFailure[]
  /** Collections that a pattern names and that can't be synced: they have no key, or can't be read. The others run. */
  readonly leftOut: readonly ExpansionFailure[]
}
export interface ExpansionFailure {
  /** The definition's name. */
  readonly name: string
  readonly error: SyncError
}

/**
 * Expands the chosen syncs: definitions (`everything`) or single ones (`everything/orders`); none chosen: all.
 * SYNC_UNKNOWN names the nearest; TARGET_SHARED and CONFIG_INVALID name two syncs that would write one table.
 */
export async function expandSyncs(
  config: ProjectConfig,
  chosen: readonly string[],
  discover: Discover,
): Promise<Expansion> {
  checkChosen(config, chosen)
  const wanted = (setup: SyncSetup) =>
    chosen.length === 0 || chosen.some((name) => name === setup.name || name.startsWith(`${setup.name}/`))
  const failures: ExpansionFailure[] = [...config.setAside].map(([name, error]) => ({ name, error }))
  const found: Member[] = []
  const leftOut: ExpansionFailure[] = []
  const schemas = new Map<string, Promise<readonly Schema[]>>()
  const list = (connection: string) => {
    const listed = schemas.get(connection) ?? discover(connection)
    schemas.set(connection, listed)
    return listed
  }
  for (const setup of config.syncs) {
    const unusable = unusableOf(setup, config)
    if (unusable !== null) failures.push({ name: setup.name, error: unusable })
    else if (setup.kind === 'one-way' && setup.patterns !== null && !wanted(setup)) continue
    else {
      try {
        const { syncs, without } = await syncsOf(setup, config, list)
        found.push(...syncs.map((sync) => ({ setup, sync })))
        leftOut.push(...without)
      } catch (error) {
        // A source that can't be read is no mistake of the file; what else is wrong in it is told at once.
        if (setup.patterns === null && !config.made.has(setup.name)) throw error
        failures.push({ name: setup.name, error: asSyncError(error) })
      }
    }
  }
  const all = withOwnTargets(found, config, failures)
  const syncs = all.map(({ sync }) => sync)
  // What is asked for by its own name is not left out in silence.
  failures.push(...leftOut.filter(({ name }) => chosen.includes(name)))
  checkExpanded(chosen, config, syncs, failures)
  const asked = ({ name }: ExpansionFailure) =>
    chosen.length === 0 ||
    chosen.some((one) => one === name || one.startsWith(`${name}/`) || name.startsWith(`${one}/`))
  const selected = (member: Member) =>
    chosen.length === 0 || chosen.includes(member.setup.name) || chosen.includes(member.sync.id)
  return {
    syncs: parentsFirst(all.filter(selected).map(({ sync }) => sync)),
    failures: failures.filter(asked),
    leftOut: leftOut.filter((one) => asked(one) && !failures.includes(one)),
  }
}

interface Expanded {
  readonly syncs: readonly AnySync[]
  readonly without: readonly ExpansionFailure[]
}

async function syncsOf(setup: SyncSetup, config: ProjectConfig, list: Discover): Promise<Expanded> {
  if (setup.kind === 'two-way') return { syncs: [twoWaySync(setup, config)], without: [] }
  if (setup.patterns === null) return { syncs: [singleSync(setup, config)], without: [] }
  return expandPatterns(setup, setup.patterns, config, await list(setup.from.connection))
}

interface Member {
  readonly setup: SyncSetup
  readonly sync: AnySync
}

function expandPatterns(
  setup: OneWaySetup,
  patterns: readonly string[],
  config: ProjectConfig,
  schemas: readonly Schema[],
): Expanded {
  const names = schemas.map((schema) => schema.name)
  const chosen = selectNames(names, patterns)
  if (chosen.length === 0) {
    throw new SyncError(
      'CONFIG_INVALID',
      `syncs.${setup.name}.collections: ${patterns.join(', ')} matches nothing in "${setup.from.connection}"`,
      {
        hint:
          names.length === 0
            ? 'It holds no collections.'
            : `It holds ${names.slice(0, 10).join(', ')}${names.length > 10 ? ', …' : ''}.`,
      },
    )
  }
  const [source, target] = [systemOf(config, setup.from.connection), systemOf(config, setup.to.connection)]
  const idOf = (name: string) => `${setup.name}/${shortName(name, source)}`
  const without = schemas.flatMap((schema): ExpansionFailure[] => {
    const error = chosen.includes(schema.name) ? whyNotSynced(schema) : null
    return error === null ? [] : [{ name: idOf(schema.name), error }]
  })
  const syncs = chosen.map(
    (name): Sync => ({
      ...timeoutOf(config, setup.from.connection, name),
      ...setup.options,
      id: idOf(name),
      from: { connection: setup.from.connection, collection: name },
      to: { connection: setup.to.connection, collection: targetName(name, source, target) },
    }),
  )
  return { syncs: syncs.filter(({ id }) => without.every(({ name }) => name !== id)), without }
}

function singleSync(setup: OneWaySetup, config: ProjectConfig): Sync {
  const [source, target] = [systemOf(config, setup.from.connection), systemOf(config, setup.to.connection)]
  const from = fullName(setup.from.collection ?? '', source)
  const to = setup.to.collection === null ? targetName(from, source, target) : fullName(setup.to.collection, target)
  refuseReserved(setup.name, { from, to })
  return {
    ...timeoutOf(config, setup.from.connection, from),
    ...setup.options,
    id: setup.name,
    from: { connection: setup.from.connection, collection: from },
    to: { connection: setup.to.connection, collection: to },
  }
}

function refuseReserved(name: string, collections: Readonly<Record<string, string>>): void {
  for (const [side, collection] of Object.entries(collections)) {
    if (!reserved(collection)) continue
    throw new SyncError('CONFIG_INVALID', `syncs.${name}.${side}: ${collection} is one of Syncline's own tables`)
  }
}

function twoWaySync(setup: TwoWaySetup, config: ProjectConfig): TwoWaySync {
  const place = ({ connection, collection }: Place) => ({
    connection,
    collection: fullName(collection ?? '', systemOf(config, connection)),
  })
  const [left, right] = [place(setup.left), place(setup.right)]
  refuseReserved(setup.name, { left: left.collection, right: right.collection })
  return { ...setup.options, id: setup.name, left, right, cycle: cycleOf(setup.name, config) }
}

/** The syncs that this one references, directly or not, and that reference it in turn. */
function cycleOf(name: string, config: ProjectConfig): string[] {
  const reach = (from: string): Set<string> => {
    const found = new Set<string>()
    const waiting = [from]
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      for (const to of referencesOf(config.syncs.find((setup) => setup.name === next))) {
        if (found.has(to)) continue
        found.add(to)
        waiting.push(to)
      }
    }
    return found
  }
  return [...reach(name)].filter((other) => reach(other).has(name))
}

function referencesOf(setup: SyncSetup | undefined): string[] {
  if (setup?.kind !== 'two-way') return []
  return (setup.options.fields ?? []).flatMap(({ references }) => references ?? [])
}

/** A sync runs after those it references, so that its rows find their parents; else the order stays. */
function parentsFirst(syncs: readonly AnySync[]): AnySync[] {
  const sorted: AnySync[] = []
  const visit = (sync: AnySync, path: readonly AnySync[]) => {
    if (sorted.includes(sync) || path.includes(sync)) return
    const parents = isTwoWay(sync) ? (sync.fields ?? []).flatMap(({ references }) => references ?? []) : []
    for (const parent of syncs.filter(({ id }) => parents.includes(id))) visit(parent, [...path, sync])
    sorted.push(sync)
  }
  for (const sync of syncs) visit(sync, [])
  return sorted
}

/**
 * Two syncs may not write one table, nor one sync its own source. Those of the config file are refused together; one that a call of the
 * API made becomes a failure of its own.
 */
function withOwnTargets(members: readonly Member[], config: ProjectConfig, failures: ExpansionFailure[]): Member[] {
  const ofFile = members.filter(({ setup }) => !config.made.has(setup.name))
  let writers: Writers = claimTargets(new Map(), ofFile, config)
  const refused = new Set<SyncSetup>()
  for (const [setup, its] of Map.groupBy(members, (member) => member.setup)) {
    if (!config.made.has(setup.name)) continue
    try {
      writers = claimTargets(writers, its, config)
    } catch (error) {
      refused.add(setup)
      failures.push({ name: setup.name, error: asSyncError(error) })
    }
  }
  return members.filter(({ setup }) => !refused.has(setup))
}

/** By the place that they write. */
type Writers = ReadonlyMap<string, Member>

function claimTargets(before: Writers, members: readonly Member[], config: ProjectConfig): Writers {
  const writers = new Map(before)
  for (const member of members) {
    const { sync } = member
    const [left, right] = placesOf(sync)
    if (placeId(left, config) === placeId(right, config)) {
      const place = `${left.connection}.${left.collection}`
      const what = isTwoWay(sync) ? 'has one collection on both sides' : 'would write into its own source'
      throw new SyncError('CONFIG_INVALID', `sync "${sync.id}" ${what}, ${place}`)
    }
    for (const place of isTwoWay(sync) ? [left, right] : [right]) {
      const target = placeId(place, config)
      const other = writers.get(target)
      // Two-way syncs share tables; one that a one-way sync owns is nobody else's to write.
      if (other !== undefined && !(isTwoWay(sync) && isTwoWay(other.sync))) throw shared(other, member, place)
      writers.set(target, member)
    }
  }
  return writers
}

function shared(other: Member, member: Member, place: Sync['to']): SyncError {
  const samePattern = other.setup === member.setup
  return new SyncError(
    samePattern ? 'CONFIG_INVALID' : 'TARGET_SHARED',
    `syncs "${other.sync.id}" and "${member.sync.id}" would both write ${place.connection}.${place.collection}`,
    {
      hint: samePattern
        ? `Take ${placesOf(member.sync)[0].collection} out of the pattern and give it its own sync with another target.`
        : 'Give one of them another target, or take it out.',
    },
  )
}

function placeId({ connection, collection }: Sync['to'], config: ProjectConfig): string {
  const setup = traitsOf(config, connection)
  return `${setup?.identity}\0${sameName(collection, setup?.system ?? '')}`
}

function timeoutOf(config: ProjectConfig, connection: string, collection: string): Pick<Sync, 'timeoutMs'> {
  const timeoutMs = traitsOf(config, connection)?.timeoutOf(collection) ?? null
  return timeoutMs === null ? {} : { timeoutMs }
}

function systemOf(config: ProjectConfig, connection: string): string {
  return traitsOf(config, connection)?.system ?? ''
}

/** Refuses names that no definition could have, before anything is read. */
export function checkChosen(config: ProjectConfig, chosen: readonly string[]): void {
  const names = config.syncs.map((setup) => setup.name)
  for (const name of chosen) {
    const aside = config.setAside.get(name.split('/')[0] ?? name)
    if (aside !== undefined) throw aside
    const fits = config.syncs.some(
      (setup) => name === setup.name || (setup.patterns !== null && name.startsWith(`${setup.name}/`)),
    )
    if (!fits) throw unknownSync(name, names)
  }
}

function checkExpanded(
  chosen: readonly string[],
  config: ProjectConfig,
  syncs: readonly AnySync[],
  failures: readonly ExpansionFailure[],
): void {
  for (const name of chosen) {
    const failed = failures.some((failure) => name === failure.name || name.startsWith(`${failure.name}/`))
    if (failed || config.syncs.some((setup) => setup.name === name) || syncs.some((sync) => sync.id === name)) continue
    throw unknownSync(name, [...new Set([...config.syncs.map((setup) => setup.name), ...syncs.map((sync) => sync.id)])])
  }
}

/** SYNC_UNKNOWN, with the nearest names. */
export function unknownSync(name: string, names: readonly string[]): SyncError {
  const near = didYouMean(name, names)
  return new SyncError('SYNC_UNKNOWN', `there is no sync "${name}"${near}`, {
    hint:
      names.length === 0
        ? 'The config defines no syncs.'
        : `The syncs are ${names.slice(0, 20).join(', ')}${names.length > 20 ? ', …' : ''}.`,
  })
}
