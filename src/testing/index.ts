/** For those who write a connector or a store: the contracts, as tests for `node:test`. */
export { type ConnectorHarness, type ConnectorUnderTest, type Shape, testContext } from './connector-harness.ts'
export { connectorTests } from './connector-tests.ts'
export { type FilterCase, filterCases, filterFields, filterRows } from './filter-cases.ts'
export type { StoreState } from './store-state.ts'
export { storeTests } from './store-tests.ts'
