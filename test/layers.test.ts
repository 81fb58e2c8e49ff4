import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { circles, importsOf, violations } from '../tools/layers.ts'

const root = join(import.meta.dirname, '..')

const files = globSync('**/*.ts', { cwd: join(root, 'src') })
  .map((path) => path.replaceAll('\\', '/'))
  .filter((path) => !path.endsWith('.test.ts'))
  .map((path) => ({ path, imports: importsOf(readFileSync(join(root, 'src', path), 'utf8')) }))

describe('imports in a circle', () => {
  test('there are none in src', () => {
    assert.ok(files.length > 0)
    assert.deepEqual(circles(files), [])
  })

  test('are found, directly and by others, also for types', () => {
    const source = "import type { A } from './a.ts'"
    const found = circles([
      { path: 'x/a.ts', imports: ['./b.ts', 'pg'] },
      { path: 'x/b.ts', imports: ['../y/c.ts'] },
      { path: 'y/c.ts', imports: ['../x/a.ts', './d.ts'] },
      { path: 'y/d.ts', imports: [] },
      { path: 'y/e.ts', imports: ['./f.ts'] },
      { path: 'y/f.ts', imports: ['./e.ts'] },
    ])
    assert.deepEqual(found, [
      'src/x/a.ts → src/x/b.ts → src/y/c.ts → src/x/a.ts',
      'src/y/e.ts → src/y/f.ts → src/y/e.ts',
    ])
    assert.deepEqual(circles([{ path: 'a.ts', imports: importsOf(source) }]), ['src/a.ts → src/a.ts'])
  })
})

describe('the layer rule', () => {
  test('every import in src points left', () => {
    assert.deepEqual(violations(files), [])
  })

  const forbidden: readonly (readonly [path: string, specifier: string])[] = [
    ['core/diff.ts', '../engine/run.ts'],
    ['core/diff.ts', 'node:fs'],
    ['core/diff.ts', 'crypto'],
    ['protocol/message.ts', 'node:buffer'],
    ['client/storage/sqlite.ts', 'node:sqlite'],
    ['connectors/postgres/read.ts', '../../store/store.ts'],
    ['connectors/postgres/read.ts', '../sqlite/types.ts'],
    ['connectors/sql/registry.ts', '../postgres/table.ts'],
    ['store/sqlite/store.ts', '../../protocol/message.ts'],
    ['protocol/message.ts', '../connectors/connector.ts'],
    ['engine/two-way/run.ts', '../client/client.ts'],
    ['client/client.ts', '../engine/run.ts'],
    ['engine/one-way/run.ts', 'node:crypto'],
    ['engine/one-way/run.ts', '../two-way/run.ts'],
    ['engine/two-way/run.ts', '../one-way/open.ts'],
    ['engine/two-way/run.ts', '../runs/run-sync.ts'],
    ['engine/secrets/vault.ts', '../calls/semaphore.ts'],
    ['engine/project.ts', './secrets/vault.ts'],
    ['engine/elsewhere/new.ts', '../secrets/vault.ts'],
    ['engine/queue/service.ts', '../engine.ts'],
    ['cli/terminal/shell.ts', '../commands/run.ts'],
    ['cli/commands/run.ts', '../main.ts'],
    ['config/load.ts', '../server/app.ts'],
    ['server/app.ts', '../config/load.ts'],
    ['server/app.ts', '../cli/main.ts'],
    ['plugins/host.ts', '../engine/run.ts'],
    ['testing/index.ts', '../server/app.ts'],
    ['index.ts', './connectors/postgres/index.ts'],
    ['engine/two-way/run.ts', 'pg'],
    ['connectors/sqlite/read.ts', 'pg'],
    ['engine/two-way/run.ts', 'syncline/postgres'],
    ['engine/two-way/run.ts', '../../tools/database.ts'],
    ['elsewhere/new.ts', '../core/row.ts'],
  ]
  for (const [path, specifier] of forbidden) {
    test(`${path} may not import ${specifier}`, () => {
      const found = violations([{ path, imports: [specifier] }])
      assert.equal(found.length, 1)
      assert.ok(found[0]?.startsWith(`src/${path} imports ${specifier}: `))
    })
  }

  test('what points left is allowed', () => {
    const allowed = [
      { path: 'core/diff.ts', imports: ['./row.ts'] },
      {
        path: 'connectors/postgres/read.ts',
        imports: ['../../core/row.ts', '../connector.ts', '../sql/registry.ts', './types.ts', 'pg', 'node:net'],
      },
      { path: 'connectors/sql/registry.ts', imports: ['../connector.ts', './session.ts'] },
      { path: 'store/postgres/store.ts', imports: ['pg', '../store.ts'] },
      {
        path: 'engine/two-way/run.ts',
        imports: ['../../connectors/connector.ts', '../../store/store.ts', 'node:crypto'],
      },
      { path: 'client/client.ts', imports: ['../protocol/message.ts', 'zod'] },
      { path: 'engine/runs/run-sync.ts', imports: ['../one-way/run.ts', '../project.ts', '../two-way/run.ts'] },
      { path: 'engine/engine.ts', imports: ['./queue/service.ts', './clock.ts'] },
      { path: 'plugins/host.ts', imports: ['../engine/one-way/run.ts', '../client/client.ts'] },
      { path: 'testing/index.ts', imports: ['../engine/engine.ts'] },
      {
        path: 'cli/commands/start.ts',
        imports: ['../../server/app.ts', '../../config/load.ts', 'commander', '../version.ts'],
      },
      { path: 'cli/main.ts', imports: ['./commands/run.ts'] },
      { path: 'index.ts', imports: ['./core/sync.ts', './config/config.ts'] },
    ]
    assert.deepEqual(violations(allowed), [])
  })

  test('imports are found however they are written, and not in comments or strings', () => {
    const source = `
      // import a from 'comment-line'
      /* import b from 'comment-block' */
      import c from 'default'
      import { type D,
        e } from "several-lines"
      import type { F } from 'type-only'
      import 'side-effect'
      import * as g from 'namespace'; import h from 'same-line'
      export * from 'export-all'
      export { i } from 'export-some'
      const url = 'https://example.org/from "nowhere"' // export from 'trailing-comment'
      const j = await import('dynamic')
      export const from = 'no-import'
      const k: import('type-query').K = l`
    assert.deepEqual([...importsOf(source)].sort(), [
      ...['default', 'dynamic', 'export-all', 'export-some', 'namespace', 'same-line'],
      ...['several-lines', 'side-effect', 'type-only', 'type-query'],
    ])
  })
})

