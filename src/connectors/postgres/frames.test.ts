import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CopyDecoder, encodeRow } from './copy.ts'
import { FrameCutter, FrameLog, frameOf, type LargeRow, linesOf } from './frames.ts'

const fields = [
  { name: 'id', type: 'integer', native: 'bigint', nullable: false, writable: true },
  { name: 'note', type: 'text', native: 'text', nullable: true, writable: true },
] as const
const rows = [
  [1, 'plain'],
  [2, null],
  [3, 'two\nlines, a tab\t and a \\'],
  [4, 'Größe 漢字 😀'],
  [5, ''],
]
const message = (type: string, body: string) => {
  const bytes = Buffer.from(`${type}....${body}`)
  bytes.writeUInt32BE(bytes.length - 1, 1)
  return bytes
}
/** As a server sends it: a beginning, a row a frame, a notice on the way, and the end. */
const wire = Buffer.concat([
  message('H', '\0\0\x02\0\0\0\0'),
  ...rows.slice(0, 2).map((row) => frameOf(encodeRow(fields, row))),
  message('N', 'SNOTICE\0Mddd\0\0'),
  ...rows.slice(2).map((row) => frameOf(encodeRow(fields, row))),
  message('c', ''),
  message('C', 'COPY 5\0'),
])

function cut(chunks: readonly Buffer[], maxBytes = 1000) {
  const cutter = new FrameCutter(maxBytes)
  const decoder = new CopyDecoder(fields.map(({ type }) => type))
  const found = { rows: [] as unknown[], order: '', rest: 0 }
  const large: LargeRow[] = []
  for (const chunk of chunks) {
    cutter.push(Buffer.from(chunk), {
      onFrames: (frames) => {
        found.order += (frames.large === undefined ? 'd' : 'L').repeat(frames.rows)
        if (frames.large !== undefined) large.push(frames.large)
        else found.rows.push(...decoder.decode(frames))
      },
      onMessage: (bytes) => {
        found.order += String.fromCharCode(bytes[0] ?? 0)
      },
    })
  }
  return { ...found, rest: cutter.rest().length, ...(large.length > 0 ? { large } : {}) }
}

test('rows are the same wherever chunks divide what the server sends', () => {
  const whole = { rows, order: 'HddNdddcC', rest: 0 }
  assert.deepEqual(cut([wire]), whole)
  for (let at = 1; at < wire.length; at++) assert.deepEqual(cut([wire.subarray(0, at), wire.subarray(at)]), whole)
  assert.deepEqual(cut([...wire].map((byte) => Buffer.from([byte]))), whole)
})

test('what is not complete yet is the rest', () => {
  assert.deepEqual(cut([wire.subarray(0, wire.length - 3)]), { rows, order: 'HddNdddc', rest: 9 })
})

test('frames have one line each, or as many as we put into one', () => {
  const lines = rows.map((row) => encodeRow(fields, row))
  assert.deepEqual(linesOf({ bytes: Buffer.concat(lines.map(frameOf)) }), lines)
  assert.deepEqual(linesOf({ bytes: frameOf(lines.join('')) }), lines)
})

test('a log gives back every line that went into it, however it grew, and is empty once cleared', () => {
  const lines = rows.map((row) => encodeRow(fields, row))
  const log = new FrameLog()
  const sent: Buffer[] = []
  for (let i = 0; i < 100; i++)
    sent.push(Buffer.from(log.addLines(lines.join(''))), Buffer.from(log.add(frameOf('x\n'))))
  const all = Array.from({ length: 100 }, () => [...lines, 'x\n']).flat()
  assert.deepEqual(log.lines(), all)
  assert.deepEqual(linesOf({ bytes: Buffer.concat(sent) }), all)
  log.clear()
  assert.deepEqual(log.lines(), [])
})

test('point 40: of a row beyond the limit the short fields are told, wherever chunks divide it, and the rows around it are whole', () => {
  const long = 'x'.repeat(70_000)
  const line = (...values: readonly string[]) => frameOf(`${values.join('\t')}\n`)
  const sent = Buffer.concat([
    line('1', 'a'),
    line('2', long, 'middle', `${long}\\n`, 'end'),
    line(long, '3'),
    line('4', 'b'),
    message('c', ''),
  ])
  const expected = {
    rows: [
      [1, 'a'],
      [4, 'b'],
    ],
    order: 'dLLdc',
    rest: 0,
    large: [
      { line: '2\t\\N\tmiddle\t\\N\tend\n', without: [1, 3] },
      { line: '\\N\t3\n', without: [0] },
    ],
  }
  assert.deepEqual(cut([sent]), expected)
  for (let at = 1; at < sent.length; at += at < 100 ? 1 : 997)
    assert.deepEqual(cut([sent.subarray(0, at), sent.subarray(at)]), expected, String(at))
  const pieces = Array.from({ length: Math.ceil(sent.length / 100) }, (_none, at) =>
    sent.subarray(at * 100, at * 100 + 100),
  )
  assert.deepEqual(cut(pieces), expected)
})
