/**
 * Postgres' errors in our words: by SQLSTATE class, and by SQLSTATE where one of a class is something else. What is in
 * neither table is told as the server's refusal, with its SQLSTATE. INTERNAL is left to our own mistakes.
 */
import pg from 'pg'
import { type ErrorCode, SyncError } from '../../core/error.ts'

interface Meaning {
  readonly code: ErrorCode
  /** What Postgres did, behind "Postgres at <place>". Default: it refused. */
  readonly says?: string
  readonly hint: string
  /** It may be about one row only: then the others of the batch go in. */
  readonly row?: true
}

const refused: Meaning = {
  code: 'DATABASE_REFUSED',
  hint: 'Look the SQLSTATE up in the appendix "PostgreSQL Error Codes" of its manual; the log of the server may say more.',
}
const ofRow: Meaning = {
  code: 'VALUE_REFUSED',
  hint: 'Mend the row at the source, or change what refuses it: a constraint, a type or a trigger of the table.',
  row: true,
}
const ofTrigger: Meaning = {
  ...ofRow,
  hint: 'A trigger, rule or function of the table refuses the row: see what it asks for.',
}
const lost: Meaning = {
  code: 'CONNECTION_LOST',
  says: 'ended the connection',
  hint: 'The run goes on from the last checkpoint when the server is back.',
}
const busy: Meaning = {
  code: 'DATABASE_LOCKED',
  says: 'let another transaction go first',
  hint: 'Another transaction was in the way; the run is tried again.',
}
const login = {
  code: 'AUTH_FAILED',
  says: 'refused the login',
  hint: 'Check user and password of the connection.',
} as const satisfies Meaning
const changed: Meaning = {
  code: 'SCHEMA_CHANGED',
  hint: 'A table changed while a run was using it. The run is tried again with the new schema.',
}
const full: Meaning = { code: 'DISK_FULL', hint: 'Free some space on the server and run again.' }
const damaged: Meaning = {
  ...refused,
  hint: 'The server reports a fault of its own: look into its log, and check the table (pg_amcheck) before you go on.',
}

/** By the first two characters; the classes of the manual, all of them. */
export const classes: Readonly<Record<string, Meaning>> = {
  '00': refused,
  '01': refused,
  '02': refused,
  '03': refused,
  '08': lost,
  '09': ofTrigger,
  '0A': refused,
  '0B': refused,
  '0F': refused,
  '0L': refused,
  '0P': refused,
  '0Z': ofTrigger,
  '10': ofRow,
  '20': ofTrigger,
  '21': ofTrigger,
  '22': ofRow,
  '23': ofRow,
  '24': refused,
  '25': refused,
  '26': { ...refused, hint: 'A pooler lost a prepared statement: use its transaction or session mode.' },
  '27': ofTrigger,
  '28': login,
  '2B': refused,
  '2D': refused,
  '2F': ofTrigger,
  '34': refused,
  '38': ofTrigger,
  '39': ofTrigger,
  '3B': refused,
  '3D': { code: 'DATABASE_UNKNOWN', hint: 'Check the database name of the connection.' },
  '3F': {
    code: 'CONFIG_INVALID',
    hint: 'Make the schema, or give the role one that is there: ALTER ROLE <user> SET search_path = <schema>.',
  },
  '40': busy,
  '42': refused,
  '44': ofRow,
  '53': { ...refused, hint: 'The server ran out of something: see the message, give it more, and run again.' },
  '54': { ...refused, hint: 'The statement is beyond a limit of the server: sync fewer fields, or shorter ones.' },
  '55': { ...refused, hint: 'Something of the table is not in the state that it needs: see the message.' },
  '57': lost,
  '58': damaged,
  '72': busy,
  F0: damaged,
  HV: { ...refused, hint: 'A foreign table did not answer: check its server and user mapping.' },
  P0: ofTrigger,
  XX: damaged,
}

/** Those that are not as the rest of their class. */
export const states: Readonly<Record<string, Meaning>> = {
  '25006': {
    code: 'READ_ONLY',
    says: 'takes no writes',
    hint: 'Is it a standby? Name the primary as the target of the sync.',
  },
  '25P03': lost,
  '25P04': lost,
  '42501': { code: 'GRANT_MISSING', hint: '' },
  '42P01': changed,
  '42703': changed,
  // There already: a worker that was taken over may have made it meanwhile.
  '42P07': changed,
  '42701': changed,
  '53100': full,
  '53300': {
    code: 'CONNECTION_REFUSED',
    says: 'takes no connection now',
    hint: 'Wait until it is ready, or close some connections.',
  },
  '54000': ofRow,
  '55P03': { code: 'DATABASE_LOCKED', says: 'did not get a lock', hint: 'Another session holds a lock on the table.' },
  '57014': {
    code: 'TIMED_OUT',
    says: 'canceled a statement',
    hint: 'Somebody canceled it, or a time limit of the server or of a pooler did.',
  },
  '57P03': {
    code: 'CONNECTION_REFUSED',
    says: 'takes no connection now',
    hint: 'Wait until it is ready, or close some connections.',
  },
  '57P04': { code: 'DATABASE_UNKNOWN', hint: 'The database was dropped.' },
  '58030': full,
}

