import { schemaOf } from '../testing/connector-harness.ts'
import { type ConnectorHarness, connectorTests, type Shape, testContext } from '../testing/index.ts'
import { memoryConnector } from './memory.ts'
import { MemorySystem } from './memory-system.ts'

connectorTests({
  name: 'memory',
  feed: 'complete',
  target: { refuses: null },
  open: async (): Promise<ConnectorHarness> => {
    const system = new MemorySystem()
    const connect = () => memoryConnector.open({ system }, testContext())
    return {
      connection: await connect(),
      connect,
      create: async (shape: Shape, rows) => {
        system.create(schemaOf(shape))
        system.put(shape.name, ...rows)
        return shape.name
      },
      put: async (shape, rows) => system.put(shape.name, ...rows),
      delete: async (shape, keys) => system.delete(shape.name, ...keys),
      makeUnique: async (shape, field) => {
        system.unique = new Map(system.unique).set(shape.name, [field])
      },
      [Symbol.asyncDispose]: async () => {},
    }
  },
})
