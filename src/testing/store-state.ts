/** What the tests of a store get from whoever runs them. */
import type { Store } from '../store/store.ts'

/** One project's state, which can be opened several times at once, as by several processes. */
export interface StoreState extends AsyncDisposable {
  open(): Promise<Store>
}
export type WithState = (run: (state: StoreState) => Promise<void>) => () => Promise<void>
