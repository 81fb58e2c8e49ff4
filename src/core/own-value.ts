/**
 * Names that come from outside may be any, also `__proto__` and `constructor`. Objects that hold values by such names are made by
 * `Object.fromEntries` or by computed keys, which give every name a property of its own, and are read by this.
 */

/** What an object holds under a name itself, and not what every object has under it. */
export function ownValue<V>(values: Readonly<Record<string, V>>, name: string): V | undefined {
  return Object.hasOwn(values, name) ? values[name] : undefined
}
