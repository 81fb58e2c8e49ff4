/** What a config says about integrations: their connectors, what is switched on, and when it runs. */
import { resolve } from 'node:path'
import { z } from 'zod'
import type { AnyConnector, WorkLimits } from '../connectors/kit.ts'
import { didYouMean } from '../core/name.ts'
import type { Integration } from '../engine/connections/connection-store.ts'
import { builtIn, connectors as builtIns } from './connectors.ts'
import { missingValue, resolveEnv, type Values } from './env.ts'
import { resolveFiles } from './files.ts'
import { type Mistake, zodMistakes } from './mistakes.ts'
import type { IntegrationSetup } from './project-config.ts'
import { bytes, schedule, text, timeout } from './sync-schema.ts'

/** Values, and the folder that relative paths are relative to. */
type Places = Values & { readonly folder: string }

/** Adds every mistake to `mistakes`; what has one is left out. */
export function parseIntegrations(raw: unknown, values: Places, mistakes: Mistake[]): IntegrationSetup {
  const { connectors: written = [], integrations = {} } = parts.safeParse(raw).data ?? {}
  const connectors = [...builtIns.map(({ connector }) => connector), ...written].filter(isKitConnector)
  mistakes.push(...connectorMistakes(written))
  return {
    connectors,
    integrations: Object.entries(integrations).flatMap(
      ([name, definition]) => parseIntegration(name, definition, connectors, values, mistakes) ?? [],
    ),
  }
}

/** The shape of both parts; what is inside is looked at one by one. */
export const parts = z.looseObject({
  connectors: z.array(z.unknown(), { error: 'expected a list of connectors' }).optional(),
  integrations: z.record(z.string(), z.unknown()).optional(),
})

const options = z.record(z.string(), z.unknown())

const integrationSchema = z.strictObject({
  connector: text,
  name: z.string().optional(),
  config: options.optional(),
  root: text.optional(),
  work: z.strictObject({ step: timeout.optional(), whole: timeout.optional(), memory: bytes.optional() }).optional(),
  syncs: z.array(text).optional(),
  actions: z.array(text).optional(),
  schedules: z.record(z.string(), schedule).optional(),
  minutesBetweenSyncs: z
    .number()
    .positive()
    .max(366 * 24 * 60)
    .optional(),
})

function connectorMistakes(written: readonly unknown[]): Mistake[] {
  const names = builtIns.map(({ connector }) => connector.name)
  return written.flatMap((value, at): Mistake[] => {
    const path = ['connectors', at]
    if (!isKitConnector(value))
      return [
        {
          path,
          message:
            'expected a connector made with defineConnector (from "syncline/connector"); built-in ones need not be listed',
        },
      ]
    const same = written.findIndex((other) => isKitConnector(other) && other.name === value.name)
    if (same < at || names.includes(value.name))
      return [{ path, message: `there is a connector "${value.name}" already` }]
    return []
  })
}

function parseIntegration(
  name: string,
  definition: unknown,
  connectors: readonly AnyConnector[],
  values: Places,
  mistakes: Mistake[],
): Integration | null {
  const before = mistakes.length
  const path = ['integrations', name]
  if (!/^[\w-]{1,100}$/.test(name)) mistakes.push({ path, message: 'a name is letters, digits, _ and -' })
  const resolved = resolveEnv(definition, path, values)
  for (const value of resolved.missing) mistakes.push(missingValue(value))
  const parsed = integrationSchema.safeParse(resolved.value)
  if (!parsed.success) {
    mistakes.push(...zodMistakes(parsed.error.issues, path, Object.keys(integrationSchema.shape)))
    return null
  }
  const {
    connector: connectorId,
    name: title,
    config,
    root,
    work,
    syncs,
    actions,
    schedules,
    minutesBetweenSyncs,
  } = parsed.data
  const connector = connectors.find((known) => known.name === connectorId)
  if (connector === undefined) {
    const names = connectors.map((known) => known.name)
    const others = didYouMean(connectorId, names) || `; there are ${names.join(', ')}`
    mistakes.push({ path: [...path, 'connector'], message: `no connector "${connectorId}"${others}` })
    return null
  }
  const { files } = builtIn(connectorId)
  if (root !== undefined && files.length === 0)
    mistakes.push({ path: [...path, 'root'], message: `connector "${connectorId}" has no options that name files` })
  if (work !== undefined && connector.openApart === null)
    mistakes.push({
      path: [...path, 'work'],
      message: `connector "${connectorId}" does not work in a process of its own`,
    })
  if ((work?.memory ?? LEAST_MEMORY) < LEAST_MEMORY)
    mistakes.push({ path: [...path, 'work', 'memory'], message: 'at least 128MB: the process alone needs 80' })
  mistakes.push(
    ...unknownNames('sync', syncs ?? [], [...connector.syncs.keys()], [...path, 'syncs']),
    ...unknownNames('action', actions ?? [], [...connector.actions.keys()], [...path, 'actions']),
    ...scheduleMistakes(schedules ?? {}, syncs ?? [...connector.syncs.keys()], [...path, 'schedules']),
  )
  if (mistakes.length > before) return null
  return {
    id: name,
    connectorId,
    ...(title === undefined ? {} : { name: title }),
    ...(config === undefined ? {} : { config: options.parse(resolveFiles(config, files, values.folder)) }),
    ...(root === undefined ? {} : { root: resolve(values.folder, root) }),
    ...(work === undefined ? {} : { work: workOf(work) }),
    ...(syncs === undefined ? {} : { syncs }),
    ...(actions === undefined ? {} : { actions }),
    ...(schedules === undefined ? {} : { schedules }),
    ...(minutesBetweenSyncs === undefined ? {} : { minutesBetweenSyncs }),
  }
}

const MB = 2 ** 20
const LEAST_MEMORY = 128 * MB

function workOf({ step, whole, memory }: z.output<typeof integrationSchema>['work'] & object): Partial<WorkLimits> {
  return {
    ...(step === undefined ? {} : { stepMs: step }),
    ...(whole === undefined ? {} : { wholeMs: whole }),
    ...(memory === undefined ? {} : { memoryMb: Math.floor(memory / MB) }),
  }
}

function unknownNames(
  kind: string,
  names: readonly string[],
  known: readonly string[],
  path: readonly PropertyKey[],
): Mistake[] {
  return names.flatMap((name, at) => {
    const others = didYouMean(name, known) || `; there are ${known.join(', ') || 'none'}`
    return known.includes(name) ? [] : [{ path: [...path, at], message: `no ${kind} "${name}"${others}` }]
  })
}

function scheduleMistakes(
  schedules: NonNullable<Integration['schedules']>,
  known: readonly string[],
  path: readonly PropertyKey[],
): Mistake[] {
  return Object.entries(schedules).flatMap(([name, { kind }]): Mistake[] => {
    if (!known.includes(name))
      return [{ path: [...path, name], message: `no sync "${name}" is switched on${didYouMean(name, known)}` }]
    // Which connection's sync it would run after, nothing here can say.
    return kind === 'after' ? [{ path: [...path, name], message: 'give a time: it can’t run after another sync' }] : []
  })
}

/** What `defineConnector` makes. */
function isKitConnector(value: unknown): value is AnyConnector {
  return (
    typeof value === 'function' &&
    'open' in value &&
    'config' in value &&
    'syncs' in value &&
    value.syncs instanceof Map &&
    'actions' in value &&
    value.actions instanceof Map
  )
}
