/** A SQLite file as a transactional target. */
import { existsSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { SyncError } from '../../core/error.ts'
import { parseName } from '../../core/name.ts'
import { type Field, fieldNamed, type Schema, type SchemaChange } from '../../core/schema.ts'
import type { SyncId } from '../../core/sync-id.ts'
import type { Checkpoint, Context, Sink, SinkTransaction, Target, TargetSpec, TargetState, View } from '../connector.ts'
import { refuseBeyondLimits } from '../limits.ts'
import { readCheckpoint, storeCheckpoint } from '../sql/checkpoints.ts'
import { leaseLost, takeGeneration } from '../sql/fence.ts'
import { hasOwnTables } from '../sql/own-tables.ts'
import { changeTable, resetTarget, targetState, unownedState } from '../sql/registry.ts'
import { readRejections, replaceRejections } from '../sql/rejections.ts'
import type { SqlSession } from '../sql/session.ts'
import { quote } from '../sql.ts'
import { describeTable, hasRowids, isRowidKey, isVirtual, tableKind } from './catalog.ts'
import type { SqliteConfig } from './config.ts'
import { enterBulk, leaveBulk } from './database.ts'
import type { Relation } from './decode.ts'
import { attempt, attemptAsync } from './errors.ts'
import { dropHandles, type Lent, lend, lendOn } from './handles.ts'
import { limits } from './limits.ts'
import { migrate } from './migrations.ts'
import { rehearse } from './rehearsal.ts'
import { mayRollBack, restartable } from './restart.ts'
import { inTransaction, sessionOf } from './session.ts'
import { noteUndone } from './spelling.ts'
import {
  adoptable,
  applyChanges,
  asDeclaredThere,
  deletedField,
  keepsAny,
  keptTable,
  listedSql,
  ownedTable,
  rowsTable,
  targetTable,
} from './table.ts'
import { declaredLoss, storageOf } from './types.ts'
import { openView } from './view.ts'
import { TableWriter } from './write.ts'

/** A target this sink has claimed: what to write, and the fence that allows it. */
interface Claim {
  readonly spec: TargetSpec
  readonly generation: number
  readonly writer: TableWriter
}

export function openSink(config: SqliteConfig, context: Context): Sink {
  const { file } = config
  const claims = new Map<SyncId, Claim>()
  let lent: Lent | null = null
  let writable: DatabaseSync | null = null
  const session = (database: DatabaseSync) => sessionOf(database, file, context)
  // Inspecting and viewing must not make a file or a table: `plan` writes nothing.
  const writer = async () => {
    if (writable !== null) return writable
    lent = lend(config, { readOnly: false, create: true })
    const { database } = lent
    writable = database
    await migrate(database, file, session(database))
    return database
  }
  const reading = async <T>(work: (database: DatabaseSync) => T | Promise<T>, missing: T): Promise<T> => {
    const database = writable
    if (database !== null) return await attemptAsync(file, () => work(database))
    if (!existsSync(file)) return missing
    using reader = lend(config, { readOnly: true, create: false })
    return await attemptAsync(file, () => work(reader.database))
  }
  return {
    inspect: async (spec) => {
      refuseBeyondLimits(spec, parseName(spec.collection), limits)
      return await reading((database) => inspect(database, session(database), spec), nothing)
    },
    claim: async (spec, changes, held) => {
      const database = await writer()
      const generation = await inTransaction(database, file, () =>
        takeTarget(database, session(database), spec, { changes, held }),
      )
      const checkpoint = await readCheckpoint(session(database), spec)
      const [claim, target] = attempt(file, () => openTarget(database, spec, generation, checkpoint, context))
      claims.set(spec.sync, claim)
      if (target.empty && checkpoint === null) {
        dropHandles(config)
        attempt(file, () => enterBulk(database, config))
      }
      return target
    },
    begin: async () => {
      const database = await writer()
      const begin = () => attempt(file, () => database.exec('BEGIN IMMEDIATE'))
      begin()
      const transaction = openTransaction(database, file, session(database), claims)
      return attempt(file, () => mayRollBack(database)) ? restartable(transaction, begin) : transaction
    },
    view: async (spec, rows) => attempt(file, () => viewTarget(config, writable, spec, rows)),
    rehearse: (spec, rows) => reading((database) => rehearse(database, spec, rows), rows),
    rejections: (spec) => reading((database) => readRejections(session(database), spec), []),
    declaredLoss,
    reset: async (spec, drop) => {
      const database = await writer()
      await inTransaction(database, file, () => resetTarget(session(database), spec, targetTable(spec), drop))
    },
    [Symbol.asyncDispose]: async () => {
      if (writable === null) return
      const database = writable
      writable = null
      using _back = lent
      lent = null
      attempt(file, () => {
        if (database.isTransaction) database.exec('ROLLBACK')
        leaveBulk(database)
      })
    },
  }
}

const nothing: TargetState = { schema: null, orphans: [], owner: null, checkpoint: null }

async function inspect(database: DatabaseSync, session: SqlSession, spec: TargetSpec): Promise<TargetState> {
  const table = ownedTable(spec)
  const kind = tableKind(database, table)
  if (kind === 'view')
    throw new SyncError('TARGET_NOT_OURS', `${table} is a view, not a table`, {
      hint: 'Choose another target name with `to`.',
    })
  if (isVirtual(database, table))
    throw new SyncError('TARGET_NOT_OURS', `${table} is a virtual table, which takes no unique index of its key`, {
      hint: 'Sync into a plain table, and fill the virtual one from it (an fts5 table by triggers, say).',
    })
  const found = describeTable(database, table)
  if (found === null) return nothing
  const wanted = adoptable(found, spec.schema)
  return (await hasOwnTables(session)) ? await targetState(session, spec, table, wanted) : unownedState(wanted)
}

/** Takes the fence and applies the changes, in a transaction. Returns the fence's generation. */
async function takeTarget(
  database: DatabaseSync,
  session: SqlSession,
  spec: TargetSpec,
  { changes, held }: { readonly changes: readonly SchemaChange[]; readonly held: number | null },
): Promise<number> {
  const table = targetTable(spec)
  const generation = await takeGeneration(session, spec, table.name, held)
  // A file that was made anew has no generation to compare: it gives the first one, which is not the one that follows `held`.
  if (generation === null || (held !== null && generation !== held + 1)) throw leaseLost(spec)
  await changeTable(session, spec, table, changes, async () => applyChanges(database, spec, changes))
  return generation
}

function openTarget(
  database: DatabaseSync,
  spec: TargetSpec,
  generation: number,
  checkpoint: Checkpoint | null,
  context: Context,
): [Claim, Target] {
  const writer = new TableWriter(database, spec, context)
  const empty = database.prepare(`SELECT 1 FROM ${quote(ownedTable(spec))} LIMIT 1`).get() === undefined
  return [
    { spec, generation, writer },
    { checkpoint, generation, empty },
  ]
}

function openTransaction(
  database: DatabaseSync,
  file: string,
  session: SqlSession,
  claims: ReadonlyMap<SyncId, Claim>,
): SinkTransaction {
  const claimOf = (sync: SyncId): Claim => {
    const claim = claims.get(sync)
    if (claim === undefined) throw new SyncError('LEASE_LOST', `sync ${sync} has not claimed its target`)
    return claim
  }
  return {
    put: async (sync, rows, options) => attempt(file, () => claimOf(sync).writer.put(rows, options.fresh)),
    putTogether: (sync, rows) => attemptAsync(file, () => claimOf(sync).writer.putTogether(rows)),
    delete: async (sync, keys) => attempt(file, () => claimOf(sync).writer.delete(keys)),
    reject: async (sync, rejected, settled) => replaceRejections(session, claimOf(sync).spec, rejected, settled),
    checkpoint: async (sync, checkpoint) => {
      const { spec, generation } = claimOf(sync)
      await storeCheckpoint(session, { fence: spec, generation }, checkpoint)
    },
    commit: async () => attempt(file, () => database.exec('COMMIT')),
    rollback: async () =>
      attempt(file, () => {
        if (database.isTransaction) database.exec('ROLLBACK')
        noteUndone(database)
      }),
  }
}

function viewTarget(config: SqliteConfig, writable: DatabaseSync | null, spec: TargetSpec, rows?: 'written'): View {
  const viewOn = (database: DatabaseSync, dispose: () => void) =>
    openView(database, targetRelation(config, database, spec, rows), { cursor: null, dispose })
  if (writable !== null) return viewOn(writable, () => {})
  return lendOn(config, { readOnly: true, create: false }, (lent) => {
    lent.database.exec('BEGIN; SELECT 1 FROM sqlite_schema LIMIT 1')
    return viewOn(lent.database, () => lent[Symbol.dispose]())
  })
}

/** The live rows of this sync in its target table. */
function targetRelation(config: SqliteConfig, database: DatabaseSync, spec: TargetSpec, rows?: 'written'): Relation {
  const table = ownedTable(spec)
  const schema: Schema = spec.schema
  const conditions: string[] = []
  // The next run adds the column, when marking is new to the table.
  if (spec.deletes === 'mark' && hasColumn(database, table, deletedField))
    conditions.push(`${quote(deletedField)} IS NULL`)
  if (!spec.adopt && spec.deletes === 'keep' && keepsAny(database, table)) {
    const same = schema.key.map((name) => `kept.${quote(name)} = ${quote(table)}.${quote(name)}`).join(' AND ')
    conditions.push(`NOT EXISTS (SELECT 1 FROM ${quote(keptTable(table))} AS kept WHERE ${same})`)
  }
  if (spec.adopt && tableKind(database, rowsTable(table)) !== null) {
    const written = rows === 'written' ? ' AND mine._written' : ''
    conditions.push(
      `EXISTS (SELECT 1 FROM ${quote(rowsTable(table))} AS mine WHERE ${listedSql(database, spec)}${written})`,
    )
  }
  const fields = spec.adopt ? asDeclaredThere(database, table, schema.fields) : schema.fields
  const widening = spec.adopt ? new Set<string>() : wideningColumns(database, table, schema)
  return {
    file: config.file,
    maxRowBytes: config.maxRowBytes ?? limits.rowBytes,
    from: quote(table),
    where: conditions.length === 0 ? null : conditions.join(' AND '),
    fields,
    key: schema.key.map((name) => fieldNamed({ ...schema, fields }, name)),
    // An adopted table is not STRICT: its values may be of any storage class.
    system: spec.adopt ? 'sqlite' : 'syncline',
    rowids: hasRowids(database, table),
    rowidKey: isRowidKey(database, table, schema.key) && !schema.key.some((name) => widening.has(name)),
    widening,
  }
}

/** Columns of a table of ours whose storage is not yet that of their fields. */
function wideningColumns(database: DatabaseSync, table: string, { fields }: Schema): ReadonlySet<string> {
  const columns = database.prepare('SELECT name, type FROM pragma_table_info(?)').all(table)
  const storage = new Map(columns.map(({ name, type }) => [String(name), String(type)]))
  const widens = ({ name, type }: Field) => storage.has(name) && storage.get(name) !== storageOf(type)
  return new Set(fields.filter(widens).map(({ name }) => name))
}

function hasColumn(database: DatabaseSync, table: string, column: string): boolean {
  return database.prepare('SELECT 1 FROM pragma_table_info(?) WHERE name = ?').get(table, column) !== undefined
}
