/** Which rows of a two-way sync are refused now and were not before: those are told of, once they are on record. */
import type { PairReader } from '../../store/pairs.ts'
import type { RefusedRow, StepEvents } from '../observe/step-events.ts'
import { aloneId } from './references.ts'

export class RefusedRows {
  readonly #steps: StepEvents
  readonly #known = new Set<string>()
  #news: RefusedRow[] = []

  constructor(steps: StepEvents) {
    this.#steps = steps
  }

  /** Takes note of those of earlier runs. */
  begin({ pairs, unpaired }: Awaited<ReturnType<PairReader['waiting']>>): void {
    for (const { pair, state } of pairs) if (state === 'rejected') this.#known.add(pairId(pair))
    for (const { side, key, state } of unpaired) if (state === 'rejected') this.#known.add(aloneId(side, key))
  }

  /** `pair`: null, the row has no counterpart. */
  add(pair: number | null, { side, key, code }: RefusedRow & { readonly side: 'left' | 'right' }): void {
    const id = pair === null ? aloneId(side, key) : pairId(pair)
    if (this.#known.has(id)) return
    this.#known.add(id)
    this.#news.push({ side, key, code })
  }

  /** To be called after the commit. */
  tell(): void {
    this.#steps.refused(this.#news.splice(0))
  }
}

function pairId(pair: number): string {
  return `pair ${pair}`
}
