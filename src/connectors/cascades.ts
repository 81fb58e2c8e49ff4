/** What a SQL database deletes or changes by itself together with a row: foreign keys ON DELETE CASCADE, SET NULL, SET DEFAULT. */
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

/** Foreign keys one after another, from a row that is deleted to rows that this reaches. */
export type Path = readonly Acting[]

/** All paths from a table. One ends at a row that is only changed, at a table that is met again, and where `kept` says that nothing may be reached. */
export function pathsFrom(table: string, acting: readonly Acting[], kept: (table: string) => boolean): Path[] {
  const paths: Path[] = []
  const follow = (from: string, path: Path) => {
    for (const next of acting.filter(({ parent }) => parent === from)) {
      const longer = [...path, next]
      paths.push(longer)
      const met = next.child === table || path.some(({ child }) => child === next.child)
      if (next.effect === 'deleted' && !met && !kept(next.child)) follow(next.child, longer)
    }
  }
  follow(table, [])
  return paths
}

export function reachedBy(path: Path): Acting {
  const last = path.at(-1)
  if (last === undefined) throw new Error('a path without a foreign key')
  return last
}

/** The rows that a path reaches from the row called `root`: what to select from, and under which alias. Their own row is not among them. */
export function reachedRows(
  path: Path,
  { root, table, key }: { readonly root: string; readonly table: string; readonly key: readonly string[] },
  tableSql: (name: string) => string,
): { readonly from: string; readonly alias: string } {
  const aliasOf = (at: number) => `_d${at}`
  const joined = path.map((acting, at) => {
    const parent = at === 0 ? root : aliasOf(at - 1)
    const on = acting.childFields.map(
      (field, i) => `${aliasOf(at)}.${quote(field)} = ${parent}.${quote(acting.parentFields[i] ?? '')}`,
    )
    return { name: `${tableSql(acting.child)} AS ${aliasOf(at)}`, on: on.join(' AND ') }
  })
  const alias = aliasOf(path.length - 1)
  const itself =
    reachedBy(path).child === table
      ? ` AND NOT (${key.map((field) => `${alias}.${quote(field)} = ${root}.${quote(field)}`).join(' AND ')})`
      : ''
  const from = `${joined.map(({ name }) => name).join(', ')} WHERE ${joined.map(({ on }) => on).join(' AND ')}${itself}`
  return { from, alias }
}
