/** What a table that was adopted makes of values whose type is another one: its own input function decides, and nothing is kept. */
import type { Field } from '../../core/schema.ts'
import type { Row } from '../../core/value.ts'
import type { TargetSpec } from '../connector.ts'
import type { Client } from './client.ts'
import { encodeRow } from './copy.ts'
import { isRowError } from './errors.ts'
import { frameOf } from './frames.ts'
import { resolveTypes, storedTypes } from './table.ts'
import { fromText } from './types.ts'

/** A field that the table stores in a type of its own. */
interface Retyped {
  readonly field: Field
  /** In the rows. */
  readonly at: number
  /** Keys keep their spelling: by it they are looked up on both sides. */
  readonly isKey: boolean
}

const STAGING = '_syncline_rehearsal'

/** Rows as the table would store them; null: it would refuse the row. */
export async function rehearse(
  client: Client,
  spec: TargetSpec,
  rows: readonly Row[],
): Promise<readonly (Row | null)[]> {
  const retyped = rows.length === 0 ? [] : await retypedFields(client, spec)
  if (retyped.length === 0) return rows
  const columns = retyped.map(({ field }, number) => `c${number} ${field.native}`)
  await client.begin('write', `CREATE TEMP TABLE ${STAGING} (at integer, ${columns}) ON COMMIT DROP`)
  try {
    await stage(client, linesOf(rows, retyped))
    const stored: (Row | null)[] = rows.map(() => null)
    for (const [at, ...values] of await client.query(`SELECT * FROM pg_temp.${STAGING}`))
      stored[Number(at)] = withValues(rows[Number(at)] ?? [], retyped, values)
    return stored
  } finally {
    await client.rollback()
  }
}

async function retypedFields(client: Client, spec: TargetSpec): Promise<readonly Retyped[]> {
  if (!spec.adopt) return []
  const given = await resolveTypes(client, spec.schema)
  const stored = await storedTypes(client, spec)
  return stored.fields.flatMap((field, at) =>
    field.native === given.fields[at]?.native || field.native === 'text'
      ? []
      : [{ field, at, isKey: spec.schema.key.includes(field.name) }],
  )
}

/** Lines of COPY: each with the number of its row. A row that Postgres could not even be told is left out. */
function linesOf(rows: readonly Row[], retyped: readonly Retyped[]): readonly string[] {
  const fields = retyped.map(({ field }) => field)
  return rows.flatMap((row, number) => {
    try {
      const values = retyped.map(({ at }) => row[at] ?? null)
      return [`${number}\t${encodeRow(fields, values)}`]
    } catch (error) {
      if (!isRowError(error)) throw error
      return []
    }
  })
}

/** By halves, down to the lines that are refused. */
async function stage(client: Client, lines: readonly string[]): Promise<void> {
  if (lines.length === 0) return
  const copy = client.copyIn(`SAVEPOINT staged; COPY pg_temp.${STAGING} FROM STDIN`)
  try {
    await copy.write(frameOf(lines.join('')))
    await copy.end()
    await client.query('RELEASE SAVEPOINT staged')
  } catch (error) {
    if (!isRowError(error)) throw error
    await client.query('ROLLBACK TO SAVEPOINT staged; RELEASE SAVEPOINT staged')
    if (lines.length === 1) return
    const middle = lines.length >> 1
    await stage(client, lines.slice(0, middle))
    await stage(client, lines.slice(middle))
  }
}

function withValues(row: Row, retyped: readonly Retyped[], values: readonly (string | null)[]): Row {
  const stored = [...row]
  for (const [number, { field, at, isKey }] of retyped.entries()) {
    if (isKey) continue
    const text = values[number] ?? null
    stored[at] = text === null ? null : fromText(field.type, text)
  }
  return stored
}
