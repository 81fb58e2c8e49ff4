/** The same two-way stories on both stores: whatever happens, they come to the same rows, conflicts and counts. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TwoWaySync } from '../../src/core/two-way.ts'
import { openPostgresStore } from '../../src/store/postgres/store.ts'
import { createDatabase } from '../../tools/database.ts'
import { World } from './world.ts'

const ROUNDS = 12
const definitions: readonly Partial<TwoWaySync>[] = [
  { onConflict: 'ask' },
  { onConflict: 'left', bases: 'hash' },
  { onConflict: 'right', onDeleteConflict: 'delete', guard: { maxDeletes: 1000, maxDeleteShare: 1 } },
]

for (const [seed, definition] of definitions.entries()) {
  test(`random edits on both sides, ${JSON.stringify(definition)}`, async () => {
    await using database = await createDatabase()
    await using store = await openPostgresStore(database.url)
    const over = { ...definition, batch: { rows: 7, bytes: 1_000_000 } }
    const worlds = [new World(over), new World(over, {}, store)]
    const random = generator(seed + 1)
    for (let round = 0; round < ROUNDS; round++) {
      const edits = Array.from({ length: 1 + random(25) }, () => edit(random))
      for (const world of worlds) for (const change of edits) change(world)
      const [embedded, postgres] = [await look(worlds[0]), await look(worlds[1])]
      assert.deepEqual(postgres, embedded, `round ${round}`)
    }
    assert.ok((worlds[0]?.right.rows('contacts').length ?? 0) > 30, 'something happened')
    for (let settle = 0; settle < 3; settle++) assert.deepEqual(await look(worlds[1]), await look(worlds[0]))
  })
}

type Random = (below: number) => number

function edit(random: Random): (world: World) => void {
  const side = random(2) === 0 ? 'left' : 'right'
  const id = 1 + random(40) + (side === 'left' ? 0 : 50)
  const email = random(12) === 0 ? `shared${random(3)}@x.org` : `mail${(id % 50) + 1}@x.org`
  const row = [id, `name ${random(4)}`, email, random(5) === 0 ? null : String(random(3))]
  const pick = random(1000)
  if (random(6) > 0) return (world) => world[side].put('contacts', row)
  return (world) => {
    const rows = world[side].rows('contacts')
    const victim = rows[pick % Math.max(1, rows.length)]
    if (victim !== undefined) world[side].delete('contacts', [victim[0] ?? null])
  }
}

async function look(world: World | undefined) {
  assert.ok(world)
  const { status, error, inserted, updated, deleted, unchanged, rejected, conflicts } = await world.sync()
  const records = await world.conflicts()
  return {
    run: { status, code: error?.code, inserted, updated, deleted, unchanged, rejected, conflicts },
    left: world.left.rows('contacts'),
    right: world.right.rows('contacts'),
    conflicts: records.map(({ id: _, pair: _pair, run: _run, openedAt: _opened, closedAt: _closed, ...rest }) => rest),
    journal: (await world.store.pairs.journal.ofRow('contacts', 'left', '[1]', 100)).map(({ kind, side, after }) => [
      kind,
      side,
      after,
    ]),
  }
}

/** The same numbers for the same seed. */
function generator(seed: number): Random {
  let state = seed * 2_654_435_761
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 2_246_822_519) + 374_761_393) >>> 0
    return (state >>> 8) % below
  }
}
