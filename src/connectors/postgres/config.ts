/** What a Postgres connection is set up with. */
import { z } from 'zod'
import { addressOf, mistakeIn, parameterNames, sslModes } from './address.ts'
import { limits } from './limits.ts'

/** A CA certificate file and how strictly the server's certificate is checked. */
export const tls = z.union([
  z.boolean(),
  z.strictObject({
    ca: z.string().optional().describe('file with the certificate authority, PEM'),
    cert: z.string().optional().describe('file with the client certificate, PEM'),
    key: z.string().optional().describe('file with the client key, PEM'),
    rejectUnauthorized: z.boolean().optional(),
    servername: z.string().optional(),
  }),
])

export const postgresConfig = z
  .strictObject({
    url: z
      .string()
      .regex(/^postgres(ql)?:\/\//, 'must begin with postgres:// (postgres://user:password@host:5432/database)')
      .optional()
      .describe('postgres://user:password@host:5432/database'),
    host: z.string().optional(),
    port: z.number().int().min(1).max(65535).optional(),
    user: z.string().optional(),
    password: z.string().optional(),
    database: z.string().optional(),
    tls: tls.optional(),
    connectTimeoutMs: z.number().int().positive().max(60000).default(10000),
    maxRowBytes: z
      .number()
      .int()
      .positive()
      .max(limits.rowBytes)
      .optional()
      .describe('a row that is larger, as text, is rejected by its key'),
    environment: z
      .boolean()
      .optional()
      .describe('false: nothing comes from PGHOST, PGPASSWORD and the like, or from .pgpass'),
  })
  .refine((config) => config.url !== undefined || config.host !== undefined, {
    message: 'give a url or a host',
    path: ['url'],
  })
  .superRefine((config, context) => {
    if (config.url === undefined) return
    for (const name of ['host', 'port', 'user', 'password', 'database'] as const)
      if (config[name] !== undefined)
        context.addIssue({ code: 'custom', path: [name], message: 'the url says it: give one of both' })
    const parameter =
      config.tls === undefined ? undefined : parameterNames(config.url).find((name) => /^ssl/.test(name))
    if (parameter !== undefined)
      context.addIssue({ code: 'custom', path: ['tls'], message: `the url says ${parameter}: give one of both` })
  })
  .superRefine((config, context) => {
    const mistake = config.url === undefined || config.environment === false ? null : mistakeIn(config.url)
    if (mistake !== null) context.addIssue({ code: 'custom', path: ['url'], message: mistake })
  })
  .superRefine((config, context) => {
    if (config.environment !== false) return
    for (const { path, message } of mistakesWithoutEnvironment(config))
      context.addIssue({ code: 'custom', path: [path], message })
  })
export type PostgresConfig = z.infer<typeof postgresConfig>

/** What a person writes: any text may also be `env('NAME')`. */
export type PostgresOptions = z.input<typeof postgresConfig>

/** The driver asks the environment for whatever is missing or empty. */
export function* mistakesWithoutEnvironment(
  config: {
    readonly [name in 'url' | 'host' | 'user' | 'password' | 'database']?: string | undefined
  },
): Iterable<{ readonly path: string; readonly message: string }> {
  const said = config.url === undefined ? config : addressOf(config.url)
  if (said === null) return yield { path: 'url', message: 'is no URL: percent-encode what is special in it' }
  const mistake = config.url === undefined ? null : mistakeIn(config.url)
  if (mistake !== null && (mistake.startsWith('says') || !mistake.includes('sslmode')))
    return yield { path: 'url', message: mistake }
  for (const name of ['host', 'user', 'password', 'database'] as const)
    if ((said[name] ?? '') === '')
      yield {
        path: config.url === undefined ? name : 'url',
        message: `must say ${name}: nothing is taken from the environment`,
      }
  if (!('parameters' in said)) return
  if (said.host?.startsWith('/'))
    yield { path: 'url', message: 'its host is a socket of this machine: say it as `host`' }
  for (const [name, value] of said.parameters)
    if (name !== 'sslmode' || !sslModes.has(value))
      yield {
        path: 'url',
        message: `takes no ${name === 'sslmode' ? `sslmode=${value}` : `parameter ${name}`}: take it out (there is only sslmode: ${[...sslModes.keys()].join(', ')})`,
      }
}
