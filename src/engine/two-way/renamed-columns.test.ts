import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Layout, PairState } from '../../store/pairs.ts'
import { inPresentNames } from './renamed-columns.ts'

const field = (left: string, right: string, since = 1) => ({ name: JSON.stringify([left, right]), since })
const layout: Layout = {
  id: 1,
  mode: 'values',
  fields: [field('a', 'a'), field('b', 'b')],
  fingerprint: '',
  complete: true,
  places: '[]',
  keys: { left: ['id'], right: ['id'] },
}
const stateOf = (layouts: readonly Layout[]): PairState => ({
  cursors: { left: null, right: null },
  layouts,
  runs: 2,
  fences: { left: 1, right: 1 },
  claims: 0,
})
const marked = (marks: Readonly<Record<string, string>>) => ({ left: marks, right: marks })

test('a column that takes the name of one that is gone keeps its own history, and not that one’s', () => {
  const [first, second] = [layout, { ...layout, id: 2, fields: [field('b', 'b')], columns: marked({ b: '1.2' }) }]
  const columns = { marks: { a: '1.2' }, exact: true }
  const { layouts } = inPresentNames(stateOf([first, second]), { left: columns, right: columns })
  assert.deepEqual(
    layouts.map(({ fields }) => fields.map(({ name }) => JSON.parse(name))),
    [
      [
        ['a', 'a', 'former'],
        ['a', 'a'],
      ],
      [['a', 'a']],
    ],
  )
})

test('two columns may change their names with each other; without exact marks nothing is taken for a rename', () => {
  const state = stateOf([{ ...layout, columns: marked({ a: '1.1', b: '1.2' }) }])
  const swapped = { a: '1.2', b: '1.1' }
  const names = (exact: boolean) => {
    const columns = { marks: swapped, exact }
    return inPresentNames(state, { left: columns, right: columns }).layouts[0]?.fields.map(
      ({ name }) => JSON.parse(name)[0],
    )
  }
  assert.deepEqual(
    [names(true), names(false)],
    [
      ['b', 'a'],
      ['a', 'b'],
    ],
  )
})
