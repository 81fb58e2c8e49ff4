/** What the SQL connectors share: quoting, and filters as SQL. */
import type { Comparison, Filter } from '../core/filter.ts'
import type { Field } from '../core/schema.ts'
import type { Value } from '../core/value.ts'

/** How one SQL system spells things. */
export interface Dialect {
  /** A value as an SQL literal of the field's type. */
  literal(field: Field, value: Value): string
  /** `column <comparison> literal`, with this project's meaning of order: bytes for text, size for decimals, time for times. */
  compare(field: Field, comparison: Comparison, literal: string): string
}

/** An identifier; both systems use the standard's double quotes. */
export function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** An SQL string literal. The caller has refused NUL characters. */
export function text(value: string): string {
  return `'${value.replaceAll("'", "''")}'`
}

/** Conditions joined as a tree: a chain of many would be deeper than SQLite takes (1000). At least one. */
export function joined(conditions: readonly string[], by: 'AND' | 'OR' | '+'): string {
  if (conditions.length <= 100) return `(${conditions.join(` ${by} `)})`
  const middle = conditions.length >> 1
  return `(${joined(conditions.slice(0, middle), by)} ${by} ${joined(conditions.slice(middle), by)})`
}

/** A filter as an SQL condition. */
export function filterSql(filter: Filter, dialect: Dialect): string {
  switch (filter.kind) {
    case 'null':
      return `${quote(filter.field.name)} IS NULL`
    case 'compare':
      return comparisonSql(filter.field, filter.comparison, filter.value, dialect)
    case 'in':
      if (filter.values.length === 0) return '(1 = 0)'
      return joined(
        filter.values.map((value) => comparisonSql(filter.field, '=', value, dialect)),
        'OR',
      )
    case 'not':
      return `(NOT ${filterSql(filter.filter, dialect)})`
    case 'and':
    case 'or':
      if (filter.filters.length === 0) return filter.kind === 'and' ? '(1 = 1)' : '(1 = 0)'
      return joined(
        filter.filters.map((part) => filterSql(part, dialect)),
        filter.kind === 'and' ? 'AND' : 'OR',
      )
  }
}

function comparisonSql(field: Field, comparison: Comparison, value: Value, dialect: Dialect): string {
  // NULL compares to nothing: unknown, whatever the operator.
  if (value === null) return '(NULL = NULL)'
  return dialect.compare(field, comparison, dialect.literal(field, value))
}
