import assert from 'node:assert/strict'
import { test } from 'node:test'
import { schemaText } from './schema-text.ts'

test('a schema is told as a person reads it, with links, and without what HTML would take for its own', () => {
  const text = schemaText({
    type: 'object',
    properties: {
      id: { type: 'string', description: 'a <name>' },
      runs: { type: 'array', items: { $ref: '#/components/schemas/Run' } },
      ends: { anyOf: [{ type: 'string', format: 'date-time' }, { type: 'null' }] },
      status: { enum: ['a', 'b'] },
      sides: { type: 'array', items: { anyOf: [{ const: 'left' }, { type: ['integer', 'null'] }] } },
      counts: { type: 'object', additionalProperties: { type: 'integer' } },
      any: {},
    },
    required: ['id'],
  })
  assert.equal(
    text,
    `{
  id: string <i>a &lt;name&gt;</i>
  runs?: <a href="#schema-Run">Run</a>[]
  ends?: date-time | null
  status?: &quot;a&quot; | &quot;b&quot;
  sides?: (&quot;left&quot; | integer | null)[]
  counts?: { [name]: integer }
  any?: anything
}`,
  )
})
