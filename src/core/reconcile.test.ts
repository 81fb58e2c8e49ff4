/** The reconcile table: every state of a row of two fields under every rule, against the table written down a second time. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { bindPairing, plainField } from './pairing.ts'
import { type Action, type Base, type Decision, type Held, type Item, reconcile } from './reconcile.ts'
import type { Schema } from './schema.ts'
import { defaults } from './sync.ts'
import { ask, type Direction, otherSide, type Rule, type SideName, sideNames, type TwoWaySync } from './two-way.ts'
import type { Row, Value } from './value.ts'

const schema: Schema = {
  name: 't',
  system: 'memory',
  key: ['id'],
  fields: ['id', 'a', 'b', 'stamp'].map((name) => ({
    name,
    type: name === 'id' || name === 'stamp' ? 'integer' : 'text',
    native: '',
    nullable: true,
    writable: true,
  })),
}

interface Definition {
  readonly rule: Rule
  readonly direction: Direction
  readonly edits: 'revert' | 'ignore'
  readonly whole: Direction
  readonly onDeleteConflict: TwoWaySync['onDeleteConflict']
  readonly deletes: TwoWaySync['deletes']
}

const plain: Definition = {
  rule: 'left',
  direction: 'both',
  edits: 'ignore',
  whole: 'both',
  onDeleteConflict: 'keep',
  deletes: 'propagate',
}

function pairingOf({ rule, direction, edits, whole, onDeleteConflict, deletes }: Definition) {
  const sync: TwoWaySync = {
    id: 't',
    left: { connection: 'left', collection: 't' },
    right: { connection: 'right', collection: 't' },
    match: [],
    // The second field always goes both ways by the same rule, so that what happens to the first must leave it alone.
    fields: [{ ...plainField('a'), direction, edits }, plainField('b')],
    direction: whole,
    onConflict: rule,
    onDeleteConflict,
    deletes,
    stamp: { left: { field: 'stamp', as: null }, right: { field: 'stamp', as: null } },
    key: { left: null, right: null },
    guard: defaults.guard,
    bases: 'values',
    batch: { rows: 1, bytes: 1 },
    journalDays: 1,
    schedule: { kind: 'manual' },
    cycle: [],
  }
  return bindPairing(sync, schema, schema)
}

/** Fields a and b, the key and the stamp. */
type Fields = readonly [a: Value, b: Value]
const rowOf = ([a, b]: Fields, stamp: Value): Row => [a, b, 1, stamp]

/** Both sides' values when they last agreed; `unknown`: the field came later. */
interface Agreed {
  readonly left: readonly (Value | 'unknown')[]
  readonly right: readonly (Value | 'unknown')[]
}

function baseOf(agreed: Agreed): Base {
  return {
    unchanged: (side, at, value) => (agreed[side][at] === 'unknown' ? null : agreed[side][at] === value),
    value: (side, at) => agreed[side][at] ?? null,
  }
}

function itemOf(agreed: Agreed | null, left: Row | null, right: Row | null, held: Item['held'] = new Map()): Item {
  return { base: agreed === null ? null : baseOf(agreed), left, right, held }
}

const merge = (_base: Value, left: Value, right: Value) => `${left}/${right}`
const unsure = () => ask
const rules: Readonly<Record<string, Rule>> = {
  left: 'left',
  right: 'right',
  newest: 'newest',
  ask: 'ask',
  merge,
  unsure,
}
const directions: readonly Direction[] = ['both', 'left-to-right', 'right-to-left']
const goes = (direction: Direction, from: SideName) =>
  direction === 'both' || (direction === 'left-to-right') === (from === 'left')

/** What a decision writes to a field of a side; undefined: nothing. */
function written(action: Action | null, at: number): Value | undefined {
  return action === null || action.kind === 'delete' ? undefined : action.cells.find((cell) => cell.at === at)?.value
}

/** DESIGN, section 7, for one field of two rows that are both there. */
interface Expected {
  readonly left?: Value
  readonly right?: Value
  readonly conflict?: SideName | 'value' | 'open'
}

function expectField(
  { rule, edits }: Pick<Definition, 'rule' | 'edits'>,
  direction: Direction,
  was: Readonly<Record<SideName, Value>> | null,
  is: Readonly<Record<SideName, Value>>,
  later: SideName,
): Expected {
  const changed = { left: was === null || was.left !== is.left, right: was === null || was.right !== is.right }
  if (!changed.left && !changed.right) return {}
  if (is.left === is.right) return {}
  const wins = (side: SideName): Expected => ({ [otherSide(side)]: is[side] })
  if (changed.left !== changed.right) {
    const by: SideName = changed.left ? 'left' : 'right'
    if (goes(direction, by)) return wins(by)
    return edits === 'revert' ? { ...wins(otherSide(by)), conflict: otherSide(by) } : {}
  }
  if (direction !== 'both') {
    const winner = goes(direction, 'left') ? 'left' : 'right'
    return { ...wins(winner), conflict: winner }
  }
  switch (rule) {
    case 'left':
    case 'right':
      return { ...wins(rule), conflict: rule }
    case 'newest':
      return { ...wins(later), conflict: later }
    case merge: {
      const value = `${is.left}/${is.right}`
      return { left: value, right: value, conflict: 'value' }
    }
    default:
      return { conflict: 'open' }
  }
}

