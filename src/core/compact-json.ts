/**
 * The canonical spelling of JSON text that needs no more than its white space taken out: names of objects are in order already, numbers
 * are short whole ones, nothing in strings is escaped. So are most documents, above all those that Postgres gives. Measured on the first
 * pairing of a million rows with one small document each: a tenth of its time.
 */

const QUOTE = 34
const BACKSLASH = 92
const COMMA = 44
const COLON = 58
const MINUS = 45
const ZERO = 48
/** Below 2^53, however they are spelled. */
const MOST_DIGITS = 15
const DEEPEST = 100

/** Null: it needs more than that, or is no JSON. */
export function compactJson(text: string): string | null {
  const reader = new Reader(text)
  return reader.value(0) && reader.ended() ? reader.out : null
}

class Reader {
  readonly #text: string
  #at = 0
  out = ''

  constructor(text: string) {
    this.#text = text
  }

  ended(): boolean {
    return Number.isNaN(this.#next())
  }

  /** False: something that is not that simple. What was read is in `out`. */
  value(depth: number): boolean {
    if (depth > DEEPEST) return false
    switch (this.#next()) {
      case QUOTE:
        return this.#string() !== null
      case 123:
        return this.#members(depth)
      case 91:
        return this.#elements(depth)
      case 116:
        return this.#word('true')
      case 102:
        return this.#word('false')
      case 110:
        return this.#word('null')
      default:
        return this.#number()
    }
  }

  #members(depth: number): boolean {
    this.#take()
    if (this.#next() === 125) return this.#take()
    for (let before: string | null = null; ; ) {
      if (this.#next() !== QUOTE) return false
      // Without its quotes, above which a blank would stand.
      const name = this.#string()?.slice(1, -1)
      // In order, and so none twice.
      if (name === undefined || !isAscii(name) || (before !== null && before >= name)) return false
      before = name
      if (this.#next() !== COLON) return false
      this.#take()
      if (!this.value(depth + 1)) return false
      const end = this.#next()
      if (end !== COMMA && end !== 125) return false
      this.#take()
      if (end === 125) return true
    }
  }

  #elements(depth: number): boolean {
    this.#take()
    if (this.#next() === 93) return this.#take()
    for (;;) {
      if (!this.value(depth + 1)) return false
      const end = this.#next()
      if (end !== COMMA && end !== 93) return false
      this.#take()
      if (end === 93) return true
    }
  }

  /** With its quotes. */
  #string(): string | null {
    const text = this.#text
    for (let at = this.#at + 1; at < text.length; at++) {
      const unit = text.charCodeAt(at)
      if (unit === QUOTE) return this.#slice(at + 1)
      if (unit === BACKSLASH || unit < 32 || (unit & 0xf800) === 0xd800) return null
    }
    return null
  }

  #number(): boolean {
    const text = this.#text
    const first = text.charCodeAt(this.#at) === MINUS ? this.#at + 1 : this.#at
    let at = first
    while (isDigit(text.charCodeAt(at))) at++
    const digits = at - first
    const zero = text.charCodeAt(first) === ZERO
    // Not 1.5, 1e3, 007, -0.
    if (digits === 0 || digits > MOST_DIGITS || (zero && (digits > 1 || first > this.#at))) return false
    const after = text.charCodeAt(at)
    if (after === 46 || after === 69 || after === 101) return false
    return this.#slice(at) !== ''
  }

  #word(word: string): boolean {
    return this.#text.startsWith(word, this.#at) && this.#slice(this.#at + word.length) !== ''
  }

  #slice(end: number): string {
    const part = this.#text.slice(this.#at, end)
    this.#at = end
    this.out += part
    return part
  }

  #take(): true {
    this.out += this.#text.charAt(this.#at++)
    return true
  }

  /** The next unit that is no white space; NaN at the end. */
  #next(): number {
    let unit = this.#text.charCodeAt(this.#at)
    while (unit === 32 || unit === 10 || unit === 13 || unit === 9) unit = this.#text.charCodeAt(++this.#at)
    return unit
  }
}

function isDigit(unit: number): boolean {
  return unit >= ZERO && unit <= 57
}

function isAscii(text: string): boolean {
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) > 126) return false
  return true
}
