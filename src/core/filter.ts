/**
 * Filters: the `where` of a sync. One tree, evaluated in process here and pushed down to SQL by the connectors; both
 * pass the cases of src/testing/filter-cases.ts. Three-valued like SQL: comparing with NULL is neither true nor false.
 */
import { SyncError } from './error.ts'
import type { Field, Schema } from './schema.ts'
import { compareTimes, normalizeTime } from './time.ts'
import {
  canonicalDecimal,
  canonicalJson,
  compareText,
  compareValues,
  type Row,
  type Type,
  type Value,
} from './value.ts'

export const comparisons = ['=', '!=', '<', '<=', '>', '>='] as const
export type Comparison = (typeof comparisons)[number]

export type Literal = string | number | bigint | boolean | null
export type Condition =
  | Literal
  | ({ readonly [C in Comparison]?: Literal } & {
      readonly in?: readonly Literal[]
      readonly 'not in'?: readonly Literal[]
      readonly null?: boolean
    })
/** What a person writes: field names with conditions, all of which must hold; `and`, `or`, `not` combine. */
export interface Where {
  readonly and?: readonly Where[]
  readonly or?: readonly Where[]
  readonly not?: Where
  readonly [field: string]: Condition | Where | readonly Where[] | undefined
}

/** A filter bound to a schema: literals are values of their field's type. */
export type Filter =
  | { readonly kind: 'compare'; readonly field: Field; readonly comparison: Comparison; readonly value: Value }
  | { readonly kind: 'in'; readonly field: Field; readonly values: readonly Value[] }
  | { readonly kind: 'null'; readonly field: Field }
  | { readonly kind: 'and' | 'or'; readonly filters: readonly Filter[] }
  | { readonly kind: 'not'; readonly filter: Filter }

/** Binds a `where` to a schema; CONFIG_INVALID names the field or literal that does not fit. */
export function bindFilter(where: Where, schema: Schema): Filter {
  const filters: Filter[] = []
  for (const [name, condition] of Object.entries(where)) {
    if (condition === undefined) continue
    if (name === 'and' || name === 'or') {
      filters.push({ kind: name, filters: (condition as readonly Where[]).map((part) => bindFilter(part, schema)) })
    } else if (name === 'not') filters.push({ kind: 'not', filter: bindFilter(condition as Where, schema) })
    else filters.push(...bindCondition(fieldNamed(schema, name), condition as Condition))
  }
  return filters.length === 1 ? (filters[0] as Filter) : { kind: 'and', filters }
}

/** Whether a row (in schema order) passes: true, false, or null for unknown. Only true lets it in. */
export function evaluate(filter: Filter, schema: Schema, row: Row): boolean | null {
  switch (filter.kind) {
    case 'null':
      return cellOf(filter.field, schema, row) === null
    case 'compare':
      return compare(filter.field.type, filter.comparison, cellOf(filter.field, schema, row), filter.value)
    case 'in':
      return any(
        filter.values.map((value) => compare(filter.field.type, '=', cellOf(filter.field, schema, row), value)),
      )
    case 'or':
      return any(filter.filters.map((part) => evaluate(part, schema, row)))
    case 'and':
      return negate(any(filter.filters.map((part) => negate(evaluate(part, schema, row)))))
    case 'not':
      return negate(evaluate(filter.filter, schema, row))
  }
}

/** Order of two values of one type by meaning: decimals by size, points in time by time, text by bytes. */
export function order(type: Type, a: Value, b: Value): number {
  switch (type) {
    case 'decimal':
      return compareDecimals(String(a), String(b))
    case 'date':
    case 'time':
    case 'timestamp':
    case 'instant':
      return compareTimes(String(a), String(b))
    case 'json':
      return compareText(canonicalJson(String(a)), canonicalJson(String(b)))
    default:
      return compareValues(type, a, b)
  }
}

/** The fields a filter looks at. */
export function filterFields(filter: Filter): Field[] {
  switch (filter.kind) {
    case 'and':
    case 'or':
      return filter.filters.flatMap(filterFields)
    case 'not':
      return filterFields(filter.filter)
    default:
      return [filter.field]
  }
}

