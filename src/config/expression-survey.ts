/** What is in an expression: what may not be there, and whether one of its steps may take long. */

export interface ExpressionMistake {
  /** Says where: "at character 12". */
  readonly message: string
}

export interface Survey {
  readonly mistake: ExpressionMistake | null
  /** Each step takes no longer than reading its input once: looking at the clock between them is enough. */
  readonly quick: boolean
}

/** Not pure, or code made of data. */
export const refused: ReadonlyMap<string, string> = new Map([
  ['now', 'the same row must give the same value at any time'],
  ['millis', 'the same row must give the same value at any time'],
  ['random', 'the same row must give the same value every time'],
  ['shuffle', 'the same row must give the same value every time'],
  ['eval', 'rows may hold no code; $json(text) reads JSON'],
])
/** What the library asks at every step, which no expression may take away. */
export const HOOKS = ['__evaluate_entry', '__evaluate_exit']

/**
 * Steps that make nothing larger than what they are given. What is not here can: variables and constructors hold one value many times
 * over, and then comparing it, or making it a text, takes for ever in one step.
 */
const quickSteps = new Set(['path', 'name', 'string', 'number', 'value', 'condition', 'block', 'filter', 'function'])
const quickOperators = new Set('+ - * / % = != < <= > >= & and or in'.split(' '))
/** The value itself, and functions that read what they are given once. */
const quickVariables = new Set([
  ...[
    '',
    '$',
    'ask',
    'abs',
    'average',
    'boolean',
    'ceil',
    'contains',
    'count',
    'exists',
    'floor',
    'join',
    'json',
    'length',
  ],
  ...['lookup', 'lowercase', 'max', 'min', 'not', 'number', 'power', 'replace', 'round', 'split', 'sqrt', 'string'],
  ...['substring', 'substringAfter', 'substringBefore', 'sum', 'trim', 'type', 'uppercase'],
])

export function survey(ast: unknown): Survey {
  let mistake: ExpressionMistake | null = null
  let quick = true
  const visit = (node: unknown): void => {
    if (typeof node !== 'object' || node === null || node instanceof RegExp) return
    const [type, value, position] = ['type', 'value', 'position'].map((name) => Reflect.get(node, name))
    if (typeof type === 'string' && !isQuick(node, type, value)) quick = false
    for (const part of Object.values(node)) {
      if (typeof part === 'string' && HOOKS.includes(part)) mistake = { message: `"${part}" is not for expressions` }
      visit(part)
    }
    const reason = type === 'variable' ? refused.get(String(value)) : undefined
    if (reason !== undefined) mistake = { message: `$${value} is not there (at character ${position}): ${reason}` }
  }
  visit(ast)
  return { mistake, quick }
}

function isQuick(node: object, type: string, value: unknown): boolean {
  // Groups are constructors, and tuples hold variables.
  if ('group' in node || 'tuple' in node) return false
  if (type === 'variable') return quickVariables.has(String(value))
  if (type === 'binary') return quickOperators.has(String(value))
  return type === 'unary' ? value === '-' : quickSteps.has(type)
}
