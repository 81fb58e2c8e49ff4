import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Api } from './api.ts'
import { Crm } from './crm.ts'
import { type Ended, eventually, ServiceProject } from './project.ts'

/** A token that the CRM does not take: its handler puts it into what it throws. */
const CANARY = 'canary-of-another'

function seen({ lines, stderr }: Pick<Ended, 'lines' | 'stderr'>): string {
  return `${JSON.stringify(lines)}\n${stderr}`
}

describe('what a failing handler says is told, and the secrets in it are not', () => {
  for (const format of ['json', 'text'])
    test(`by the API, by its log as ${format}, and by commands`, async () => {
      await using crm = await new Crm().start()
      using it = new ServiceProject(crm.config())
      it.change('shop.db', 'create table orders (id integer primary key)')
      const service = it.start('start', '--port', '0', '--log-format', format)
      await service.event('ready')
      await eventually(() => /slk_\S+/.test(service.stderr), 'the first key')
      const url = String(service.lines.find(({ event }) => event === 'ready')?.url)
      const api = new Api(url, /slk_\S+/.exec(service.stderr)?.[0] ?? '')
      const connection = { name: 'acme', integration: 'ours', config: { token: CANARY } }
      assert.equal((await api.post('/api/connections', connection)).status, 201)
      const over = { from: 'acme.contacts', to: 'copy.contacts', schedule: 'manual' }
      assert.equal((await api.call('PUT', '/api/syncs/over', over)).status, 201)
      for (const sync of ['acme%2Fcontacts', 'over'])
        for (const what of ['plan', 'verify']) {
          const { status, body, text } = await api.post(`/api/syncs/${sync}/${what}`)
          assert.deepEqual(
            [status, body.code, body.detail],
            [502, 'HANDLER_FAILED', 'the CRM answered 401 to [secret]'],
          )
          assert.match(String(body.hint), /the run function of sync "contacts" of acme/)
          assert.ok(!text.includes(CANARY), text)
        }
      service.kill('SIGINT')
      const ended = await service.end()
      assert.match(ended.stderr, /plan: HANDLER_FAILED: .*the CRM answered 401 to \[secret\]/)
      assert.ok(!seen(ended).includes(CANARY), seen(ended))
      for (const args of [
        ['plan', 'acme/contacts'],
        ['verify', 'acme/contacts'],
        ['plan', 'over'],
        ['verify', 'over'],
        ['run', 'over'],
        ['collections', 'acme'],
      ]) {
        const told = seen(await it.run(...args))
        assert.match(told, /the CRM answered 401 to \[secret\]/, args.join(' '))
        assert.ok(!told.includes(CANARY), told)
      }
    })
})
