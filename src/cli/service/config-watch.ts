/** Tells when a config file has been saved. */
import { type FSWatcher, watch } from 'node:fs'
import { basename, dirname } from 'node:path'

/** Editors save in several steps: the last one counts. */
const QUIET_MS = 200

/** Calls `changed` after each save; null: watches nothing. The folder is watched, because editors replace the file. */
export function watchConfig(path: string | null, changed: () => Promise<void>): Disposable {
  if (path === null) return { [Symbol.dispose]: () => {} }
  const names = [basename(path), '.env']
  let timer: NodeJS.Timeout | undefined
  let watcher: FSWatcher | null = null
  const soon = () => {
    clearTimeout(timer)
    timer = setTimeout(() => void changed(), QUIET_MS)
  }
  try {
    watcher = watch(dirname(path), (_event, name) => {
      if (name !== null && names.includes(name)) soon()
    })
    watcher.on('error', () => watcher?.close())
  } catch {
    // Some file systems can't be watched: then a restart takes changes up.
  }
  return {
    [Symbol.dispose]: () => {
      clearTimeout(timer)
      watcher?.close()
    },
  }
}
