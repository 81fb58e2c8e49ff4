import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compactJson } from './compact-json.ts'

/** As canonical JSON is defined, for values whose numbers are whole. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const names = Object.keys(value).toSorted()
  return `{${names.map((name) => `${JSON.stringify(name)}:${canonical(Reflect.get(value, name))}`).join(',')}}`
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.keys(value)
      .toSorted()
      .map((name) => [name, sorted(Reflect.get(value, name))]),
  )
}

const values = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom(null, true, false, 0, 1, -7, 123456789012345),
    fc.string({ unit: fc.constantFrom('a', 'b', 'é', '"', '\\', '\n', ' ', '😀', '{', ',') }),
    fc.array(tie('value')),
    fc.dictionary(fc.constantFrom('a', 'aa', 'a ', 'a!', 'b', 'B', '1', '10', '2', '', 'é'), tie('value')),
  ),
})).value

test('what it spells is canonical, whatever the white space; what it does not spell is left to others', () => {
  let spelled = 0
  fc.assert(
    fc.property(values, fc.constantFrom(0, 1, '\t', '  '), fc.boolean(), (value, space, inOrder) => {
      const text = JSON.stringify(inOrder ? sorted(value) : value, null, space)
      const compact = compactJson(` ${text}\n`)
      if (compact === null) return
      spelled++
      assert.equal(compact, canonical(value))
    }),
    { numRuns: 2000 },
  )
  assert.ok(spelled > 500, `${spelled} of 2000`)
})

test('what needs more than that, and what is no JSON, is not spelled', () => {
  const odd = [
    '{"b":1,"a":2}',
    '{"a":1,"a":2}',
    '{"a ":1,"a":2}',
    '1.0',
    '1e3',
    '-0',
    '007',
    '12345678901234567',
    '"\\u0041"',
    '"\ud800"',
    '{"é":1}',
  ]
  const broken = [
    '',
    ' ',
    '{',
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    '[1,]',
    '[1 2]',
    'nul',
    'nullx',
    '1 2',
    '"a',
    '{a:1}',
    '-',
    '+1',
    "'a'",
    '\u00a01',
    '"a\nb"',
  ]
  for (const text of [...odd, ...broken, '['.repeat(200) + ']'.repeat(200)]) assert.equal(compactJson(text), null, text)
  assert.equal(compactJson('{ "a" : [ 1 , -2, {"b": null}, "x y" ] }'), '{"a":[1,-2,{"b":null},"x y"]}')
  for (const text of ['{}', '[]', '0', '-5', 'true', 'false', 'null', '""', '"é"', '999999999999999'])
    assert.equal(compactJson(text), text)
})
