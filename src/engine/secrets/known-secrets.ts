/** The secrets of connections that were used: what handlers know, and may put into their errors. */
export class KnownSecrets {
  readonly #configs = new Map<string, readonly string[]>()
  readonly #tokens = new Map<string, readonly string[]>()

  /** What the connection's config has now. */
  keepConfig(connection: string, secrets: readonly string[]): void {
    this.#configs.set(connection, secrets)
  }

  /** An access token; the one before it may still be in use. */
  keepToken(connection: string, token: string): void {
    const known = this.#tokens.get(connection) ?? []
    if (!known.includes(token)) this.#tokens.set(connection, [...known, token].slice(-2))
  }

  *[Symbol.iterator](): Iterator<string> {
    for (const secrets of this.#configs.values()) yield* secrets
    for (const tokens of this.#tokens.values()) yield* tokens
  }
}
