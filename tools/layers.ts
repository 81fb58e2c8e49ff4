import { isBuiltin } from 'node:module'
import { posix } from 'node:path'

/** A source file by its path below src/, and what it imports, as written. */
export interface SourceFile {
  readonly path: string
  readonly imports: readonly string[]
}

/** The folders of src/, and which others each may import from. Itself goes without saying. */
const LEFT_OF: Readonly<Record<string, readonly string[]>> = {
  core: [],
  connectors: ['core'],
  store: ['core'],
  protocol: ['core'],
  engine: ['core', 'connectors', 'store', 'protocol'],
  client: ['core', 'connectors', 'store', 'protocol'],
  config: ['core', 'connectors', 'store', 'protocol', 'engine', 'client'],
  server: ['core', 'connectors', 'store', 'protocol', 'engine', 'client'],
  cli: ['core', 'connectors', 'store', 'protocol', 'engine', 'client', 'config', 'server'],
  plugins: ['core', 'connectors', 'engine/one-way', 'client'],
  testing: ['core', 'connectors', 'store', 'protocol', 'engine', 'client', 'config', 'plugins'],
  'index.ts': ['core', 'engine', 'config'],
}

/**
 * The rooms of a folder, and which others each may import from. Files beside them: `faces` may import all rooms, and no room imports them;
 * `shared` are imported by all, and import no room.
 */
interface Rooms {
  readonly rooms: Readonly<Record<string, readonly string[]>>
  readonly faces: readonly string[]
  readonly shared: readonly string[]
}
const ROOMS: Readonly<Record<string, Rooms>> = {
  engine: {
    rooms: {
      secrets: [],
      calls: ['secrets'],
      observe: ['secrets', 'calls'],
      connections: ['secrets', 'calls', 'observe'],
      'one-way': ['secrets', 'calls', 'observe', 'connections'],
      'two-way': ['secrets', 'calls', 'observe', 'connections'],
      runs: ['secrets', 'calls', 'observe', 'connections', 'one-way', 'two-way'],
      queue: ['secrets', 'calls', 'observe', 'connections', 'one-way', 'two-way', 'runs'],
    },
    faces: ['engine.ts', 'operations.ts', 'results.ts'],
    shared: ['project.ts', 'clock.ts', 'store-clock.ts', 'wake-signal.ts'],
  },
  cli: {
    rooms: {
      terminal: [],
      project: ['terminal'],
      service: ['terminal', 'project'],
      commands: ['terminal', 'project', 'service'],
    },
    faces: ['main.ts'],
    shared: ['version.ts'],
  },
}

/** Where code runs that has no Node: browsers, and for the mirror other people's hosts. */
const WITHOUT_NODE = ['core', 'protocol', 'client', 'engine/one-way']

/** A driver is loaded by the one connector or store that needs it. */
const DRIVERS: Readonly<Record<string, readonly string[]>> = {
  pg: ['connectors/postgres', 'store/postgres'],
}

/** The folder of connectors/ that is no connector: what the SQL connectors share. It imports from none of theirs. */
const SHARED_BY_CONNECTORS = 'sql'

/** What breaks the layer rule, one sentence each. */
export function violations(files: readonly SourceFile[]): readonly string[] {
  return files.flatMap(({ path, imports }) =>
    imports.flatMap((specifier) => {
      const reason = specifier.startsWith('.') ? relativeViolation(path, specifier) : packageViolation(path, specifier)
      return reason === undefined ? [] : [`src/${path} imports ${specifier}: ${reason}`]
    }),
  )
}