const narrowest = (whole: Direction, direction: Direction) => (whole === 'both' ? direction : whole)

describe('every state of two rows that are both there', () => {
  const values: readonly Value[] = ['x', 'y', null]
  for (const [name, rule] of Object.entries(rules))
    for (const whole of directions)
      test(`rule ${name}, sync ${whole}`, () => {
        let states = 0
        for (const direction of directions)
          for (const edits of ['revert', 'ignore'] as const) {
            const definition = { ...plain, rule, whole, direction, edits }
            const pairing = pairingOf(definition)
            for (const wasLeft of [undefined, ...values])
              for (const wasRight of wasLeft === undefined ? [undefined] : values)
                for (const left of values)
                  for (const right of values)
                    for (const later of sideNames)
                      for (const other of ['same', 'left', 'right'] as const) {
                        states++
                        const was = wasLeft === undefined ? null : { left: wasLeft, right: wasRight as Value }
                        const b = { left: other === 'left' ? 'n' : 'o', right: other === 'right' ? 'n' : 'o' }
                        const decision = reconcile(
                          itemOf(
                            was === null ? null : { left: [was.left, 'o'], right: [was.right, 'o'] },
                            rowOf([left, b.left], later === 'left' ? '2' : '1'),
                            rowOf([right, b.right], later === 'right' ? '2' : '1'),
                          ),
                          pairing,
                        )
                        assert.equal(decision.refused, null)
                        const expected = [
                          expectField(definition, narrowest(whole, direction), was, { left, right }, later),
                          expectField(
                            { rule, edits: 'ignore' },
                            whole,
                            was === null ? null : { left: 'o', right: 'o' },
                            b,
                            later,
                          ),
                        ]
                        const found = expected.map((_field, at) => {
                          const [l, r] = [written(decision.left, at), written(decision.right, at)]
                          const conflict = decision.conflicts.find((one) => one.at === at)?.outcome
                          return {
                            ...(l === undefined ? {} : { left: l }),
                            ...(r === undefined ? {} : { right: r }),
                            ...(conflict === undefined ? {} : { conflict }),
                          }
                        })
                        assert.deepEqual(
                          found,
                          expected,
                          JSON.stringify({ direction, edits, was, left, right, later, b }),
                        )
                        assert.equal(decision.pair, 'keep')
                      }
          }
        assert.ok(states > 2000)
      })
})

