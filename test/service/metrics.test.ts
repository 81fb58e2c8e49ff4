import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually } from './project.ts'
import { Served } from './served.ts'

/** A connector whose system may be asked twice a second, and whose one sync asks three times. */
const config = `
import { defineConfig } from 'syncline'
import { defineConnector } from 'syncline/connector'
import { sqlite } from 'syncline/sqlite'
import { z } from ${JSON.stringify(import.meta.resolve('zod'))}
const crm = defineConnector({
  name: 'crm',
  config: z.object({}),
  limits: { perSecond: 2 },
  syncs: {
    contacts: {
      fields: { id: 'integer' },
      run: async (_connection, { turn }) => {
        for (let call = 0; call < 3; call++) await turn()
        return [{ id: 1 }, { id: 2 }]
      },
    },
    broken: () => {
      throw new Error('it is so in this test')
    },
  },
})
export default defineConfig({
  connections: { crm: crm({}), copy: sqlite({ file: './copy.db' }) },
  syncs: {
    contacts: { from: 'crm.contacts', to: 'copy.contacts', schedule: 'manual' },
    broken: { from: 'crm.broken', to: 'copy.broken', schedule: 'manual' },
  },
})`

test('metrics tell runs, rows, lag, the queue, waits for limits and errors by code; a config’s connection has the limits of its connector', async () => {
  await using it = new Served({ config })
  const api = await it.ready()
  const jobs = [await api.post('/api/syncs/contacts/run'), await api.post('/api/syncs/broken/run')]
  for (const { body } of jobs)
    await eventually(
      async () =>
        (await api.get(`/api/jobs/${body.id}`)).body.status !== 'queued' &&
        it.service.lines.some((line) => line.event === 'job.ended' && line.job === body.id),
      'the end of the job',
    )
  const { text } = await api.get('/metrics')
  for (const line of [
    /^syncline_runs_total\{sync="contacts",status="succeeded"\} 1$/m,
    /^syncline_rows_total\{sync="contacts",what="inserted"\} 2$/m,
    /^syncline_lag_seconds\{sync="contacts"\} [\d.]+$/m,
    /^syncline_jobs\{status="queued"\} \d+$/m,
    /^syncline_start_delay_seconds_count [2-9]$/m,
    /^syncline_errors_total\{code="HANDLER_FAILED"\} 1$/m,
    /^syncline_limiter_wait_seconds_count\{connection="crm"\} [1-9]\d*$/m,
    /^syncline_limiter_waiting\{connection="crm"\} 0$/m,
  ])
    assert.match(text, line)
  assert.doesNotMatch(text, /syncline_lag_seconds\{sync="broken"/)
})