test('ARCHITECTURE.md names files that there are', () => {
  const text = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8')
  const named = text.match(/\b(?:core|connectors|store|engine|config|server|cli)\/[\w/-]+\.ts\b/g) ?? []
  assert.ok(named.length > 20)
  assert.deepEqual(
    named.filter((path) => !existsSync(join(root, 'src', path))),
    [],
  )
})

describe('drivers', () => {
  /** The URLs of all modules that `specifier` loads in a new process. */
  function loadedBy(specifier: string): readonly string[] {
    const script = `
      import { registerHooks } from 'node:module'
      const urls = []
      registerHooks({
        load(url, context, next) {
          urls.push(url)
          return next(url, context)
        },
      })
      await import(${JSON.stringify(specifier)})
      console.log(JSON.stringify(urls))`
    const flags = ['--conditions=syncline-source', '--disable-warning=ExperimentalWarning', '--input-type=module']
    const output = execFileSync(process.execPath, [...flags, '-e', script], { cwd: root, encoding: 'utf8' })
    return JSON.parse(output) as readonly string[]
  }
  const isDriver = (url: string) => /\/node_modules\/(pg[-/]|mongodb|mysql|mariadb)/.test(url)

  test("`import 'syncline'` loads none", () => {
    const loaded = loadedBy('syncline')
    assert.ok(loaded.some((url) => url.endsWith('/src/index.ts')))
    assert.deepEqual(loaded.filter(isDriver), [])
  })

  test('the server loads no description of its answers before somebody asks for it', () => {
    const loaded = loadedBy('./src/server/app.ts')
    assert.ok(loaded.some((url) => url.endsWith('/src/server/routes/index.ts')))
    assert.deepEqual(
      loaded.filter((url) => /\/src\/server\/(answers\/\w+|document|docs-page)\.ts$/.test(url)),
      [],
    )
  })

  test('would be seen if one were loaded', () => {
    assert.ok(loadedBy('pg').some(isDriver))
  })
})