/** What the network says. Anything else that it says means that the connection is gone. */
const unanswered = ['ECONNREFUSED', 'ENOTFOUND', 'EHOSTUNREACH', 'ENETUNREACH', 'EAI_AGAIN', 'ENOENT', 'EACCES']
/** What the driver says when nobody answered within connectTimeoutMs. */
const unansweredTexts = ['timeout expired', 'Query read timeout', 'timeout exceeded when trying to connect']

/** Postgres', the driver's or the network's error as ours. `place`: host, port and database, never user or password. */
export function translate(error: unknown, place: string): unknown {
  if (error instanceof SyncError || !(error instanceof Error)) return error
  if (error instanceof pg.DatabaseError) return ofServer(error, place)
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  const make = (kind: ErrorCode, message: string, hint: string) => new SyncError(kind, message, { hint, cause: error })
  if (/CERT|UNABLE_TO_|ALTNAME|^ERR_(SSL|TLS)/.test(code) || /does not support SSL/.test(error.message))
    return make(
      'TLS_FAILED',
      `no trusted TLS connection to Postgres at ${place}: ${error.message}`,
      "Name the server's authority (tls: { ca: './ca.pem' }), or turn TLS off or its check down if you know why.",
    )
  if (unanswered.includes(code) || unansweredTexts.includes(error.message))
    return make(
      'CONNECTION_REFUSED',
      `no Postgres answers at ${place} (${code || 'timeout expired'})`,
      'Is the server running, and are host and port right?',
    )
  // The driver's own, of a password that is missing or of another kind.
  if (/^SASL|password/.test(error.message))
    return make('AUTH_FAILED', `no login to Postgres at ${place}: ${error.message}`, login.hint)
  if ('syscall' in error || /^E[A-Z]+$/.test(code) || /terminated|not queryable|Connection ended/i.test(error.message))
    return make('CONNECTION_LOST', `the connection to Postgres at ${place} was lost: ${error.message}`, lost.hint)
  return error
}

function ofServer(error: pg.DatabaseError, place: string): SyncError {
  const state = error.code ?? ''
  const meaning = meaningOf(error)
  const make = (code: ErrorCode, message: string, hint: string) => new SyncError(code, message, { hint, cause: error })
  const words = ofPooler.find(({ pattern }) => pattern.test(error.message))
  if (state === '08P01' && words !== undefined)
    return make(words.code, `the pooler at ${place} ${words.says}: ${error.message}`, words.hint)
  const of = error.table === undefined ? '' : ` on ${[error.schema, error.table].filter(Boolean).join('.')}`
  const message = `Postgres at ${place} ${meaning.says ?? 'refused'}${of}: ${withoutValues(error.message)} (SQLSTATE ${state})`
  return make(meaning.code, message, meaning.code === 'GRANT_MISSING' ? grantHint(error.message) : meaning.hint)
}

/** What pgbouncer says of its own, all under one SQLSTATE. */
const ofPooler = [
  {
    pattern: /statement pooling/,
    code: 'CONFIG_INVALID',
    says: 'gives every statement another session',
    hint: 'Syncline needs whole transactions: set pool_mode = transaction or session, or name the server itself.',
  },
  {
    pattern: /authentication failed|no such user|not allowed/,
    code: 'AUTH_FAILED',
    says: login.says,
    hint: login.hint,
  },
  {
    pattern: /no such database/,
    code: 'DATABASE_UNKNOWN',
    says: 'does not know the database',
    hint: 'Check the database name of the connection.',
  },
] as const

function meaningOf(told: pg.DatabaseError): Meaning {
  const state = told.code ?? ''
  if (isOfFunction(told, state)) return ofTrigger
  // A state that is in no manual comes from somebody's function.
  return states[state] ?? classes[state.slice(0, 2)] ?? ofTrigger
}

