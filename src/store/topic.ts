/** What processes that share a store tell each other as it happens. Nothing is kept: who does not hear at that moment has missed it. */
export interface Topic {
  /** Whether another process hears now, and there is room for what it would be told. */
  heard(): Promise<boolean>
  /** Tells the others who hear now, after what was told before. A text of any length. */
  tell(text: string): Promise<void>
  /** What others tell, until the signal is aborted. Null: from here on it hears, and may have missed something before. */
  hear(signal: AbortSignal): AsyncIterable<string | null>
}