describe('every state of a row that one side lacks', () => {
  for (const whole of directions)
    for (const onDeleteConflict of ['keep', 'delete', 'ask'] as const)
      for (const deletes of ['propagate', 'keep'] as const)
        test(`sync ${whole}, on delete conflict ${onDeleteConflict}, deletes ${deletes}`, () => {
          for (const direction of directions)
            for (const gone of sideNames)
              for (const change of ['none', 'a', 'b'] as const) {
                const there = otherSide(gone)
                const row = rowOf([change === 'a' ? 'n' : 'o', change === 'b' ? 'n' : 'o'], '1')
                const agreed = { left: ['o', 'o'], right: ['o', 'o'] }
                const decision = reconcile(
                  itemOf(agreed, there === 'left' ? row : null, there === 'right' ? row : null),
                  pairingOf({ ...plain, whole, direction, onDeleteConflict, deletes }),
                )
                const a = narrowest(whole, direction)
                const counts = change === 'a' ? goes(a, there) : change === 'b' ? goes(whole, there) : false
                const did = [decision[gone]?.kind ?? null, decision[there]?.kind ?? null, decision.pair]
                const conflict = decision.conflicts.map(({ at, outcome }) => [at, outcome])
                const about = JSON.stringify({ direction, gone, change })
                const back = ['insert', null, 'keep']
                if (!goes(whole, gone)) {
                  // The deletion does not flow: the row stays, and comes back only where an edit of it does flow.
                  const returns = counts && onDeleteConflict === 'keep'
                  assert.deepEqual(did, returns ? back : [null, null, 'part'], about)
                } else if (!counts && deletes === 'keep') assert.deepEqual(did, [null, null, 'part'], about)
                else if (!counts) {
                  assert.deepEqual(did, [null, 'delete', 'keep'], about)
                  assert.deepEqual(conflict, change === 'none' ? [] : [[null, gone]], about)
                } else if (onDeleteConflict === 'keep') {
                  // It can't be brought to a side that nothing flows to.
                  assert.deepEqual(did, back, about)
                  assert.deepEqual(conflict, [[null, there]], about)
                } else if (onDeleteConflict === 'delete') {
                  assert.deepEqual(did, [null, 'delete', 'keep'], about)
                  assert.deepEqual(conflict, [[null, gone]], about)
                } else {
                  assert.deepEqual(did, [null, null, 'keep'], about)
                  assert.deepEqual(conflict, [[null, 'open']], about)
                }
              }
        })

  test('gone from both: the pair is closed', () => {
    const decision = reconcile(itemOf({ left: ['o', 'o'], right: ['o', 'o'] }, null, null), pairingOf(plain))
    assert.deepEqual([decision.pair, decision.left, decision.right], ['close', null, null])
  })

  test('created: inserted where it flows to, with the fields that do', () => {
    for (const whole of directions)
      for (const direction of directions)
        for (const there of sideNames) {
          const row = rowOf(['x', 'y'], '1')
          const decision = reconcile(
            itemOf(null, there === 'left' ? row : null, there === 'right' ? row : null),
            pairingOf({ ...plain, whole, direction }),
          )
          const action = decision[otherSide(there)]
          assert.equal(decision[there], null)
          if (!goes(whole, there)) {
            assert.deepEqual([action, decision.pair], [null, 'part'])
            continue
          }
          assert.equal(action?.kind, 'insert')
          assert.equal(written(action, 0), goes(narrowest(whole, direction), there) ? 'x' : undefined)
          assert.equal(written(action, 1), 'y')
        }
  })
})

describe('a field that came to the sync later', () => {
  test('is agreed as it stands, whatever the rule', () => {
    for (const rule of Object.values(rules)) {
      const agreed = { left: ['unknown', 'o'], right: ['unknown', 'o'] }
      const decision = reconcile(
        itemOf(agreed, rowOf(['x', 'n'], '1'), rowOf(['y', 'o'], '1')),
        pairingOf({ ...plain, rule }),
      )
      assert.deepEqual(decision.settled, [0])
      assert.deepEqual(
        [written(decision.left, 0), written(decision.right, 0), written(decision.right, 1)],
        [undefined, undefined, 'n'],
      )
      assert.deepEqual(decision.conflicts, [])
    }
  })
})

describe('a person’s decision', () => {
  const decided = (take: Held['take'], left: Value, right: Value) =>
    reconcile(
      itemOf(
        { left: ['o', 'o'], right: ['o', 'o'] },
        rowOf([left, 'o'], '1'),
        rowOf([right, 'o'], '1'),
        new Map([[0, { take, left: 'l', right: 'r', frozen: false }]]),
      ),
      pairingOf({ ...plain, rule: 'ask' }),
    )

  test('is carried out where what it gives up is still what the person saw', () => {
    const take = decided({ side: 'left' }, 'l', 'r')
    assert.deepEqual([written(take.right, 0), take.left, take.ended], ['l', null, [{ at: 0, how: 'resolved' }]])
    const newer = decided({ side: 'left' }, 'l2', 'r')
    assert.equal(written(newer.right, 0), 'l2')
    const set = decided({ set: 's' }, 'l', 'r')
    assert.deepEqual([written(set.left, 0), written(set.right, 0)], ['s', 's'])
  })

  test('is asked for again where it is not', () => {
    for (const decision of [
      decided({ side: 'left' }, 'l', 'r2'),
      decided({ side: 'right' }, 'l2', 'r'),
      decided({ set: 's' }, 'l2', 'r'),
      decided({ set: 's' }, 'l', 'r2'),
    ]) {
      assert.deepEqual([decision.left, decision.right], [null, null])
      assert.deepEqual(
        decision.conflicts.map(({ at, outcome }) => [at, outcome]),
        [[0, 'open']],
      )
    }
  })

  test('is over when the sides agree by themselves', () => {
    assert.deepEqual(decided(null, 'x', 'x').ended, [{ at: 0, how: 'agreed' }])
  })
})

/** Two rows and what was agreed, after a decision is carried out as the engine does it. */
interface World {
  readonly agreed: Agreed | null
  readonly left: Row | null
  readonly right: Row | null
}

