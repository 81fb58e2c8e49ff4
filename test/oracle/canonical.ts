/**
 * What a value means, as one text, however a side spells it. Written without src/: the oracle must not share the
 * product's mistakes.
 */

/** What a cell is, to know how its spellings compare. */
export type Kind =
  | 'boolean'
  | 'integer'
  | 'float'
  | 'decimal'
  | 'text'
  | 'bytes'
  | 'uuid'
  | 'date'
  | 'time'
  | 'timestamp'
  | 'instant'
  | 'json'

export type Cell = string | null
/** Rows by their key's text. */
export type Rows = ReadonlyMap<string, readonly Cell[]>

/** A value as Postgres prints it with our session settings. */
export function fromPostgres(kind: Kind, text: Cell): Cell {
  if (text === null) return null
  switch (kind) {
    case 'boolean':
      return text === 't' ? 'true' : text === 'f' ? 'false' : `not boolean: ${text}`
    case 'float':
      return spellFloat(Number(text))
    case 'decimal':
      return spellDecimal(text)
    case 'json':
      return spellJson(text)
    case 'time':
      return text.length === 8 ? `${text}.000000` : text.padEnd(15, '0')
    case 'timestamp':
    case 'instant':
      return spellTimestamp(text)
    default:
      return text
  }
}

/** A value as SQLite stores it, read with integers as bigints, so that the storage class shows. */
export function fromSqlite(kind: Kind, value: unknown): Cell {
  if (value === null) return null
  switch (kind) {
    case 'boolean':
      return value === 0n ? 'false' : value === 1n ? 'true' : stray(kind, value)
    case 'integer':
      return typeof value === 'bigint' ? String(value) : stray(kind, value)
    case 'float':
      return typeof value === 'number' ? spellFloat(value) : stray(kind, value)
    case 'bytes':
      return value instanceof Uint8Array ? `\\x${Buffer.from(value).toString('hex')}` : stray(kind, value)
    case 'decimal':
      return value instanceof Uint8Array ? stray(kind, value) : spellDecimal(String(value))
    case 'json':
      return value instanceof Uint8Array ? stray(kind, value) : spellJson(String(value))
    case 'uuid':
      return typeof value === 'string' ? value.toLowerCase() : stray(kind, value)
    default:
      return typeof value === 'string' ? value : stray(kind, value)
  }
}

/** What SQLite can't keep of a float, and says so: NaN is NULL, and zero has no sign. */
export function lossOf(kind: Kind, cell: Cell): Cell {
  if (kind !== 'float') return cell
  return cell === 'NaN' ? null : cell === '-0' ? '0' : cell
}

/** The differences between two sides, in words; `kept` rows of the target may be extra. */
export function differences(left: Rows, right: Rows, names: readonly string[], kept: boolean): string[] {
  const found: string[] = []
  for (const [key, row] of left) {
    const other = right.get(key)
    if (other === undefined) found.push(`missing: ${key}`)
    else
      found.push(
        ...row.flatMap((cell, at) =>
          cell === other[at]
            ? []
            : [`different: ${key} ${names[at]}: ${show(cell)} at the source, ${show(other[at])} in the target`],
        ),
      )
  }
  for (const key of kept ? [] : right.keys()) if (!left.has(key)) found.push(`extra: ${key}`)
  return found.length > 8 ? [...found.slice(0, 8), `and ${found.length - 8} more`] : found
}

function show(cell: Cell | undefined): string {
  const text = JSON.stringify(cell) ?? 'nothing'
  return text.length > 120 ? `${text.slice(0, 120)}… (${text.length})` : text
}

function stray(kind: Kind, value: unknown): string {
  return `not ${kind}, but ${value instanceof Uint8Array ? 'bytes' : typeof value}: ${String(value)}`
}

function spellFloat(float: number): string {
  return Object.is(float, -0) ? '-0' : String(float)
}

/** `-001.50e1` → `-15`: digits and the place of the point, by arithmetic on text. */
function spellDecimal(text: string): string {
  const match = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/.exec(text)
  if (match === null) return text
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = match
  let point = whole.length + Number(exponent)
  let digits = whole + fraction
  if (point <= 0) {
    digits = '0'.repeat(1 - point) + digits
    point = 1
  }
  digits = digits.padEnd(point, '0')
  const left = digits.slice(0, point).replace(/^0+(?=\d)/, '')
  const right = digits.slice(point).replace(/0+$/, '')
  const plain = right === '' ? left : `${left}.${right}`
  return sign === '-' && plain !== '0' ? `-${plain}` : plain
}

/** Sorted keys, no white space, numbers by size: a tokenizer is enough, and loses no digit. */
function spellJson(text: string): string {
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\]:,]|[^\s{}[\]:,"]+/gs) ?? []
  let at = 0
  const value = (): string => {
    const token = tokens[at++] ?? ''
    if (token === '{') {
      const members = new Map<string, string>()
      while (tokens[at] !== '}' && at < tokens.length) {
        if (tokens[at] === ',') at++
        const name = JSON.stringify(JSON.parse(tokens[at++] ?? '""'))
        at++
        members.set(name, value())
      }
      at++
      return `{${[...members]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, member]) => `${name}:${member}`)
        .join(',')}}`
    }
    if (token === '[') {
      const items: string[] = []
      while (tokens[at] !== ']' && at < tokens.length) {
        if (tokens[at] === ',') at++
        items.push(value())
      }
      at++
      return `[${items.join(',')}]`
    }
    if (token.startsWith('"')) return JSON.stringify(JSON.parse(token))
    return /^[-\d]/.test(token) ? spellDecimal(token) : token
  }
  try {
    return value()
  } catch {
    return text
  }
}

/** `2025-01-31 13:05:09.25+00 BC` → `2025-01-31T13:05:09.250000Z BC`. */
function spellTimestamp(text: string): string {
  const match = /^(\d+-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d+))?(\+00)?( BC)?$/.exec(text)
  if (match === null) return text
  const [, day, clock, fraction = '', zone, era = ''] = match
  return `${day}T${clock}.${fraction.padEnd(6, '0')}${zone === undefined ? '' : 'Z'}${era}`
}
