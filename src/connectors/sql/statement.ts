/** SQL with its values apart, written as one text: sql`SELECT 1 FROM orders WHERE id = ${id}`. */

/** What a statement takes as a value. Lists go as one JSON text (see `Dialect.textRows`). */
export type SqlValue = string | number | null

/** A statement or a part of one. Its values are sent as parameters, each in the place where it stands. */
export interface Sql {
  readonly texts: readonly string[]
  readonly parts: readonly (SqlValue | Sql)[]
}

export function sql(texts: readonly string[], ...parts: readonly (SqlValue | Sql)[]): Sql {
  return { texts, parts }
}

/** SQL text that is no value: a name, a list of columns. */
export function raw(text: string): Sql {
  return { texts: [text], parts: [] }
}

/** The text of a statement, and its values in the order of their parameters, each of which stands there once. */
export function rendered(
  statement: Sql,
  parameter: (at: number) => string,
): { readonly text: string; readonly values: readonly SqlValue[] } {
  const values: SqlValue[] = []
  const textOf = ({ texts, parts }: Sql): string =>
    texts.reduce((before, text, at) => {
      const part = parts[at - 1] ?? null
      if (typeof part === 'object' && part !== null) return `${before}${textOf(part)}${text}`
      return `${before}${parameter(values.push(part))}${text}`
    })
  return { text: textOf(statement), values }
}
