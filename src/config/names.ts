/** How collections are called on the other side. */
import { formatName, parseName } from '../core/name.ts'
import { builtIn } from './connectors.ts'

/** A collection's name as its connector spells it: `orders` in Postgres is `public.orders`. */
export function fullName(name: string, system: string): string {
  const parts = parseName(name)
  const { defaultSchema } = builtIn(system)
  return formatName(defaultSchema === null || parts.length > 1 ? parts : [defaultSchema, ...parts])
}

/** What a collection is called in a target: `public.orders` → `orders`, `sales.orders` → `sales_orders` where there are no schemas. */
export function targetName(source: string, sourceSystem: string, targetSystem: string): string {
  if (builtIn(targetSystem).defaultSchema !== null) return fullName(source, targetSystem)
  return formatName([withoutDefaultSchema(source, sourceSystem).join('_')])
}

/** The short name that an expanded sync goes by: `orders`, `sales.orders`. */
export function shortName(source: string, sourceSystem: string): string {
  return formatName(withoutDefaultSchema(source, sourceSystem))
}

/** Equal for two spellings of one collection. */
export function sameName(name: string, system: string): string {
  return builtIn(system).caseSensitive ? name : name.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
}

function withoutDefaultSchema(name: string, system: string): string[] {
  const [schema, ...rest] = parseName(name)
  return schema !== undefined && rest.length > 0 && schema === builtIn(system).defaultSchema ? rest : parseName(name)
}