function bindCondition(field: Field, condition: Condition): Filter[] {
  if (condition === null) return [{ kind: 'null', field }]
  if (typeof condition !== 'object')
    return [{ kind: 'compare', field, comparison: '=', value: bindLiteral(field, condition) }]
  const filters: Filter[] = []
  for (const [operator, operand] of Object.entries(condition)) {
    if (operator === 'null') {
      const isNull: Filter = { kind: 'null', field }
      filters.push(operand === true ? isNull : { kind: 'not', filter: isNull })
    } else if (operator === 'in' || operator === 'not in') {
      const values = (operand as readonly Literal[]).map((literal) => bindLiteral(field, literal))
      const inside: Filter = { kind: 'in', field, values }
      filters.push(operator === 'in' ? inside : { kind: 'not', filter: inside })
    } else if ((comparisons as readonly string[]).includes(operator)) {
      filters.push({
        kind: 'compare',
        field,
        comparison: operator as Comparison,
        value: bindLiteral(field, operand as Literal),
      })
    } else {
      throw new SyncError('CONFIG_INVALID', `where.${field.name}: unknown operator "${operator}"`, {
        hint: `Use one of ${comparisons.join(', ')}, in, not in, null.`,
      })
    }
  }
  return filters
}

function bindLiteral(field: Field, literal: Literal): Value {
  if (literal === null) return null
  const value = literalOf(field.type, literal)
  if (value !== null) return value
  throw new SyncError(
    'CONFIG_INVALID',
    `where.${field.name}: ${JSON.stringify(String(literal))} is not a value of type ${field.type}`,
    {
      hint: `The field is declared ${field.native}; write a literal of that type.`,
    },
  )
}

function literalOf(type: Type, literal: Exclude<Literal, null>): Value {
  const text = String(literal)
  switch (type) {
    case 'boolean':
      return typeof literal === 'boolean' ? literal : null
    case 'integer':
      return /^[+-]?\d+$/.test(text) ? BigInt(text) : /^[+-]?\d+\.\d+$/.test(text) ? Number(text) : null
    case 'float':
      return text === 'NaN' || !Number.isNaN(Number(text)) ? Number(text) : null
    case 'decimal':
      return /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text) ? canonicalDecimal(text) : null
    case 'bytes':
      return /^([0-9a-f]{2})*$/i.test(text.replace(/^\\x/, '')) ? hexBytes(text.replace(/^\\x/, '')) : null
    case 'uuid':
      return text.toLowerCase()
    case 'date':
    case 'time':
    case 'timestamp':
    case 'instant':
      return normalizeTime(type, text)
    default:
      return text
  }
}

function fieldNamed(schema: Schema, name: string): Field {
  const field = schema.fields.find((candidate) => candidate.name === name)
  if (field !== undefined) return field
  throw new SyncError('CONFIG_INVALID', `where.${name}: ${schema.name} has no field "${name}"`, {
    hint: `Its fields are ${schema.fields.map((candidate) => candidate.name).join(', ')}.`,
  })
}

function cellOf(field: Field, schema: Schema, row: Row): Value {
  return row[schema.fields.findIndex((candidate) => candidate.name === field.name)] ?? null
}

function compare(type: Type, comparison: Comparison, a: Value, b: Value): boolean | null {
  if (a === null || b === null) return null
  const result = order(type, a, b)
  switch (comparison) {
    case '=':
      return result === 0
    case '!=':
      return result !== 0
    case '<':
      return result < 0
    case '<=':
      return result <= 0
    case '>':
      return result > 0
    case '>=':
      return result >= 0
  }
}

function any(results: readonly (boolean | null)[]): boolean | null {
  return results.includes(true) ? true : results.includes(null) ? null : false
}

function negate(result: boolean | null): boolean | null {
  return result === null ? null : !result
}

/** Exact, without floating point. NaN is greater than all (as in Postgres), and infinities are at the ends. */
function compareDecimals(a: string, b: string): number {
  const special = (text: string) => (text === 'NaN' ? 2 : text === 'Infinity' ? 1 : text === '-Infinity' ? -1 : 0)
  const [x, y] = [special(a), special(b)]
  if (x !== 0 || y !== 0) return x - y
  const [wholeA, fractionA = ''] = canonicalDecimal(a).split('.') as [string, string?]
  const [wholeB, fractionB = ''] = canonicalDecimal(b).split('.') as [string, string?]
  const digits = Math.max(fractionA.length, fractionB.length)
  const scaledA = BigInt(wholeA + fractionA.padEnd(digits, '0'))
  const scaledB = BigInt(wholeB + fractionB.padEnd(digits, '0'))
  return scaledA < scaledB ? -1 : scaledA > scaledB ? 1 : 0
}

function hexBytes(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))
}
