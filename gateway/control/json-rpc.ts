/** JSON-RPC 2.0 as a text in and a text out: what is called is handed to `call`, and knows nothing of it. */
import { ERRORS, type HearthError, toHearthError } from '../../functions/contract/errors.ts';

/** Calls of one batch. */
export const MAX_BATCH_CALLS = 100;
/** Of them at once: what a client may do with single calls, it need not be given more of with one. */
const AT_ONCE = 8;
/** Answers of one batch together. */
const MAX_BATCH_ANSWER_BYTES = 32 * 1024 * 1024;

const PARSE_ERROR = -32_700;
const INVALID_REQUEST = -32_600;
const METHOD_NOT_FOUND = -32_601;
const INTERNAL_ERROR = -32_603;
/** Whatever Hearth has a code of its own for, which is in `data`. */
const SERVER_ERROR = -32_000;

type Id = string | number | null;

export interface JsonRpcCall {
  method: string;
  args: unknown[];
}

/** Rejects with HearthError; NOT_FOUND: there is no such method. The result is JSON. */
export type CallMethod = (call: JsonRpcCall) => Promise<string>;

export interface JsonRpcAnswer {
  /** Null: only notifications were sent, which nobody answers. */
  text: string | null;
  /** Of a single call that failed and may do better later: for the status of the answer. */
  failed: HearthError | null;
}

/** Never rejects: what is wrong with the request is told in its answer. */
export async function answerJsonRpc(text: string, call: CallMethod): Promise<JsonRpcAnswer> {
  let request: unknown;
  try {
    request = JSON.parse(text);
  } catch {
    return single(errorText(null, PARSE_ERROR, 'The body is not JSON.', { code: 'BAD_REQUEST', status: 400 }));
  }
  if (!Array.isArray(request)) return answerOne(request, call);
  if (request.length === 0) return single(invalid(null, 'A batch holds at least one call.'));
  if (request.length > MAX_BATCH_CALLS) {
    return single(invalid(null, `A batch holds at most ${MAX_BATCH_CALLS} calls; this one has ${request.length}.`));
  }
  const answers = await answerAll(request, call);
  return single(answers.length === 0 ? null : `[${answers.join(',')}]`);
}

function single(text: string | null): JsonRpcAnswer {
  return { text, failed: null };
}

async function answerAll(requests: unknown[], call: CallMethod): Promise<string[]> {
  const answers: (string | null)[] = new Array(requests.length).fill(null);
  let next = 0;
  let leftBytes = MAX_BATCH_ANSWER_BYTES;
  const work = async () => {
    for (let i = next++; i < requests.length; i = next++) {
      const { text } = await answerOne(requests[i], call);
      if (text === null) continue;
      leftBytes -= Buffer.byteLength(text);
      answers[i] = leftBytes >= 0 ? text : tooMuch(requests[i]);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return answers.filter((answer) => answer !== null);
}

async function answerOne(request: unknown, call: CallMethod): Promise<JsonRpcAnswer> {
  if (typeof request !== 'object' || request === null || Array.isArray(request)) {
    return single(invalid(null, 'A call is an object.'));
  }
  const { jsonrpc, method, params, id } = request as Record<string, unknown>;
  const notifies = !('id' in request);
  const known: Id = typeof id === 'string' || typeof id === 'number' ? id : null;
  if (jsonrpc !== '2.0') return single(invalid(known, '"jsonrpc" has to be "2.0".'));
  if (typeof method !== 'string') return single(invalid(known, '"method" has to be a string.'));
  if (!notifies && id !== known) return single(invalid(null, '"id" has to be a string, a number or null.'));
  if (params !== undefined && (typeof params !== 'object' || params === null)) {
    return single(invalid(known, '"params" has to be an array, or an object, which is given as the one argument.'));
  }
  const args = Array.isArray(params) ? params : params === undefined ? [] : [params];
  try {
    const result = await call({ method, args });
    return single(notifies ? null : `{"jsonrpc":"2.0","result":${result},"id":${JSON.stringify(known)}}`);
  } catch (thrown) {
    const error = toHearthError(thrown);
    return { text: notifies ? null : failure(known, error), failed: ERRORS[error.code].retryable ? error : null };
  }
}

function failure(id: Id, error: HearthError): string {
  const { code, status, message } = error;
  const numbers: Partial<Record<HearthError['code'], number>> = {
    NOT_FOUND: METHOD_NOT_FOUND,
    INTERNAL: INTERNAL_ERROR,
  };
  return errorText(id, numbers[code] ?? SERVER_ERROR, message, { code, status });
}

function invalid(id: Id, message: string): string {
  return errorText(id, INVALID_REQUEST, message, { code: 'BAD_REQUEST', status: 400 });
}

function tooMuch(request: unknown): string {
  const { id } = request as { id?: Id };
  const message = 'The answers of the batch are too large together.';
  return errorText(id ?? null, SERVER_ERROR, message, { code: 'PAYLOAD_TOO_LARGE', status: 413 });
}

function errorText(id: Id, code: number, message: string, data: { code: string; status: number }): string {
  return JSON.stringify({ jsonrpc: '2.0', error: { code, message, data }, id });
}
