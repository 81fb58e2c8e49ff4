/** Which version of Syncline this is. */
import { readFileSync } from 'node:fs'

/** Of the package that this file is in, as source or built: the manifest is two folders up. */
export function version(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest ? String(manifest.version) : '?'
}
