/** A SQLite file as a transactional target. */
import { existsSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { SyncError } from '../../core/error.ts'
import { keyText, parseKeyText } from '../../core/key-text.ts'
import { parseName } from '../../core/name.ts'
import { type Field, fieldNamed, type Schema, type SchemaChange, withTheirs } from '../../core/schema.ts'
import type { Rejection } from '../../core/sync.ts'
import type { SyncId } from '../../core/sync-id.ts'
import type { Context, Sink, SinkTransaction, Target, TargetSpec, TargetState, View } from '../connector.ts'
import { refuseBeyondLimits } from '../limits.ts'
import { quote } from '../sql.ts'
import { describeTable, hasRowids, isRowidKey, isVirtual, parseSchema, tableKind } from './catalog.ts'
import type { SqliteConfig } from './config.ts'
import { enterBulk, leaveBulk } from './database.ts'
import type { Relation } from './decode.ts'
import { attempt, translate } from './errors.ts'
import { dropHandles, type Lent, lend, lendOn, withHandle } from './handles.ts'
import { limits } from './limits.ts'
import { migrate, migrated } from './migrations.ts'
import { rehearse } from './rehearsal.ts'
import { mayRollBack, restartable } from './restart.ts'
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
  ownerOf,
  rowsTable,
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
  // Inspecting and viewing must not make a file or a table: `plan` writes nothing.
  const writer = () => {
    if (writable === null) {
      lent = lend(config, { readOnly: false, create: true })
      writable = lent.database
      attempt(file, () => migrate(writable as DatabaseSync))
    }
    return writable
  }
  const reading = <T>(work: (database: DatabaseSync) => T, missing: T): T => {
    if (writable !== null) return attempt(file, () => work(writable as DatabaseSync))
    if (!existsSync(file)) return missing
    return withHandle(config, { readOnly: true, create: false }, work)
  }
  return {
    inspect: async (spec) => {
      refuseBeyondLimits(spec, parseName(spec.collection), limits)
      return reading((database) => inspect(database, spec), nothing)
    },
    claim: async (spec, changes, held) => {
      const database = writer()
      const [claim, target] = attempt(file, () => claimTarget(database, spec, { changes, held }, context))
      claims.set(spec.sync, claim)
      if (target.empty && target.checkpoint === null) {
        dropHandles(config)
        attempt(file, () => enterBulk(database, config))
      }
      return target
    },
    begin: async () => {
      const database = writer()
      const begin = () => attempt(file, () => database.exec('BEGIN IMMEDIATE'))
      begin()
      const transaction = openTransaction(database, file, claims, context)
      return attempt(file, () => mayRollBack(database)) ? restartable(transaction, begin) : transaction
    },
    view: async (spec, rows) => attempt(file, () => viewTarget(config, writable, spec, rows)),
    rehearse: async (spec, rows) => reading((database) => rehearse(database, spec, rows), rows),
    rejections: async (spec) => reading((database) => readRejections(database, spec), []),
    declaredLoss,
    reset: async (spec, drop) => {
      const database = writer()
      attempt(file, () => reset(database, spec, drop))
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

function inspect(database: DatabaseSync, spec: TargetSpec): TargetState {
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
  const checkpoint = migrated(database) ? readCheckpoint(database, spec) : null
  const found = describeTable(database, table)
  if (found === null) return { ...nothing, checkpoint: null }
  const row = migrated(database)
    ? database
        .prepare('SELECT project, sync, schema, orphans, adopted FROM _syncline_collection WHERE name = ?')
        .get(table)
    : undefined
  if (row === undefined)
    return {
      schema: adoptable(found, spec.schema),
      orphans: found.fields.map((field) => field.name),
      owner: null,
      checkpoint: null,
    }
  const held = { schema: parseSchema(String(row.schema)), orphans: JSON.parse(String(row.orphans)) as string[] }
  return {
    ...(Number(row.adopted) === 1 ? withTheirs(held, adoptable(found, spec.schema)) : held),
    owner: { project: String(row.project), sync: String(row.sync) },
    adopted: Number(row.adopted) === 1,
    checkpoint,
  }
}

function readCheckpoint(database: DatabaseSync, spec: Pick<TargetSpec, 'project' | 'sync'>): TargetState['checkpoint'] {
  const row = database
    .prepare('SELECT cursor, fingerprint FROM _syncline_checkpoint WHERE project = ? AND sync = ?')
    .get(spec.project, spec.sync)
  if (row === undefined || row.fingerprint === null) return null
  return { cursor: row.cursor === null ? null : String(row.cursor), fingerprint: String(row.fingerprint) }
}

function claimTarget(
  database: DatabaseSync,
  spec: TargetSpec,
  { changes, held }: { readonly changes: readonly SchemaChange[]; readonly held: number | null },
  context: Context,
): [Claim, Target] {
  database.exec('BEGIN IMMEDIATE')
  try {
    const { generation } = database
      .prepare(
        `INSERT INTO _syncline_checkpoint (project, sync, collection, generation, updated_at) VALUES (?, ?, ?, 1, ?)
         ON CONFLICT (project, sync) DO UPDATE SET generation = generation + 1, collection = excluded.collection, updated_at = excluded.updated_at
         RETURNING generation`,
      )
      .get(spec.project, spec.sync, ownedTable(spec), context.clock.now()) as { generation: number }
    if (held !== null && generation !== held + 1) throw leaseLost(spec.sync)
    if (changes.some((change) => change.kind === 'create')) forgetTable(database, spec)
    applyChanges(database, spec, changes)
    database.exec('COMMIT')
    const writer = new TableWriter(database, spec, context)
    const empty = database.prepare(`SELECT 1 FROM ${quote(ownedTable(spec))} LIMIT 1`).get() === undefined
    return [
      { spec, generation, writer },
      { checkpoint: readCheckpoint(database, spec), generation, empty },
    ]
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
}

/** The table is made anew, so what was remembered of one that somebody dropped, above all how far it had read, is void. */
function forgetTable(database: DatabaseSync, spec: TargetSpec): void {
  const table = ownedTable(spec)
  database
    .prepare('UPDATE _syncline_checkpoint SET cursor = NULL, fingerprint = NULL WHERE project = ? AND sync = ?')
    .run(spec.project, spec.sync)
  database.prepare('DELETE FROM _syncline_collection WHERE name = ?').run(table)
  database.exec(`DROP TABLE IF EXISTS ${quote(rowsTable(table))}; DROP TABLE IF EXISTS ${quote(keptTable(table))}`)
}

function openTransaction(
  database: DatabaseSync,
  file: string,
  claims: ReadonlyMap<SyncId, Claim>,
  context: Context,
): SinkTransaction {
  const claimOf = (sync: SyncId): Claim => {
    const claim = claims.get(sync)
    if (claim === undefined) throw new SyncError('LEASE_LOST', `sync ${sync} has not claimed its target`)
    return claim
  }
  return {
    put: async (sync, rows, options) => attempt(file, () => claimOf(sync).writer.put(rows, options.fresh)),
    putTogether: async (sync, rows) => {
      try {
        return await claimOf(sync).writer.putTogether(rows)
      } catch (error) {
        throw translate(error, file)
      }
    },
    delete: async (sync, keys) => attempt(file, () => claimOf(sync).writer.delete(keys)),
    reject: async (sync, rejected, settled) =>
      attempt(file, () => writeRejections(database, claimOf(sync).spec, rejected, settled, context.clock.now())),
    checkpoint: async (sync, checkpoint) => {
      const { spec, generation } = claimOf(sync)
      const sets = checkpoint === null ? '' : ', cursor = ?, fingerprint = ?'
      const values = checkpoint === null ? [] : [checkpoint.cursor, checkpoint.fingerprint]
      const { changes } = attempt(file, () =>
        database
          .prepare(
            `UPDATE _syncline_checkpoint SET updated_at = ?${sets} WHERE project = ? AND sync = ? AND generation = ?`,
          )
          .run(context.clock.now(), ...values, spec.project, spec.sync, generation),
      )
      if (changes !== 1) throw leaseLost(sync)
    },
    commit: async () => attempt(file, () => database.exec('COMMIT')),
    rollback: async () =>
      attempt(file, () => {
        if (database.isTransaction) database.exec('ROLLBACK')
        noteUndone(database)
      }),
  }
}

function leaseLost(sync: SyncId): SyncError {
  return new SyncError('LEASE_LOST', `another process took over sync ${sync}; this one writes nothing more`, {
    hint: 'Nothing is lost: the other process goes on from the last checkpoint.',
  })
}

function writeRejections(
  database: DatabaseSync,
  spec: TargetSpec,
  rejected: readonly Rejection[],
  settled: readonly (readonly unknown[])[],
  nowMs: number,
): void {
  const forget = database.prepare('DELETE FROM _syncline_rejected WHERE project = ? AND sync = ? AND key = ?')
  for (const key of settled) forget.run(spec.project, spec.sync, keyText(key as Rejection['key']))
  const add = database.prepare(
    'INSERT OR REPLACE INTO _syncline_rejected (project, sync, key, code, message, at) VALUES (?, ?, ?, ?, ?, ?)',
  )
  for (const { key, code, message } of rejected) add.run(spec.project, spec.sync, keyText(key), code, message, nowMs)
}

function readRejections(database: DatabaseSync, spec: TargetSpec): Rejection[] {
  // A target that no run has reached yet has no tables of ours.
  if (database.prepare("SELECT 1 FROM sqlite_schema WHERE name = '_syncline_rejected'").get() === undefined) return []
  return database
    .prepare('SELECT key, code, message FROM _syncline_rejected WHERE project = ? AND sync = ?')
    .all(spec.project, spec.sync)
    .map((row) => ({ key: parseKeyText(String(row.key)), code: String(row.code), message: String(row.message) }))
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

function reset(database: DatabaseSync, spec: Pick<TargetSpec, 'sync' | 'project' | 'collection'>, drop: boolean): void {
  database.exec('BEGIN IMMEDIATE')
  try {
    const table = ownedTable(spec)
    database
      .prepare(
        'UPDATE _syncline_checkpoint SET cursor = NULL, fingerprint = NULL, generation = generation + 1 WHERE project = ? AND sync = ?',
      )
      .run(spec.project, spec.sync)
    if (drop) dropTable(database, spec, table)
    database.exec('COMMIT')
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
}

/** Only a table that this sync made is dropped; one that it adopted stays, and is given up. Another's is not touched. */
function dropTable(database: DatabaseSync, spec: Pick<TargetSpec, 'sync' | 'project'>, table: string): void {
  database.prepare('DELETE FROM _syncline_rejected WHERE project = ? AND sync = ?').run(spec.project, spec.sync)
  const owner = ownerOf(database, table)
  if (owner?.project !== spec.project || owner.sync !== spec.sync) return
  database.prepare('DELETE FROM _syncline_collection WHERE name = ?').run(table)
  database.exec(`DROP TABLE IF EXISTS ${quote(rowsTable(table))}; DROP TABLE IF EXISTS ${quote(keptTable(table))}`)
  if (!owner.adopted) database.exec(`DROP TABLE IF EXISTS ${quote(table)}`)
}
