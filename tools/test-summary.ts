import type { TestEvent } from 'node:test/reporters'

/** How a whole test run ended, in numbers of tests. */
export interface Summary {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

/** A reporter for Node's test runner: writes one JSON object when all files have ended. */
export default async function* summarize(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of source) {
    // Every file has a summary too; the one without a file counts them all.
    if (event.type !== 'test:summary' || event.data.file !== undefined) continue
    const { tests, passed, skipped, todo } = event.data.counts
    yield JSON.stringify({ passed, failed: tests - passed - skipped - todo, skipped: skipped + todo } satisfies Summary)
  }
}
