import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { confineFiles } from './files.ts'

describe('files of who may name them inside a folder only', () => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'syncline-files-')))
  after(() => rmSync(folder, { recursive: true, force: true }))
  const root = join(folder, 'customers')
  for (const name of ['customers/deep', 'customers/.syncline', 'customers-of-another', 'secret'])
    mkdirSync(join(folder, name), { recursive: true })
  writeFileSync(join(folder, 'secret', 'a.db'), '')
  symlinkSync(join(folder, 'secret'), join(root, 'out'))
  symlinkSync(join(folder, 'secret', 'a.db'), join(root, 'a.db'))
  symlinkSync(join(folder, 'secret', 'not-yet.db'), join(root, 'not-yet.db'))
  symlinkSync(join(root, 'deep'), join(root, 'in'))
  const given = (file: unknown, within: string | null = root) => confineFiles({ file, track: 'none' }, ['file'], within)

  test('are relative to it', () => {
    for (const file of ['new.db', './new.db', 'deep/../new.db', join(root, 'new.db')])
      assert.deepEqual(given(file), { file: join(root, 'new.db'), track: 'none' })
    assert.deepEqual(given('in/new.db'), { file: join(root, 'in', 'new.db'), track: 'none' })
    assert.deepEqual(given('nowhere/yet/new.db'), { file: join(root, 'nowhere/yet/new.db'), track: 'none' })
  })

  for (const file of [
    ...['..', '.', '../secret/a.db', 'deep/../../secret/a.db', '../customers-of-another/a.db', '/etc/passwd'],
    ...['out/a.db', 'out/new.db', 'a.db', 'not-yet.db', 'a\0b'],
    ...['.syncline/state.db', 'deep/../.syncline/state.db', '.Syncline/new.db', 'deep/.syncline/x'],
    ...['file:../secret/a.db', 'file:/etc/passwd?mode=ro'],
  ])
    test(`${JSON.stringify(file)} is refused`, () => {
      assert.throws(() => given(file), { code: 'CONFIG_INVALID', message: /^file: / })
    })

  test('without a folder none may be named', () => {
    assert.throws(() => given('a.db', null), { code: 'CONFIG_INVALID', hint: /root/ })
    const tls = { url: 'postgres://h/d', tls: { ca: 'x' } }
    assert.throws(() => confineFiles(tls, ['tls.ca'], null), { code: 'CONFIG_INVALID', message: /^tls\.ca: / })
    assert.deepEqual(given(':memory:', null), { file: ':memory:', track: 'none' })
    assert.deepEqual(confineFiles({ tls: true }, ['tls.ca'], null), { tls: true })
  })
})
