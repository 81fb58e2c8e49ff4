import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { z } from 'zod'
import { defineConnector } from '../connectors/kit.ts'
import { env } from './env.ts'
import { parseConfig } from './schema.ts'

const crm = defineConnector({
  name: 'crm',
  config: z.strictObject({ url: z.string(), token: z.string() }),
  syncs: { contacts: () => [], deals: () => [] },
  actions: (action) => ({ greet: action({ input: z.object({}), output: z.object({}), run: async () => ({}) }) }),
})

function parse(written: object, environment = {}) {
  return parseConfig(
    { connections: {}, syncs: {}, ...written },
    { file: 'syncline.config.ts', folder: '/', environment },
  )
}

describe('integrations of a config', () => {
  test('name own connectors and those built in; values from the environment are in their config', () => {
    const { integrations, connectors } = parse(
      {
        connectors: [crm],
        integrations: {
          ours: {
            connector: 'crm',
            config: { url: env('CRM_URL') },
            syncs: ['contacts'],
            schedules: { contacts: '1h' },
            minutesBetweenSyncs: 5,
          },
          files: {
            connector: 'sqlite',
            root: './customers',
            work: { step: '2s', memory: '256MB' },
            config: { file: 'one.db' },
          },
          branches: { connector: 'postgres', config: { tls: { ca: './ca.pem' } } },
        },
      },
      { CRM_URL: 'https://crm' },
    )
    assert.deepEqual(integrations, [
      {
        id: 'ours',
        connectorId: 'crm',
        config: { url: 'https://crm' },
        syncs: ['contacts'],
        schedules: { contacts: { kind: 'interval', everyMs: 3_600_000 } },
        minutesBetweenSyncs: 5,
      },
      {
        id: 'files',
        connectorId: 'sqlite',
        config: { file: '/one.db' },
        root: '/customers',
        work: { stepMs: 2000, memoryMb: 256 },
      },
      { id: 'branches', connectorId: 'postgres', config: { tls: { ca: '/ca.pem' } } },
    ])
    assert.deepEqual(connectors.map(({ name }) => name).sort(), ['crm', 'postgres', 'sqlite'])
  })

  test('every mistake is told with its path', () => {
    const wrong = {
      connectors: [crm, crm, 'crm', {}],
      integrations: {
        a: { connector: 'cmr' },
        b: { connector: 'crm', syncs: ['contact'], actions: ['great'] },
        c: { connector: 'crm', syncs: ['contacts'], schedules: { deals: '1h' } },
        d: { connector: 'crm', schedules: { contacts: 'sometimes' }, minutesBetweenSyncs: 0 },
        e: { connector: 'crm', schedules: { contacts: { after: 'x' } } },
        f: { connector: 'crm', config: { url: env('UNSET') } },
        'g h': { connector: 'crm', sync: [] },
        h: { connector: 'crm', root: '.' },
        i: { connector: 'crm', work: { step: '2s' } },
        j: { connector: 'sqlite', work: { memory: '1MB' } },
        k: { connector: 'sqlite', work: { whole: 'long' } },
      },
      permit: 'yes',
    }
    assert.throws(
      () => parse(wrong),
      (error: Error) => {
        const lines = error.message.split('\n').slice(1)
        const paths = lines.map((line) => /^ {2}(\S+(?: h"\]\S*)?): /.exec(line)?.[1])
        assert.deepEqual(paths.sort(), [
          'connectors[1]',
          'connectors[2]',
          'connectors[3]',
          'integrations.a.connector',
          'integrations.b.actions[0]',
          'integrations.b.syncs[0]',
          'integrations.c.schedules.deals',
          'integrations.d.minutesBetweenSyncs',
          'integrations.d.schedules.contacts',
          'integrations.e.schedules.contacts',
          'integrations.f.config.url',
          'integrations.h.root',
          'integrations.i.work',
          'integrations.j.work.memory',
          'integrations.k.work.whole',
          'integrations["g h"]',
          'integrations["g h"].sync',
          'permit',
        ])
        assert.match(error.message, /no connector "cmr", did you mean "crm"|no connector "cmr".*crm/)
        assert.match(error.message, /no sync "contact".*did you mean "contacts"/)
        return true
      },
    )
  })

  test('a connector of one’s own can’t take the name of one that is built in', () => {
    const mine = defineConnector({ name: 'sqlite', config: z.object({}) })
    assert.throws(() => parse({ connectors: [mine] }), {
      message: /connectors\[0\]: there is a connector "sqlite" already/,
    })
  })
})
