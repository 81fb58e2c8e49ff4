/** A sync's name: `paid_orders`, or `everything/orders` for one that a pattern expanded to. */
export type SyncId = string
