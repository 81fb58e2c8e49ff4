/** Errors as answers: Problem Details (RFC 9457) with our code and hint. */
import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { asSyncError, errorCodes, SyncError } from '../core/error.ts'

export function answerProblem(error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const known = toSyncError(error)
  // 499 is no status of HTTP's: who hung up does not see it.
  const status = known.status ?? errorCodes[known.error.code].status
  if (status >= 500) request.log.error({ code: known.error.code, route: request.routeOptions.url }, known.error.message)
  const { code, message, hint } = known.error
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

function toSyncError(error: FastifyError): { readonly error: SyncError; readonly status?: number } {
  if (error instanceof SyncError) return { error }
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
    return { error: new SyncError('USAGE_INVALID', error.message), status: statusCode }
  return { error: asSyncError(error) }
}
