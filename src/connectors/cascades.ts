/**
 * What a SQL database deletes or changes by itself together with a row: foreign keys ON DELETE CASCADE, SET NULL, SET DEFAULT. Rows of
 * tables that nobody holds pass the deletion on, through trees and cycles of any depth: a recursive query meets each of them once.
 */
import { quote } from './sql.ts'

/** A foreign key, by what it does when its parent's row is deleted. */
export interface Acting {
  readonly child: string
  readonly childFields: readonly string[]
  readonly parent: string
  readonly parentFields: readonly string[]
  /** What becomes of the child's rows; `refused`: they stand in the way of the deletion. */
  readonly effect: 'deleted' | 'changed' | 'refused'
}

/** Foreign keys that a deletion may meet. The first of `tables` is where it begins; rows of the others go along and pass it on. */
export interface Cascade {
  readonly tables: readonly string[]
  readonly keys: readonly Acting[]
}

/** How a database says it. */
export interface Dialect {
  tableSql(name: string): string
  /** Columns that tell a row of a table from its others, as SQL. */
  identity(table: string): readonly string[]
  /** The recursive part of `_reached`: what each step finds, from `_reached` and what follows there. */
  follow(steps: readonly Step[]): string
}

/** From a row of `_reached` to a row that its deletion takes along: what to select, of which tables, where. */
export interface Step {
  readonly select: readonly string[]
  readonly tables: readonly string[]
  readonly where: string
}

/** Nothing is passed on by rows that are only changed, and by those of `table` itself and of tables that are `kept`. */
export function cascadeFrom(table: string, acting: readonly Acting[], kept: (table: string) => boolean): Cascade {
  const tables = [table]
  const keys: Acting[] = []
  for (const from of tables)
    for (const key of acting.filter(({ parent }) => parent === from)) {
      keys.push(key)
      if (key.effect === 'deleted' && !kept(key.child) && !tables.includes(key.child)) tables.push(key.child)
    }
  return { tables, keys }
}

/** Whether a row called `root` reaches rows by some of a cascade's keys, its own row aside. */
export function reaches(cascade: Cascade, dialect: Dialect, root: string, keys: readonly Acting[]): string {
  const identity = dialect.identity(cascade.tables[0] ?? '').map((part) => `${root}.${part}`)
  const direct = keys.filter(({ parent }) => parent === cascade.tables[0])
  const through = keys.filter(({ parent }) => parent !== cascade.tables[0])
  const found = direct.map((key) => {
    const own = dialect.identity(key.child).map((part, at) => `_child.${part} = ${identity[at]}`)
    const itself = key.child === cascade.tables[0] ? ` AND NOT (${own.join(' AND ')})` : ''
    return `EXISTS (SELECT 1 FROM ${dialect.tableSql(key.child)} AS _child WHERE ${refers(key, root)}${itself})`
  })
  if (through.length > 0) {
    const rows = through.map((key) => `SELECT 1 ${reachedBy(cascade, dialect, key)}`)
    const start = `SELECT 0${identity.map((part) => `, ${part}`).join('')}`
    found.push(`EXISTS (${withReached(cascade, dialect, start)} ${rows.join(' UNION ALL ')})`)
  }
  return `(${found.join(' OR ')})`
}

/**
 * `WITH … _start …, _reached …`: the rows that a cascade begins with, and with them those that pass the deletion on. `start` selects a
 * number for each row to begin with, and the row's identity. Columns: `_ord` (that number), `_at` (the place of the table), `_i0`, … (the
 * row's identity).
 */
export function withReached(cascade: Cascade, dialect: Dialect, start: string): string {
  const width = Math.max(...cascade.tables.map((table) => dialect.identity(table).length))
  const identity = Array.from({ length: width }, (_, at) => `_i${at}`)
  const filled = (values: readonly string[]) => identity.map((_, at) => values[at] ?? 'NULL')
  const started = dialect.identity(cascade.tables[0] ?? '').map((_, at) => `_i${at}`)
  const steps = cascade.keys.flatMap((key): Step[] => {
    const at = cascade.tables.indexOf(key.child)
    if (key.effect !== 'deleted' || at < 1) return []
    const { tables, where } = step(cascade, dialect, key)
    const values = dialect.identity(key.child).map((part) => `_child.${part}`)
    return [{ select: [String(at), ...filled(values)], tables, where }]
  })
  const begin = `SELECT _ord, 0, ${filled(started).join(', ')} FROM _start`
  const all = steps.length === 0 ? begin : `${begin} UNION ${dialect.follow(steps)}`
  return `WITH RECURSIVE _start (${['_ord', ...started].join(', ')}) AS (${start}), _reached (_ord, _at, ${identity.join(', ')}) AS (${all})`
}

/** The rows, called `_child`, that refer by a key to `_reached` ones; that a row refers to itself does not count. */
export function reachedBy(cascade: Cascade, dialect: Dialect, key: Acting): string {
  const { tables, where } = step(cascade, dialect, key)
  const own = dialect.identity(key.child).map((part, at) => `_child.${part} = _start._i${at}`)
  const itself = key.child === cascade.tables[0]
  const from = ['_reached', ...(itself ? ['_start'] : []), ...tables].join(', ')
  const other = itself ? ` AND _start._ord = _reached._ord AND NOT (${own.join(' AND ')})` : ''
  return `FROM ${from} WHERE ${where}${other}`
}

function step({ tables }: Cascade, dialect: Dialect, key: Acting): Pick<Step, 'tables' | 'where'> {
  const found = dialect.identity(key.parent).map((part, at) => `_parent.${part} = _reached._i${at}`)
  return {
    tables: [`${dialect.tableSql(key.parent)} AS _parent`, `${dialect.tableSql(key.child)} AS _child`],
    where: [`_reached._at = ${tables.indexOf(key.parent)}`, ...found, refers(key, '_parent')].join(' AND '),
  }
}

function refers({ childFields, parentFields }: Acting, parent: string): string {
  return childFields
    .map((field, at) => `_child.${quote(field)} = ${parent}.${quote(parentFields[at] ?? '')}`)
    .join(' AND ')
}