/** The function of the server that carries out RAISE: whoever wrote it chose the SQLSTATE, whatever that means elsewhere. */
const RAISES = 'exec_stmt_raise'
/** … and that which passes on what the server of a foreign table said. */
const OTHER_SERVER = 'pgfdw_report_error'
/** Classes that say of a statement that it is wrong: where a function of the database ran it, it was not ours. */
const ofStatement = /^(0A|24|25|26|28|2B|2D|34|3B|3D|3F|42|55)/

/** Whether a function of the database says so, such as a trigger. Only what it asks to be tried again, or was locked out of, is. */
function isOfFunction({ routine, where, internalQuery }: pg.DatabaseError, state: string): boolean {
  if (routine === OTHER_SERVER) return false
  if (routine === RAISES) return !state.startsWith('40')
  return (
    (where !== undefined || internalQuery !== undefined) &&
    ofStatement.test(state) &&
    !['42501', '55P03'].includes(state)
  )
}

function grantHint(message: string): string {
  const relation = /for (?:table|relation|view|sequence) (\S+)/.exec(message)?.[1]
  const schema = /for schema (\S+)/.exec(message)?.[1]
  const parameter = /set parameter (\S+)/.exec(message)?.[1]
  if (parameter !== undefined)
    return `The role or database sets ${parameter}, and the role may not set it back: ALTER ROLE <user> RESET ${parameter.replaceAll('"', '')}, or GRANT SET ON PARAMETER.`
  if (relation !== undefined)
    return `As its owner: GRANT SELECT ON ${relation} TO <user>; a target also needs INSERT, UPDATE, DELETE.`
  if (schema !== undefined)
    return `As its owner: GRANT USAGE ON SCHEMA ${schema} TO <user>; a target also needs CREATE.`
  return 'Grant the missing right; docs/connectors/postgres.md lists what a source and a target need.'
}

/** The function of the server that refuses for a missing right. Its name is the same in all languages. */
const LACKS_RIGHT = 'aclcheck_error'

/** Whether the user lacks a right. Row-level security and triggers refuse single rows with the same code, by other functions. */
export function isMissingRight(error: unknown): boolean {
  const told = toldByServer(error)
  return told?.code === '42501' && told.routine === LACKS_RIGHT
}

/** What the server said, where an error is its or was made of it. */
export function toldByServer(error: unknown): pg.DatabaseError | null {
  const told = error instanceof SyncError ? error.cause : error
  return told instanceof pg.DatabaseError ? told : null
}

/** Whether the error is about one row: its values, or what a trigger, constraint or policy says of them. */
export function isRowError(error: unknown): boolean {
  const told = toldByServer(error)
  if (told === null) return error instanceof SyncError && error.code === 'VALUE_REFUSED'
  if (told.code === '42501') return !isMissingRight(error)
  if (TOO_LARGE.test(told.message)) return true
  return meaningOf(told).row === true
}

/** What Postgres says where it can't allocate what a row, or one value's text, takes: its messages of this kind are never translated. */
const TOO_LARGE = /^invalid memory alloc request size/

/**
 * Whether the server holds a row and can't send it: the row is too large as text, or has characters without a form in UTF-8. It does
 * not say which row.
 */
export function isUnsendable(error: unknown): boolean {
  const told = toldByServer(error)
  if (told === null) return false
  return ['54000', '22P05', '22021'].includes(told.code ?? '') || TOO_LARGE.test(told.message)
}

/** Whether it is the row's size that the server stumbled over. */
export function isTooLarge(error: unknown): boolean {
  const told = toldByServer(error)
  return told !== null && (told.code === '54000' || TOO_LARGE.test(told.message))
}

/** Whether Postgres refused to alter a table: something depends on the column (0A, 2B), or the change does not fit (42). `detail` names what. */
export function refusedChange(error: unknown): pg.DatabaseError | null {
  const own = toldByServer(error)
  return own !== null && /^(0A|2B|42)/.test(own.code ?? '') ? own : null
}

/** The server's words without the values in them. Names of columns, constraints and the like stay; the detail, which holds rows, is left out. */
export function withoutValues(message: string): string {
  return message
    .replace(/: ".*"$/s, '')
    .replace(/\bvalue ".*" (?=is|for|too)/s, 'a value ')
    .replace(/(\b[a-z]+ |\.)?"(?:[^"]|"")*"/g, (all, before: string | undefined) =>
      before !== undefined && named.test(before) ? all : `${before ?? ''}"…"`,
    )
}

const named =
  /^(column|constraint|relation|table|type|function|procedure|index|schema|trigger|policy|role|user|database|extension|encoding|parameter|domain|sequence|view|rule|collation|language|operator|tablespace|publication|server|wrapper|\.)\s?$/
