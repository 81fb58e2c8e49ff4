import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { z } from 'zod'
import type { Flow } from '../../connectors/kit.ts'
import { openMemoryStore } from '../../store/sqlite/store.ts'
import { ManualClock } from '../../testing/manual-clock.ts'
import { StoreVault } from '../secrets/vault.ts'
import { readKeys } from '../secrets/vault-keys.ts'
import { type FlowSession, Flows } from './flows.ts'

const flow: Flow = {
  steps: [
    { kind: 'form', name: 'first', fields: z.object({ a: z.string() }) },
    { kind: 'transform', name: 'made', run: () => 'made' },
    { kind: 'form', name: 'second', fields: z.object({ b: z.string() }) },
  ],
  config: (values) => values,
}
const keys = readKeys('', { SYNCLINE_VAULT_KEY: 'a'.repeat(64) })

/** A store whose process dies at one of its writes. */
function world(of: Flow = flow) {
  const { records } = openMemoryStore()
  const connected: unknown[] = []
  const vault = new StoreVault(records, () => keys)
  const make = (dieAt = Number.POSITIVE_INFINITY) => {
    let writes = 0
    const dying: typeof records = {
      get: (kind, id) => records.get(kind, id),
      list: (kind, page) => records.list(kind, page),
      delete: (kind, id) => records.delete(kind, id),
      sweep: (nowMs) => records.sweep(nowMs),
      put: async (record, expected) => {
        if (writes++ >= dieAt) throw new Error('died')
        return await records.put(record, expected)
      },
    }
    return new Flows({
      records: dying,
      vault: new StoreVault(dying, () => keys),
      clock: new ManualClock(0),
      flowOf: () => ({ flow: of, oauth: null }),
      secretsOf: () => ['canary-of-the-app'],
      connect: async ({ config }) => void connected.push(config),
      signal: new AbortController().signal,
    })
  }
  return { make, connected, vault }
}

/** Answers what is asked until it is over. */
async function answerAll(flows: Flows, session: FlowSession): Promise<void> {
  let now = session
  for (let turn = 0; turn < 10 && now.status === 'waiting'; turn++)
    now = await flows.answer(now.sessionId, now.step?.name === 'first' ? { a: '1' } : { b: '2' })
  assert.equal(now.status, 'completed')
}

describe('a connect session', () => {
  test('has every answer whichever write its process died at, and leaves nothing in the vault', async () => {
    let deaths = 0
    for (let dieAt = 0; dieAt < 12; dieAt++) {
      const { make, connected, vault } = world()
      const session = await make().start('x')
      deaths += await answerAll(make(dieAt), session).then(
        () => 0,
        () => 1,
      )
      await answerAll(make(), await make().get(session.sessionId))
      assert.deepEqual(connected.at(-1), { first: { a: '1' }, made: 'made', second: { b: '2' } }, `died at ${dieAt}`)
      assert.deepEqual(await vault.list(), [])
    }
    assert.ok(deaths >= 6, `${deaths} deaths`)
  })

  test('what a step says went wrong tells nothing that was entered as a secret, nor what the integration keeps', async () => {
    const leaky: Flow = {
      steps: [
        { kind: 'form', name: 'login', fields: z.object({ user: z.string(), password: z.string() }) },
        {
          kind: 'transform',
          name: 'check',
          run: ({ login }) => {
            throw new Error(`login of ${JSON.stringify(login)} by canary-of-the-app failed`)
          },
        },
      ],
      config: () => ({}),
    }
    const { make } = world(leaky)
    const flows = make()
    const { sessionId } = await flows.start('x')
    const { errors } = await flows.answer(sessionId, { user: 'ada', password: 'canary-hunter2' })
    assert.match(String(errors), /login of .*ada.* by \[secret\] failed/)
    assert.ok(!JSON.stringify(errors).includes('canary'), String(errors))
  })

  test('answered twice at the same time keeps the answer that moved it on', async () => {
    const { make, connected } = world()
    const { sessionId } = await make().start('x')
    const answers = await Promise.allSettled(['1', '2', '3'].map((a) => make().answer(sessionId, { a })))
    const won = answers.findIndex(({ status }) => status === 'fulfilled')
    const refused = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason.code] : []))
    assert.deepEqual(refused, ['FLOW_BUSY', 'FLOW_BUSY'])
    await make().answer(sessionId, { b: '2' })
    assert.deepEqual(connected, [{ first: { a: String(won + 1) }, made: 'made', second: { b: '2' } }])
  })
})
