/** Names of collections: `public.orders`, `public."odd.name"`, and the patterns that choose among them. */

/** Splits a dotted name into its parts; a part that holds a dot or a quote is written in double quotes. */
export function parseName(name: string): string[] {
  const parts: string[] = []
  const pattern = /"((?:[^"]|"")*)"|([^."]+)/y
  for (let at = 0; at < name.length; ) {
    pattern.lastIndex = at
    const match = pattern.exec(name)
    if (match === null) return [name]
    parts.push(match[1] === undefined ? (match[2] as string) : match[1].replaceAll('""', '"'))
    at = pattern.lastIndex
    if (at < name.length && name[at] !== '.') return [name]
    at++
  }
  return parts
}

/** Whether quotes stand around whole parts, and are closed: what is not so, parseName gives back as it is. */
export function wellQuoted(name: string): boolean {
  const [only, ...more] = parseName(name)
  return !name.includes('"') || more.length > 0 || only !== name
}

/** The reverse of parseName. */
export function formatName(parts: readonly string[]): string {
  return parts.map((part) => (/[."]/.test(part) || part === '' ? `"${part.replaceAll('"', '""')}"` : part)).join('.')
}

/** Whether a name belongs to Syncline itself: such tables never match a pattern. */
export function reserved(name: string): boolean {
  return (parseName(name).at(-1) ?? '').startsWith('_syncline_')
}

/** Chooses names by patterns in order: `public.*` adds, `!public.audit_*` takes away. `*` stands for any characters. */
export function selectNames(names: readonly string[], patterns: readonly string[]): string[] {
  const rules = patterns.map((pattern) => ({
    adds: !pattern.startsWith('!'),
    test: globTest(pattern.replace(/^!/, '')),
  }))
  return names.filter((name) => {
    if (reserved(name)) return false
    let chosen = rules.length > 0 && !(rules[0] as { adds: boolean }).adds
    for (const rule of rules) if (rule.test(name)) chosen = rule.adds
    return chosen
  })
}

/** The names most like a mistyped one, best first, at most `limit`. */
export function nearestNames(name: string, candidates: readonly string[], limit = 3): string[] {
  const short = (text: string) => (parseName(text).at(-1) ?? text).toLowerCase()
  return candidates
    .map((candidate) => ({
      candidate,
      distance: Math.min(editDistance(name, candidate), editDistance(short(name), short(candidate))),
    }))
    .filter(({ distance }) => distance <= Math.max(3, name.length / 3))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, limit)
    .map(({ candidate }) => candidate)
}

/** `; did you mean "orders"?`, or nothing when no name is near. */
export function didYouMean(name: string, candidates: readonly string[]): string {
  const nearest = nearestNames(name, candidates)
  if (nearest.length === 0) return ''
  return `; did you mean ${nearest.map((candidate) => `"${candidate}"`).join(' or ')}?`
}

/** Each part where it is found first: a regular expression would try all places, which takes for ever with a dozen stars. */
function globTest(pattern: string): (name: string) => boolean {
  const [first = '', ...rest] = pattern.split('*')
  const last = rest.pop()
  if (last === undefined) return (name) => name === pattern
  return (name) => {
    if (!name.startsWith(first) || !name.endsWith(last)) return false
    let at = first.length
    for (const part of rest) {
      const found = name.indexOf(part, at)
      if (found < 0) return false
      at = found + part.length
    }
    return at <= name.length - last.length
  }
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const current = [i]
    for (let j = 1; j <= b.length; j++) {
      const substitution = (previous[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      current.push(Math.min(substitution, (previous[j] as number) + 1, (current[j - 1] as number) + 1))
    }
    previous = current
  }
  return previous[b.length] as number
}
