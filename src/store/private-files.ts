/** What a project keeps on disk is its owner's: rows, secrets and what keys hash to. */
import { closeSync, existsSync, mkdirSync, openSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** Makes `.syncline`, where it is not there yet, so that version control leaves it out. */
export function makeHome(folder: string): void {
  makePrivateFolder(folder)
  const ignore = join(folder, '.gitignore')
  if (!existsSync(ignore)) writeFileSync(ignore, '*\n')
}

/** One that is there already stays as it is. */
export function makePrivateFolder(folder: string): void {
  // What it is in is made as any folder.
  mkdirSync(dirname(folder), { recursive: true })
  mkdirSync(folder, { recursive: true, mode: 0o700 })
}

/** For SQLite, which takes an empty file for a new database, and gives the files beside it the same mode. */
export function makePrivateFile(path: string): void {
  closeSync(openSync(path, 'a', 0o600))
}
