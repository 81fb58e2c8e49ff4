/** The oracle's own chance: small, seeded and the same everywhere (mulberry32). */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** In [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1))
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  pick<T>(choices: readonly T[]): T {
    const choice = choices[Math.floor(this.next() * choices.length)]
    if (choice === undefined) throw new Error('nothing to pick from')
    return choice
  }

  /** One of the choices, each as likely as its weight says. */
  weighted<T>(choices: readonly (readonly [weight: number, choice: T])[]): T {
    let left = this.next() * choices.reduce((sum, [weight]) => sum + weight, 0)
    for (const [weight, choice] of choices) {
      left -= weight
      if (left < 0) return choice
    }
    return this.pick(choices)[1]
  }

  /** `count` different choices, or all of them, in random order. */
  sample<T>(choices: readonly T[], count: number): T[] {
    const rest = [...choices]
    return Array.from({ length: Math.min(count, rest.length) }, () => {
      const at = this.between(0, rest.length - 1)
      return rest.splice(at, 1)[0] as T
    })
  }

  /** Decimal digits, the first of them not 0. */
  digits(count: number): string {
    return Array.from({ length: count }, (_, at) => this.between(at === 0 ? 1 : 0, 9)).join('')
  }

  /** A generator of its own, so that what one part draws does not move what others draw. */
  fork(): Random {
    return new Random(Math.floor(this.next() * 2 ** 32))
  }
}

/** A seed out of a seed and a name. */
export function seedOf(seed: number, name: string): number {
  let hash = seed ^ 0x811c9dc5
  for (const character of name) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193)
  return hash >>> 0
}
