/** Tells somebody who looks after a process something that is no event. Never row values or secrets. Default: `info`. */
export type Log = (message: string, severity?: Severity) => void

/** `warn`: somebody may want to do something; `error`: something failed that nobody else is told of. */
export type Severity = 'info' | 'warn' | 'error'
