/** GET /docs: the description of the API as a page that a person reads, without scripts. */
import { escaped } from './escaped.ts'
import { linkTo, schemaText } from './schema-text.ts'

interface Described {
  readonly info?: { readonly title?: string; readonly version?: string }
  readonly paths?: Readonly<Record<string, unknown>>
  readonly components?: { readonly schemas?: Readonly<Record<string, object>> }
}

interface Operation {
  readonly summary?: string
  readonly description?: string
  readonly tags?: readonly string[]
  readonly parameters?: readonly {
    readonly name?: string
    readonly in?: string
    readonly required?: boolean
    readonly schema?: unknown
  }[]
  readonly requestBody?: { readonly content?: Content }
  readonly responses?: Readonly<Record<string, { readonly content?: Content }>>
}

interface Media {
  readonly schema?: { readonly $ref?: string }
}
type Content = Readonly<Record<string, Media>>

export function docsPage({ info, paths = {}, components }: Described): string {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods as Readonly<Record<string, Operation>>).map(([method, operation]) => ({
      path,
      method,
      operation,
    })),
  )
  const tags = [...new Set(operations.map(({ operation }) => operation.tags?.[0] ?? 'more'))]
  const sections = tags.map((tag) => {
    const ofTag = operations.filter(({ operation }) => (operation.tags?.[0] ?? 'more') === tag)
    return `<section><h2 id="${escaped(tag)}">${escaped(tag)}</h2>${ofTag.map(describe).join('')}</section>`
  })
  const schemas = Object.entries(components?.schemas ?? {}).map(
    ([name, schema]) =>
      `<article id="schema-${escaped(name)}"><h3>${escaped(name)}</h3><pre>${schemaText(schema)}</pre></article>`,
  )
  const links = [...tags, 'schemas'].map((tag) => `<a href="#${escaped(tag)}">${escaped(tag)}</a>`).join(' ')
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escaped(info?.title ?? '')} API</title><style>${style}</style></head><body>
<header><h1>${escaped(info?.title ?? '')} API</h1><p>Version ${escaped(info?.version ?? '')}. Keys go in <code>Authorization: Bearer slk_…</code>.
Errors are Problem Details with a <code>code</code> and, where there is one, a <code>hint</code>.
For programs: <a href="/openapi.json">openapi.json</a>.</p><nav>${links}</nav></header><main>${sections.join('')}<section><h2 id="schemas">schemas</h2>${schemas.join('')}</section></main></body></html>`
}

function describe({
  path,
  method,
  operation,
}: {
  readonly path: string
  readonly method: string
  readonly operation: Operation
}): string {
  const parameters = (operation.parameters ?? []).map(
    ({ name = '', in: where = '', required, schema }) =>
      `<tr><td><code>${escaped(name)}</code></td><td>${escaped(where)}${required === true ? ', required' : ''}</td><td>${shape(schema)}</td></tr>`,
  )
  const body = operation.requestBody?.content?.['application/json']?.schema
  return `<article><h3><b class="${escaped(method)}">${escaped(method.toUpperCase())}</b> <code>${escaped(path)}</code></h3>
<p>${escaped(operation.summary ?? '')}${operation.description === undefined ? '' : ` <small>${escaped(operation.description)}</small>`}</p>
${parameters.length === 0 ? '' : `<table>${parameters.join('')}</table>`}${bodyText(body)}${answersOf(operation)}</article>`
}

function bodyText(schema: Media['schema']): string {
  if (schema === undefined) return ''
  return schema.$ref === undefined ? `<p>Body:</p><pre>${shape(schema)}</pre>` : `<p>Body: ${linkTo(schema.$ref)}</p>`
}

/** Those that are no problems only: every route may answer one of those. */
function answersOf({ responses = {} }: Operation): string {
  const all = Object.entries(responses).flatMap(([status, response]) => {
    const told = '$ref' in response ? [] : Object.entries(response.content ?? { nothing: {} })
    return told
      .filter(([type]) => type !== 'application/problem+json')
      .map(
        ([type, { schema }]) => `<b>${status}</b> ${schema?.$ref === undefined ? escaped(type) : linkTo(schema.$ref)}`,
      )
  })
  return `<p>Answers: ${all.join(', ')}</p>`
}

function shape(schema: unknown): string {
  return escaped(
    JSON.stringify(
      schema,
      (name, value: unknown) => (name === '$schema' || name === 'additionalProperties' ? undefined : value),
      1,
    ) ?? '',
  )
}

const style = `
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}body{max-width:56rem;margin:0 auto;padding:1rem}
nav a{margin-right:1rem}article{border-top:1px solid #8884;padding:.5rem 0}h3{margin:.5rem 0;font-size:1rem}
b.get{color:#2a7}b.post{color:#38d}b.put{color:#b80}b.delete{color:#d44}
td{padding:.2rem 1rem .2rem 0;vertical-align:top}pre,td:last-child{font:13px/1.4 ui-monospace,monospace;white-space:pre-wrap;overflow-wrap:anywhere}
i{opacity:.75}i::before{content:'– '}pre{background:#8881;padding:.7rem;border-radius:.3rem}small{opacity:.75}`
