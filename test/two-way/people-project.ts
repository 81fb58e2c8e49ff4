/** A project of two SQLite files whose people are kept alike, and what the command line says in it. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { temporaryFolder } from '../../tools/database.ts'
import { call, type Ended, writeConfig } from '../oracle/project.ts'

export const connections = {
  crm: { connector: 'sqlite', file: './crm.db' },
  shop: { connector: 'sqlite', file: './shop.db' },
}
export const people = {
  between: ['crm.people', 'shop.people'],
  match: ['email'],
  fields: { email: 'email', name: { right: 'full_name' }, phone: 'phone' },
  onConflict: 'ask',
}

/** What a line of JSON may hold, of all commands together. */
export interface Told {
  readonly event: string
  readonly id: string
  readonly run: string
  readonly status: string
  readonly kind: string
  readonly side: string
  readonly key: unknown
  readonly openedAt: string
  readonly fields: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  readonly history: readonly Told[]
  readonly pair: unknown
  readonly there: unknown
  readonly conflicts: readonly unknown[]
  readonly writes: readonly Told[]
  readonly reason: string
  readonly samples: readonly Told[]
  readonly left: unknown
  readonly right: unknown
  readonly inserts: number
  readonly updates: number
  readonly deletes: number
  readonly inserted: number
  readonly updated: number
  readonly deleted: number
  readonly held: boolean
  readonly rows: unknown
  readonly row: unknown
  readonly warnings: readonly string[]
  readonly conflictSamples: readonly Told[]
  readonly waiting: { readonly state: string; readonly code: string; readonly message: string } | null
  readonly equal: boolean
  readonly different: number
  readonly keys: { readonly different: unknown }
  readonly error: { readonly code: string; readonly message: string; readonly hint?: string }
}

export const told = (lines: Ended['lines']) => lines as unknown as readonly Told[]

/** The first line of a kind that a command told. */
export function first(lines: readonly Told[], event?: string): Told {
  const line = lines.find((one) => event === undefined || one.event === event)
  assert.ok(line !== undefined, `there is no line ${event ?? ''}`)
  return line
}

export interface Project extends AsyncDisposable {
  readonly folder: string
  readonly crm: (sql: string) => unknown[][]
  readonly shop: (sql: string) => unknown[][]
  /** Calls a command and fails the test if it did not end well. */
  readonly call: (...args: string[]) => Promise<readonly Told[]>
  readonly bytes: () => Promise<string[]>
}

/** Ann and Bob on both sides, and paired. */
export async function project(over: object = {}): Promise<Project> {
  const disposables = new AsyncDisposableStack()
  const folder = disposables.use(await temporaryFolder()).path
  const open = (file: string) => {
    const database = new DatabaseSync(join(folder, file))
    disposables.defer(() => database.close())
    return (sql: string): unknown[][] => {
      const statement = database.prepare(sql)
      statement.setReturnArrays(true)
      return statement.all() as unknown as unknown[][]
    }
  }
  const [crm, shop] = [open('crm.db'), open('shop.db')]
  crm('CREATE TABLE people (id INTEGER PRIMARY KEY, email TEXT, name TEXT, phone TEXT, changed TEXT)')
  shop('CREATE TABLE people (id INTEGER PRIMARY KEY, email TEXT, full_name TEXT, phone TEXT, changed TEXT)')
  crm("INSERT INTO people VALUES (1, 'ann@x.org', 'Ann', '1', '1'), (2, 'bob@x.org', 'Bob', '2', '1')")
  shop("INSERT INTO people VALUES (51, 'ann@x.org', 'Ann', '1', '1'), (52, 'bob@x.org', 'Bob', '2', '1')")
  await writeConfig(folder, { connections, syncs: { people: { ...people, ...over } } })
  const must = async (...args: string[]) => {
    const { code, lines, stderr } = await call(folder, ...args)
    assert.equal(code, 0, `${args.join(' ')}: ${stderr}`)
    return told(lines)
  }
  await must('run')
  return {
    folder,
    crm,
    shop,
    call: must,
    bytes: () =>
      Promise.all(
        ['crm.db', 'shop.db', '.syncline/state.db'].map(async (file) =>
          (await readFile(join(folder, file))).toString('base64'),
        ),
      ),
    [Symbol.asyncDispose]: () => disposables.disposeAsync(),
  }
}

/** Both sides give Ann another name, and the left another phone. */
export async function disagree({ crm, shop, call: must }: Project): Promise<string> {
  crm("UPDATE people SET name = 'Anna', phone = '9' WHERE id = 1")
  shop("UPDATE people SET full_name = 'Annie' WHERE id = 51")
  await must('run')
  const conflict = first(await must('conflicts'))
  return conflict.id
}

export const finished = (lines: readonly Told[]) => first(lines, 'run.finished')
