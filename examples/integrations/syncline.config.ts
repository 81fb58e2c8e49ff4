import { defineConfig, env } from 'syncline'
import { defineConnector } from 'syncline/connector'
import { z } from 'zod'

const todo = defineConnector({
  name: 'todo',
  config: z.strictObject({ url: z.string(), token: z.string() }),
  syncs: {
    tasks: {
      fields: { id: 'integer', title: 'text', done: 'boolean' },
      run: async ({ config }, { fetch }) => {
        const answer = await fetch(`${config.url}/tasks`, { headers: { authorization: `Bearer ${config.token}` } })
        if (!answer.ok) throw new Error(`the list answered ${answer.status}`)
        return z.array(z.looseObject({ id: z.number() })).parse(await answer.json())
      },
    },
  },
  actions: (action) => ({
    finish: action({
      input: z.object({ id: z.number() }),
      output: z.object({ done: z.boolean() }),
      run: async ({ config }, { id }, { fetch }) => {
        const headers = { authorization: `Bearer ${config.token}` }
        const answer = await fetch(`${config.url}/tasks/${id}/done`, { method: 'POST', headers })
        return z.object({ done: z.boolean() }).parse(await answer.json())
      },
    }),
  }),
})

export default defineConfig({
  connections: {},
  syncs: {},
  connectors: [todo],
  integrations: { todo: { connector: 'todo', config: { url: env('TODO_URL') }, minutesBetweenSyncs: 5 } },
  permit: ({ kind, key }) => (kind === 'run' || key !== null ? true : 'nobody asked'),
})
