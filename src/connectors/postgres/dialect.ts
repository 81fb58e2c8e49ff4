/** How Postgres spells what Syncline's own tables need. */
import { type Dialect, textRowsJson } from '../sql/dialect.ts'
import { raw, sql } from '../sql/statement.ts'

export const dialect: Dialect = {
  parameter: (at) => `$${at}`,
  now: () => sql`now()`,
  hasTable: (name) => sql`SELECT 1 WHERE to_regclass(${name}) IS NOT NULL`,
  textRows: (columns, rows) => {
    const texts = columns.map((column, at) => `_row ->> ${at} AS ${column}`)
    return sql`(SELECT ${raw(texts.join(', '))} FROM json_array_elements(${textRowsJson(rows)}::json) AS _rows (_row))`
  },
}
