/** `syncline init`: writes a starter config. */
import { existsSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import type { Command } from 'commander'
import { configNames, refuseOtherKind, writable } from '../../config/load.ts'
import { SyncError } from '../../core/error.ts'
import { exitCodes } from '../terminal/exit-code.ts'
import { type Shell, show } from '../terminal/shell.ts'
import type { Execute } from './command.ts'

export function addInit(program: Command, execute: Execute): void {
  program
    .command('init')
    .description('write a starter config; never overwrites one')
    .action(() => execute(init))
}

async function init(shell: Shell): Promise<number> {
  const path = refuseOtherKind(resolve(shell.folder, shell.config ?? configNames[0]), writable)
  const folder = dirname(path)
  const taken = [path, ...configNames.map((name) => join(folder, name))].find((candidate) => existsSync(candidate))
  if (taken !== undefined) {
    throw new SyncError('CONFIG_INVALID', `${taken} is there already`, { hint: 'Change it, or take it away first.' })
  }
  writeFileSync(path, path.endsWith('.json') ? starterJson : starter, { flag: 'wx' })
  show(shell, { event: 'init', path }, () => {
    shell.terminal.out(`Wrote ${path}\n\n${nextSteps(basename(path))}`)
  })
  return exitCodes.fine
}

function nextSteps(name: string): string {
  return `Next:
  1. write SHOP_URL=postgres://user:password@host:5432/database into .env beside it
  2. look through ${name}: which tables, and where to
  3. syncline collections shop   shows what is there
  4. syncline plan               shows what would happen, and writes nothing
  5. syncline run                brings the target up to date
  6. syncline verify             proves that both sides are equal`
}

// Put together, because these are the project's imports and not this file's: the layer test reads lines.
const imports = [
  ['defineConfig, env', 'syncline'],
  ['postgres', 'syncline/postgres'],
  ['sqlite', 'syncline/sqlite'],
].map(([names, entry]) => `import { ${names} } from '${entry}'`)

const starter = `${imports.join('\n')}

export default defineConfig({
  connections: {
    // The value comes from the environment, or from .env beside this file.
    shop: postgres({ url: env('SHOP_URL') }),
    warehouse: sqlite({ file: './warehouse.db' }),
  },
  syncs: {
    // One sync per table of the schema: everything/orders, everything/customers …
    everything: { from: 'shop', to: 'warehouse', collections: ['public.*'] },

    // One table, with a choice of rows and fields:
    // paid_orders: {
    //   from: 'shop.public.orders',
    //   to: 'warehouse.paid_orders',
    //   fields: { id: 'id', customer: 'customer_id', placed: { from: 'created_at' } },
    //   where: { status: { in: ['paid', 'shipped'] } },
    // },
  },
})
`

const starterJson = `${JSON.stringify(
  {
    connections: {
      shop: { connector: 'postgres', url: { env: 'SHOP_URL' } },
      warehouse: { connector: 'sqlite', file: './warehouse.db' },
    },
    syncs: { everything: { from: 'shop', to: 'warehouse', collections: ['public.*'] } },
  },
  null,
  2,
)}\n`
