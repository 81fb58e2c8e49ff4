import assert from 'node:assert/strict'
import type { EngineEvent } from '../../src/core/event.ts'

export type Told = Readonly<Record<string, unknown>> & { readonly event: EngineEvent['event'] }

/** What the stream says, from now on. */
export class Stream implements Disposable {
  readonly told: Told[] = []
  readonly #stop = new AbortController()

  async open(url: string, key: string): Promise<this> {
    const answer = await fetch(`${url}/api/events`, {
      headers: { authorization: `Bearer ${key}` },
      signal: this.#stop.signal,
    })
    this.#read(answer).catch(() => {})
    return this
  }

  of(event: EngineEvent['event'], sync: string): readonly Told[] {
    return this.told.filter((told) => told.event === event && told.sync === sync)
  }

  [Symbol.dispose](): void {
    this.#stop.abort()
  }

  async #read({ body }: Response): Promise<void> {
    assert.ok(body !== null)
    let text = ''
    for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
      const parts = `${text}${chunk}`.split('\n\n')
      text = parts.pop() ?? ''
      for (const part of parts) {
        const data = /^event: (\S+)\ndata: (.*)$/.exec(part)
        if (data === null) continue
        const told = JSON.parse(data[2] ?? '') as Told
        assert.equal(told.event, data[1])
        this.told.push(told)
      }
    }
  }
}
