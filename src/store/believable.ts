/**
 * How far in the future an instant of the store can be, by the longest time that anything here is promised for. One beyond was written by a
 * clock that was ahead: it counts as past, so that a clock that is wrong for a moment stops nothing until that time comes.
 */

/** No lease is taken for longer at a time. */
export const LONGEST_LEASE_MS = 120_000
/** No job is put off for longer: retries wait minutes, systems that ask to be left alone an hour at the most. */
export const LONGEST_DELAY_MS = 2 * 3_600_000

/** A job that did not end waits so long at the most before it is run again. What is due later was put off by a clock that was ahead. */
export const LONGEST_PAUSE_MS = 300_000
