/** How results are spelled in JSON. */
import { printable } from '../../protocol/printable.ts'

/** One line of JSON. */
export function jsonLine(object: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(printable(object))
}
