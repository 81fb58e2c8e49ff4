import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { z } from 'zod'
import { defineConnector } from '../../connectors/kit.ts'
import { openMemoryStore } from '../../store/sqlite/store.ts'
import { testContext } from '../../testing/connector-harness.ts'
import { Limiter } from '../calls/rate-limiter.ts'
import { Events } from '../observe/events.ts'
import { StoreVault } from '../secrets/vault.ts'
import { readKeys } from '../secrets/vault-keys.ts'
import { rowsPlace } from './collected-rows-place.ts'
import { Connected } from './connection-service.ts'
import { StoredConnections } from './connection-store.ts'
import { Integrations } from './integrations.ts'

const crm = defineConnector({
  name: 'crm',
  config: z.object({ token: z.string() }),
  syncs: { contacts: () => [], deals: () => [] },
})
const integration = { id: 'ours', connectorId: 'crm' }

/** Its calls are counted by what they are called; the process dies at those that are named with their first argument. */
function counted<Target extends object>(
  target: Target,
  name: string,
  counts: Map<string, number>,
  dying: ReadonlySet<string> = new Set(),
): Target {
  return new Proxy(target, {
    get: (of, property) => {
      const value: unknown = Reflect.get(of, property, of)
      if (typeof value !== 'function') return value
      return (...given: readonly unknown[]): unknown => {
        const call = `${name}.${String(property)}`
        if (dying.has(`${call} ${String(given[0])}`)) throw new Error('died')
        counts.set(call, (counts.get(call) ?? 0) + 1)
        return Reflect.apply(value, of, given)
      }
    },
  })
}

function world() {
  const own = openMemoryStore()
  const counts = new Map<string, number>()
  const dying = new Set<string>()
  const store = {
    ...{ projectId: () => own.projectId(), lock: () => own.lock(), holder: own.holder },
    ...{ runs: own.runs, leases: own.leases, pairs: own.pairs, jobs: own.jobs },
    schedules: counted(own.schedules, 'schedules', counts),
    records: counted(own.records, 'records', counts, dying),
    [Symbol.asyncDispose]: () => own[Symbol.asyncDispose](),
  }
  const context = testContext()
  const vault = new StoreVault(own.records, () => readKeys('', { SYNCLINE_VAULT_KEY: 'a'.repeat(64) }))
  const opened = counted(vault, 'vault', counts)
  const integrations = new Integrations([crm])
  integrations.put(integration)
  const connected = new Connected({
    ...{
      store,
      vault: opened,
      integrations,
      context,
      rows: rowsPlace(own, ''),
      minutesBetweenSyncs: 15,
      events: new Events(() => {}),
    },
    connections: new StoredConnections(store.records, opened, () => {}),
    limiter: new Limiter(context.clock, () => 0),
    changed: async () => void counts.set('changed', (counts.get('changed') ?? 0) + 1),
  })
  const calls = async (work: () => Promise<unknown>) => {
    counts.clear()
    await work()
    return Object.fromEntries([...counts].toSorted())
  }
  return { connected, vault, calls, dying, schedules: own.schedules }
}

async function add(connected: Connected, count: number): Promise<void> {
  for (let at = 0; at < count; at++)
    if ((await connected.read(`c${at}`)) === undefined)
      await connected.add({ id: `c${at}`, integrationId: 'ours', config: { token: 'secret-token' } })
}

test('a process that dies while it forgets a connection leaves no tokens for the next of that name', async () => {
  const { connected, vault, dying } = world()
  await add(connected, 1)
  await vault.set('tokens/c0', '{}')
  dying.add('records.delete connection')
  await assert.rejects(connected.remove('c0'), /died/)
  assert.equal(await vault.get('tokens/c0'), null)
})

test('tokens stay with a connection that is changed, and go when it is moved to another integration', async () => {
  const { connected, vault } = world()
  await add(connected, 1)
  await vault.set('tokens/c0', '{}')
  const update = (integrationId: string) => {
    const whole = () => ({ id: 'c0', integrationId, config: { token: 'new' } })
    return connected.update('c0', whole, whole)
  }
  await update('ours')
  assert.equal(await vault.get('tokens/c0'), '{}')
  await connected.putIntegration({ id: 'theirs', connectorId: 'crm' })
  await update('theirs')
  assert.equal(await vault.get('tokens/c0'), null)
})

describe('a connection that is forgotten', () => {
  const red = { id: 'acme', integrationId: 'ours', config: { token: 'secret-token' }, project: 'red' }
  const { project: _, ...nobodys } = red

  async function assertReds(connected: Connected): Promise<void> {
    await assert.rejects(connected.add(nobodys), { code: 'CONFIG_INVALID' })
    await assert.rejects(connected.add({ ...red, project: 'blue' }), { code: 'CONFIG_INVALID' })
    await connected.add(red)
  }

  test('leaves its name to its project, also where its secret can’t be opened', async () => {
    const { connected, vault } = world()
    await connected.add(red)
    const [secret = ''] = await vault.list()
    await vault.set(secret, 'no JSON')
    await connected.remove('acme')
    await assertReds(connected)
  })

  test('and also where it is forgotten twice', async () => {
    const { connected } = world()
    await connected.add(red)
    await connected.remove('acme')
    await connected.remove('acme')
    await assertReds(connected)
  })

  test('is there as it was when the store did not answer', async () => {
    const { connected, dying, schedules } = world()
    await connected.add(red)
    dying.add('records.get connection')
    await assert.rejects(connected.remove('acme'), /died/)
    dying.clear()
    assert.equal((await schedules.list({})).length, 2)
    await connected.remove('acme')
    await assertReds(connected)
  })
})

describe('connections whose integrations are taken up', () => {
  test('are looked at all together where nothing is new, however many there are', async () => {
    const { connected, calls } = world()
    await add(connected, 5)
    const few = await calls(() => connected.replace([crm], [integration]))
    await add(connected, 60)
    assert.deepEqual(await calls(() => connected.replace([crm], [integration])), few)
    assert.deepEqual(
      [few.changed, few['schedules.list'], few['schedules.put'], few['vault.get']],
      [1, 1, undefined, undefined],
    )
  })

  test('are scheduled as they are now, in calls that grow with those that changed', async () => {
    const { connected, calls, schedules } = world()
    await add(connected, 40)
    await connected.unschedule('c7')
    await schedules.remove('c1/deals')
    const some = await calls(() => connected.replace([crm], [integration]))
    assert.equal(some['schedules.put'], 2)
    assert.equal((await schedules.list({})).length, 39 * 2)
    const fewer = { ...integration, syncs: ['deals'], minutesBetweenSyncs: 5 }
    const all = await calls(() => connected.replace([crm], [fewer]))
    assert.deepEqual([all['schedules.put'], all['schedules.remove'], all.changed], [39, 39, 1])
    assert.ok((all['schedules.list'] ?? 0) <= 40 && all['vault.get'] === undefined, JSON.stringify(all))
    const left = await schedules.list({})
    assert.deepEqual([left.length, left[0]?.schedule], [39, { kind: 'interval', everyMs: 300_000 }])
    await connected.replace([crm], [])
    assert.deepEqual(await schedules.list({}), [])
  })

  test('know their syncs without the vault', async () => {
    const { connected, calls } = world()
    await add(connected, 1)
    const seen: boolean[] = []
    const made = await calls(async () => {
      for (const sync of ['c0/contacts', 'c9/contacts', 'c0']) seen.push(await connected.knows(sync))
    })
    assert.deepEqual([seen, made['vault.get']], [[true, false, false], undefined])
  })
})