function carryOut({ agreed, left, right }: World, decision: Decision): World {
  const rows = { left, right }
  const next: Record<SideName, Row | null> = { left, right }
  for (const side of sideNames) {
    const action = decision[side]
    if (action?.kind === 'delete') next[side] = null
    if (action?.kind === 'insert' || action?.kind === 'update') {
      const row = [...(rows[side] ?? [null, null, 1, null])]
      for (const { at, value } of action.cells) row[at] = value
      next[side] = row
    }
  }
  const sent = (at: number) => sideNames.some((side) => written(decision[side], at) !== undefined)
  const cell = (side: SideName, at: 0 | 1): Value | 'unknown' => {
    if (sent(at) || decision.settled.includes(at)) return next[side]?.[at] ?? null
    return agreed === null ? 'never' : (agreed[side][at] as Value | 'unknown')
  }
  const cells = (side: SideName) => [cell(side, 0), cell(side, 1)]
  return { agreed: { left: cells('left'), right: cells('right') }, ...next }
}

const value = fc.constantFrom<Value>('x', 'y', 'z', null)
const row = fc.tuple(value, value, fc.constantFrom<Value>('1', '2', null)).map(([a, b, stamp]) => rowOf([a, b], stamp))
const pair = fc.tuple(value, value)
const world: fc.Arbitrary<World> = fc.oneof(
  fc.record({ agreed: fc.record({ left: pair, right: pair }), left: row, right: row }),
  fc.record({ agreed: fc.constant(null), left: row, right: row }),
)
const definition: fc.Arbitrary<Definition> = fc.record({
  rule: fc.constantFrom(...Object.values(rules)),
  direction: fc.constantFrom(...directions),
  edits: fc.constantFrom('revert', 'ignore'),
  whole: fc.constant('both' as const),
  onDeleteConflict: fc.constantFrom('keep', 'delete', 'ask'),
  deletes: fc.constantFrom('propagate', 'keep'),
})

const decide = (of: World, by: Definition) => reconcile(itemOf(of.agreed, of.left, of.right), pairingOf(by))

describe('for every two rows, bases and rules', () => {
  test('a field that was changed is equal on both sides afterwards, or its conflict is open', () => {
    fc.assert(
      fc.property(world, definition, (before, by) => {
        const decision = decide(before, by)
        const after = carryOut(before, decision)
        for (const at of [0, 1]) {
          const open = decision.conflicts.some((one) => one.at === at && one.outcome === 'open')
          const still = sideNames.every((side) => before.agreed?.[side][at] === before[side]?.[at])
          const ignored = at === 0 && by.direction !== 'both' && by.edits === 'ignore'
          if (!open && !still && !ignored) assert.equal(after.left?.[at], after.right?.[at])
        }
      }),
    )
  })

  test('what was decided is not decided again', () => {
    fc.assert(
      fc.property(world, definition, (before, by) => {
        const again = decide(carryOut(before, decide(before, by)), by)
        assert.deepEqual([again.left, again.right, again.settled], [null, null, []])
        assert.ok(again.conflicts.every(({ outcome }) => outcome === 'open'))
      }),
    )
  })

  test('no changed value is written over without a conflict that holds it (S1, S4)', () => {
    fc.assert(
      fc.property(world, definition, (before, by) => {
        const decision = decide(before, by)
        for (const side of sideNames)
          for (const at of [0, 1]) {
            const held = before[side]?.[at] ?? null
            const changed = before.agreed === null || before.agreed[side][at] !== held
            if (!changed || written(decision[side], at) === undefined) continue
            assert.equal(decision.conflicts.find((one) => one.at === at)?.[side], held)
          }
      }),
    )
  })

  test('the sides are alike: swapped sides and rules give the swapped decision', () => {
    const swapped: Readonly<Record<string, string>> = {
      left: 'right',
      right: 'left',
      'left-to-right': 'right-to-left',
      'right-to-left': 'left-to-right',
    }
    const swapRule = (rule: Rule): Rule =>
      rule === merge
        ? (_base, left, right) => `${right}/${left}`
        : typeof rule === 'string'
          ? ((swapped[rule] ?? rule) as Rule)
          : rule
    fc.assert(
      fc.property(world, definition, ({ agreed, left, right }, by) => {
        const one = decide({ agreed, left, right }, by)
        const other = decide(
          { agreed: agreed === null ? null : { left: agreed.right, right: agreed.left }, left: right, right: left },
          { ...by, rule: swapRule(by.rule), direction: (swapped[by.direction] ?? by.direction) as Direction },
        )
        for (const at of [0, 1])
          assert.deepEqual(
            [written(other.left, at), written(other.right, at)],
            [written(one.right, at), written(one.left, at)],
          )
        assert.deepEqual(
          other.conflicts.map(({ at, outcome }) => [at, swapped[outcome] ?? outcome]),
          one.conflicts.map(({ at, outcome }) => [at, outcome]),
        )
      }),
    )
  })
})
