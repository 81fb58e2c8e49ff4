/** Schemas of connectors and actions as JSON Schema. */
import { type ZodType, z } from 'zod'
import type { ActionDefinition } from '../connectors/kit.ts'

/** What goes in; what JSON Schema has no words for is anything. */
export function schemaObject(schema: ZodType, io: 'input' | 'output' = 'input'): unknown {
  return z.toJSONSchema(schema, { io, unrepresentable: 'any' })
}

export function actionObject(
  name: string,
  { description = '', input, output, timeoutMs }: ActionDefinition<never>,
): Record<string, unknown> {
  return {
    name,
    description,
    timeoutMs: timeoutMs ?? null,
    input: schemaObject(input),
    output: schemaObject(output, 'output'),
  }
}
