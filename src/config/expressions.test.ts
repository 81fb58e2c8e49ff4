import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { SyncError } from '../core/error.ts'
import { ask } from '../core/two-way.ts'
import { compileExpression, type ExpressionFunction } from './expressions.ts'
import { TurnTime } from './turn-time.ts'

describe('JSONata expressions', () => {
  test('give values of a row; what is missing gives undefined, which is not NULL', () => {
    assert.equal(good('first & " " & $uppercase(last)')({ first: 'Ada', last: 'Lovelace' }), 'Ada LOVELACE')
    assert.equal(good('$number(price) * 2')({ price: '1.5' }), 3)
    assert.equal(good('missing')({}), undefined)
    assert.equal(good('$uppercase($)')('x'), 'X')
  })

  test('see digits of big integers and bytes as texts, which compute takes back', () => {
    assert.equal(good('id')({ id: 9007199254740993n }), '9007199254740993')
    assert.equal(good('raw')({ raw: new Uint8Array([1, 255]) }), '\\x01ff')
  })

  test('$json reads JSON, and $ask leaves a conflict to a person', () => {
    assert.equal(good('$json(tags)[1]')({ tags: '["a","b"]' }), 'b')
    assert.equal(good('left = right ? left : $ask')({ base: null, left: 1, right: 2 }), ask)
  })

  test('mistakes are told with their place', () => {
    assert.match(bad('$uppercase('), /at character 11/)
    assert.match(bad('a +'), /at character 3/)
    assert.match(bad('{}}'), /at character 3/)
    assert.match(bad('('.repeat(15_000)), /is no JSONata expression/)
    assert.match(bad('a'.repeat(30_000)), /longer than/)
  })

  test('what is not pure, or code made of rows, is refused', () => {
    assert.match(bad('$now()'), /\$now is not there \(at character 4\)/)
    assert.match(bad('[1, $random()]'), /\$random/)
    assert.match(bad('$eval(code)'), /\$json/)
    assert.match(bad('($f := $millis; $f())'), /\$millis/)
  })

  test('an endless one is stopped, however it goes on', () => {
    for (const text of [
      '($f := function(){ $f() }; $f())',
      '($f := function($n){ 1 + $f($n) }; $f(1))',
      '[1..1000000].([1..1000000].($ * $))',
      '$reduce([1..40], function($text, $n) { $text & $text }, "x")',
      '$match(text, /^(a+)+$/)',
    ])
      assert.throws(() => good(text)({ text: `${'a'.repeat(60)}b` }), stopped, text)
  })

  test('one long step is stopped like many short ones', () => {
    const twice = '$reduce([1..60], function($v, $n){ { "a": $v, "b": $v } }, 1)'
    for (const text of [
      '$distinct([1..1000000])',
      '$string($count($distinct([1..9999999])))',
      '$string([1..9999999])',
      '[1..9999999]',
      '$reverse([1..9999999])',
      '$split($pad("", 16000000), "")',
      '$count($zip([1..9999999], [1..9999999]))',
      '$toMillis($pad("", 300, "1") & "x", "[Y][M][D][H][m][s]!")',
      '$formatInteger(1, $pad("", 15000000, "#"))',
      '$pad("", 400000000, "abc")',
      'function($a, $b, $c)<n+n+n+n+n+n+n+n+n+n+n+n+n+n+n+n+n+s:n>{ 1 }(1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1)',
      `${twice} & ""`,
      `${twice} = ${twice}`,
      `$count(${twice}.**)`,
      '$reduce([1..60], function($v, $n){ [[$v], [$v]] }, { "a": 1 }).nowhere',
      'x.{"a":$,"b":$}'.concat('.{"a":$,"b":$}'.repeat(60), '.$string()'),
    ])
      assert.throws(() => good(text)({ x: 1 }), stopped, text)
  })

  test('a value that holds another many times over does not leave it', () => {
    for (const text of [
      '$reduce([1..60], function($v, $n){ { "a": $v, "b": $v } }, 1)',
      '$reduce([1..60], function($v, $n){ [[$v], [$v]] }, 1)',
      '($t := $pad("", 1000000); $map([1..1000], function(){ $t }))',
    ])
      assert.throws(() => good(text)({}), stopped, text)
  })

  test('a search that nothing could end is not begun', () => {
    const long = 'a'.repeat(4_000_000)
    const sought = `${'a'.repeat(500_000)}b${'a'.repeat(500_000)}`
    for (const call of [
      ...[
        '$contains(long, sought)',
        '$split(long, sought)',
        '$replace(long, sought, "")',
        '$substringBefore(long, sought)',
      ],
      ...[
        '$substringAfter(long, sought)',
        '($has := $contains(?, sought); $has(long))',
        '$map(long, $contains(?, sought))',
      ],
      '$formatNumber(1, long, { "decimal-separator": sought })',
    ])
      assert.throws(() => good(call)({ long, sought }), stopped, call)
  })

  test('functions that are bound take what the library takes', () => {
    assert.equal(good('$contains("abc", /B/i) and $contains("abc", "c")')({}), true)
    assert.equal(good('($has := $contains(?, "b"); $has("abc"))')({}), true)
    assert.equal(good('$join(["a-b", "c"].$split("-"), "+")')({}), 'a+b+c')
    assert.equal(good('$replace("aXa", "X", "$0")')({}), 'a$0a')
    assert.equal(good('$substringAfter("a-b", "-") & $substringBefore("a-b", "-")')({}), 'ba')
    assert.equal(good('$formatNumber(1234.5, "#,##0.00")')({}), '1,234.50')
  })

  test('large rows, and texts that grow in a plain expression, give what they give', () => {
    const long = 'a'.repeat(200_000)
    assert.equal(good('$length(text)')({ text: long }), long.length)
    assert.equal(good(`x${'.($ & $)'.repeat(18)}.$length($)`)({ x: 'a' }), 2 ** 18)
    assert.throws(() => good(`x${'.($ & $)'.repeat(40)}`)({ x: 'a' }), stopped)
  })

  test('the bound can not be taken away by an expression', () => {
    assert.match(bad('($__evaluate_entry := 1; $__evaluate_entry)'), /not for expressions/)
    assert.match(bad('function($__evaluate_exit){ 1 }(2)'), /not for expressions/)
  })

  test('a function is no value, and what makes functions of text is out of reach', () => {
    for (const text of ['$uppercase', '{ "f": [function($x){ $x }] }', '$uppercase.**', '$spread($uppercase)'])
      assert.throws(() => good(text)({ a: 1 }), /gives a function/, text)
    for (const text of ['$uppercase.implementation.constructor', 'a.constructor', '$lookup($, "__proto__")'])
      assert.equal(good(text)({ a: 'x' }), undefined, text)
  })

  test('one that was stopped works for the next value', () => {
    const f = good('($f := function($n){ $n > 0 ? $f($n) : "end" }; $f(n))')
    assert.throws(() => f({ n: 1 }), stopped)
    assert.equal(f({ n: 0 }), 'end')
  })

  test('one that is slow for so many rows is stopped before it has kept everything else for long, failures counted', async () => {
    for (const text of ['$sum([1..10000])', '$sum([1..10000]) & $number("x")']) {
      const slow = compileExpression(text, new TurnTime(100))
      assert.ok(typeof slow === 'function')
      const evaluate = () => {
        try {
          slow({})
        } catch (error) {
          if (stopped(error)) throw error
        }
      }
      const page = () => {
        for (let row = 0; row < 100_000; row++) evaluate()
      }
      assert.throws(page, /too slow for so many rows/)
      assert.throws(evaluate, /too slow for so many rows/)
      // Others have had their turn.
      await turn()
      assert.doesNotThrow(evaluate)
    }
  })

  test('a failure tells its place and no value of the row', () => {
    assert.throws(
      () => good('$number(secret)')({ secret: 'hunter2' }),
      (error) => error instanceof SyncError && error.code === 'VALUE_REFUSED' && !/hunter2/.test(error.message),
    )
    assert.throws(() => good('1 + text')({ text: 'hunter2' }), /failed at character 3 near "\+" \(JSONata T2002\)/)
  })
})

function good(text: string): ExpressionFunction {
  const compiled = compileExpression(text)
  if (typeof compiled === 'function') return compiled
  throw new Error(compiled.message)
}

function bad(text: string): string {
  const compiled = compileExpression(text)
  return typeof compiled === 'function' ? 'no mistake' : compiled.message
}

function stopped(error: unknown): boolean {
  return error instanceof SyncError && error.code === 'EXPRESSION_STOPPED'
}
