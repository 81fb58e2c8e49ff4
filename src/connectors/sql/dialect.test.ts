import assert from 'node:assert/strict'
import { test } from 'node:test'
import { textRowsJson } from './dialect.ts'

test('half a surrogate pair goes as U+FFFD, which every system takes for text; everything else as it is', () => {
  const rows = [
    ['a\ud800b', '"\\'],
    ['\ud83d\ude42', ''],
  ]
  assert.deepEqual(JSON.parse(textRowsJson(rows)), [
    ['a\ufffdb', '"\\'],
    ['🙂', ''],
  ])
  assert.ok(!textRowsJson(rows).includes('\\ud'))
})