/** Files that import each other, directly or by others, each circle in the order of its imports. Types count: a reader follows them, too. */
export function circles(files: readonly SourceFile[]): readonly string[] {
  const targets = new Map(
    files.map(({ path, imports }) => [
      path,
      imports.filter((name) => name.startsWith('.')).map((name) => posix.join(posix.dirname(path), name)),
    ]),
  )
  const done = new Set<string>()
  const found: string[] = []
  const visit = (path: string, trail: readonly string[]) => {
    const start = trail.indexOf(path)
    if (start >= 0) found.push([...trail.slice(start), path].map((name) => `src/${name}`).join(' → '))
    if (start >= 0 || done.has(path)) return
    for (const target of targets.get(path) ?? []) visit(target, [...trail, path])
    done.add(path)
  }
  for (const path of targets.keys()) visit(path, [])
  return found
}

function relativeViolation(path: string, specifier: string): string | undefined {
  const target = posix.join(posix.dirname(path), specifier)
  if (target.startsWith('../')) return 'src stands alone; this is outside'
  const [from, to] = [topOf(path), topOf(target)]
  if (from === to) return otherConnector(path, target) ?? otherRoom(path, target)
  const allowed = LEFT_OF[from]
  if (allowed === undefined) return `${from} has no place in the layers yet (tools/layers.ts)`
  if (!allowed.some((place) => isIn(target, place))) return `${from} may import ${allowed.join(', ') || 'nothing'} only`
  return undefined
}

function otherConnector(path: string, target: string): string | undefined {
  if (topOf(path) !== 'connectors') return undefined
  const [own, other] = [posix.dirname(path), posix.dirname(target)].map((folder) => folder.split('/')[1])
  if (own === undefined || other === undefined || own === other || other === SHARED_BY_CONNECTORS) return undefined
  return `the ${own} connector may not lean on the ${other} connector`
}

function otherRoom(path: string, target: string): string | undefined {
  const folder = topOf(path)
  const divided = ROOMS[folder]
  if (divided === undefined) return undefined
  const { rooms, faces, shared } = divided
  const [from = '', to = ''] = [path, target].map((one) => one.split('/')[1])
  if (from === to || faces.includes(from) || shared.includes(to)) return undefined
  if (shared.includes(from)) return `what all rooms of ${folder} share imports none of them`
  const allowed = rooms[from]
  if (allowed === undefined) return `${from} has no place among the rooms of ${folder} yet (tools/layers.ts)`
  return allowed.includes(to) ? undefined : `${from} may import ${allowed.join(', ') || 'no other room'} only`
}

function packageViolation(path: string, specifier: string): string | undefined {
  if (isBuiltin(specifier)) {
    return WITHOUT_NODE.some((place) => isIn(path, place)) ? 'this code also runs where there is no Node' : undefined
  }
  const name = specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
  if (name === 'syncline') return 'a file of the package is imported by its path'
  const places = DRIVERS[name]
  if (places === undefined || places.some((place) => isIn(path, place))) return undefined
  return `a driver is for ${places.join(' and ')} only`
}

function topOf(path: string): string {
  return path.split('/')[0] ?? path
}

/** Whether `path` is the place itself, something in that folder, or that file. */
function isIn(path: string, place: string): boolean {
  return path === place || path === `${place}.ts` || path.startsWith(`${place}/`)
}

const COMMENT = /\/\*[\s\S]*?\*\/|(?<=^|[\s;{}(,])\/\/.*$/gm
const STATEMENT = /(?:^|[;}])[ \t]*(?:import|export)\b[^'"`;]*?\bfrom\s*(['"])(?<specifier>[^'"\n]+)\1/gm
const BARE = /(?:^|[;}])[ \t]*import\s*(['"])(?<specifier>[^'"\n]+)\1/gm
const DYNAMIC = /\b(?:import|require)\s*\(\s*(['"`])(?<specifier>[^'"`\n]+)\1/gm

/** Every module that `source` names: statically, for types, for side effects or on first use. */
export function importsOf(source: string): readonly string[] {
  const code = source.replace(COMMENT, '')
  return [STATEMENT, BARE, DYNAMIC].flatMap((pattern) =>
    [...code.matchAll(pattern)].flatMap(({ groups }) => groups?.specifier ?? []),
  )
}
