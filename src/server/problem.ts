/** Errors as answers: Problem Details (RFC 9457) with our code and hint. */
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { asSyncError, errorCodes, SyncError, stackOf } from '../core/error.ts'
import type { Log } from '../core/log.ts'
import { redactError } from '../engine/secrets/redact.ts'

export type Redact = (text: string) => string

/** The error handler of a server. What went wrong inside is logged: the answer does not say it. `redact`: takes secrets out of what is told. */
export function problemAnswers(log: Log, redact: Redact = (text) => text) {
  return (error: unknown, request: FastifyRequest, reply: FastifyReply): void =>
    answer(error, request, reply, log, redact)
}

/** What is no request of HTTP's gets its answer before there is a reply. */
export function brokenRequests(error: Error & { readonly code?: string }, socket: Socket): void {
  const status = { HPE_HEADER_OVERFLOW: 431, ERR_HTTP_REQUEST_TIMEOUT: 408 }[error.code ?? ''] ?? 400
  const title = STATUS_CODES[status] ?? 'Error'
  const body = JSON.stringify({
    type: 'about:blank',
    title,
    status,
    code: 'USAGE_INVALID',
    detail: 'this is no whole request',
  })
  if (error.code !== 'ECONNRESET' && socket.writable)
    socket.write(
      `HTTP/1.1 ${status} ${title}\r\ncontent-type: application/problem+json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
    )
  socket.destroy(error)
}

function answer(error: unknown, request: FastifyRequest, reply: FastifyReply, log: Log, redact: Redact): void {
  const known = toSyncError(error)
  // 499 is no status of HTTP's: who hung up does not see it.
  const status = known.status ?? errorCodes[known.error.code].status
  const { code, message, hint } = redactError(known.error, redact)
  // That it stops is no news of it.
  if (status >= 500 && code !== 'SERVER_STOPPING')
    log(
      redact(`${request.method} ${request.routeOptions.url ?? ''}: ${code}: ${stackOf(known.error) ?? message}`),
      'error',
    )
  // What went wrong inside is in the log: it may name what is nobody's business.
  const detail = code === 'INTERNAL' ? 'something went wrong inside; the log says what' : message
  reply
    .code(status)
    .type('application/problem+json')
    .send({
      type: 'about:blank',
      title: STATUS_CODES[status] ?? 'Error',
      status,
      code,
      detail,
      ...(hint === null || code === 'INTERNAL' ? {} : { hint }),
    })
}

function toSyncError(error: unknown): { readonly error: SyncError; readonly status?: number } {
  if (error instanceof SyncError) return { error }
  if (isTooDeep(error))
    return { error: new SyncError('USAGE_INVALID', 'the request is nested too deep', { cause: error }), status: 400 }
  if (!isFastifyError(error)) return { error: asSyncError(error) }
  const { validation, statusCode } = error
  if (validation !== undefined) {
    const reasons = validation.map(
      ({ instancePath, message }) => `${instancePath.replace(/^\//, '').replaceAll('/', '.')}: ${message}`,
    )
    return {
      error: new SyncError(
        'USAGE_INVALID',
        `the request is not as it should be: ${reasons.join('; ').slice(0, 1000)}`,
        { hint: 'GET /docs describes every route.' },
      ),
      status: 400,
    }
  }
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return { error: new SyncError('USAGE_INVALID', error.message.slice(0, 1000)), status: statusCode }
  return { error: asSyncError(error) }
}

/** What a request holds is the only thing that recursion here follows. */
function isTooDeep(error: unknown): boolean {
  return error instanceof RangeError && error.message.includes('call stack')
}

function isFastifyError(error: unknown): error is FastifyError {
  return error instanceof Error && ('validation' in error || 'statusCode' in error)
}
