/** Which connections of a config can act, and for which projects. */
import type { ActingConnection } from '../engine/connections/actions.ts'
import type { LoadedConfig } from './load.ts'

/** A connection of the config that can act. It is of a project if it is of no other. */
export function actingIn(config: LoadedConfig, connection: string): ActingConnection | null {
  const acting = config.connections.get(connection)?.acting ?? null
  const [project = null, ...others] = projectsOf(connection, config)
  return acting === null ? null : { ...acting, project: others.length === 0 ? project : null }
}

/** The projects whose keys may use a connection. */
export function projectsOf(connection: string, { projects }: LoadedConfig): readonly string[] {
  return [...projects].filter(([, connections]) => connections.includes(connection)).map(([name]) => name)
}
