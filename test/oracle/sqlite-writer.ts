import type { SourceOptions, SourceSide } from './sides.ts'
export async function sqliteSource(_options: SourceOptions, _tracked: boolean): Promise<SourceSide> {
  throw new Error('not yet')
}
