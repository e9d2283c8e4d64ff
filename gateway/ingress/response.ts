/** From what a function answered, and how it was run, to the headers on the wire; and problem answers. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type HearthError, retryAfterOf, toProblem } from '../../functions/contract/errors.ts';
import { type HeaderList, monotonicMs } from '../../functions/contract/invocation.ts';
import type { InvokeFacts, Phases } from '../../pool/keeper/api.ts';
import { closeUnlessComplete, endWithUpload } from './linger.ts';

/** What is said of an invocation on each answer, also on a failed one. */
export interface AnswerFacts {
  invocationId: string;
  version: string;
  facts: InvokeFacts | null;
}

// Framing is the gateway's, hop-by-hop headers end here, and 'length' is given back apart.
const OWN = new Map<string, 'drop' | 'length'>([
  ['content-length', 'length'],
  ['transfer-encoding', 'drop'],
  ['connection', 'drop'],
  ['keep-alive', 'drop'],
  ['proxy-connection', 'drop'],
  ['proxy-authenticate', 'drop'],
  ['te', 'drop'],
  ['trailer', 'drop'],
  ['upgrade', 'drop'],
]);

/**
 * Adds a function's headers to `out`, names and values in turn as writeHead takes them. Returns the declared
 * content-length, -1 when there is none or it is not a number. A name may repeat.
 */
export function pushFunctionHeaders(out: string[], headers: HeaderList): number {
  let length = -1;
  for (const header of headers) {
    const name = header[0];
    const treatment = OWN.get(name);
    if (treatment === undefined) {
      if (name.charCodeAt(0) === 0x68 && name.startsWith('hearth-')) continue;
      out.push(name, header[1]);
    } else if (treatment === 'length') {
      length = parseLength(header[1]);
    }
  }
  return length;
}

export function pushFacts(out: string[], answer: AnswerFacts): void {
  out.push('hearth-invocation-id', answer.invocationId, 'hearth-version', answer.version);
  if (answer.facts === null) return;
  out.push(
    'hearth-start',
    answer.facts.start,
    'server-timing',
    serverTiming(answer.facts.phases, Math.max(0, monotonicMs() - answer.facts.headAt)),
  );
}

/**
 * `wait;dur=0.05, run;dur=0.41`, in ms to the microsecond; on a cold start the phases between stand in their order.
 * `sinceHeadMs`: from the base's answer until it is written, which is time inside Hearth too, and so counts as `run`.
 */
export function serverTiming(phases: Phases, sinceHeadMs: number): string {
  let text = `wait;dur=${round(phases.wait)}`;
  if (phases.acquire !== undefined) text += `, acquire;dur=${round(phases.acquire)}`;
  if (phases.transfer !== undefined) text += `, transfer;dur=${round(phases.transfer)}`;
  if (phases.compile !== undefined) text += `, compile;dur=${round(phases.compile)}`;
  if (phases.evaluate !== undefined) text += `, evaluate;dur=${round(phases.evaluate)}`;
  return `${text}, run;dur=${round(phases.run + sinceHeadMs)}`;
}

export function problemBody(error: HearthError, invocationId: string | null): string {
  return JSON.stringify(toProblem(error, invocationId ?? undefined));
}

/** Headers of a problem answer, names and values in turn. */
export function problemHeaders(error: HearthError, body: string, answer: AnswerFacts | null): string[] {
  const headers = ['content-type', 'application/problem+json', 'content-length', String(Buffer.byteLength(body))];
  headers.push('cache-control', 'no-store', 'x-content-type-options', 'nosniff');
  const retryAfter = retryAfterOf(error);
  if (retryAfter !== null) headers.push('retry-after', String(retryAfter));
  if (error.code === 'UNAUTHORIZED') headers.push('www-authenticate', 'Bearer');
  if (answer !== null) pushFacts(headers, answer);
  return headers;
}

/** For requests that never became an invocation. `status` where the error's own would say too little. */
export function writeProblem(
  req: IncomingMessage,
  res: ServerResponse,
  error: HearthError,
  status = error.status,
): void {
  const body = JSON.stringify({ ...toProblem(error), status });
  closeUnlessComplete(req, res);
  res.writeHead(status, problemHeaders(error, body, null));
  endWithUpload(req, res, req.method === 'HEAD' ? null : body);
}

/** A whole problem answer for a socket that no response object stands for; the connection has to be ended after it. */
export function rawProblem(status: number, reason: string, error: HearthError): string {
  const body = JSON.stringify({ ...toProblem(error), status });
  const headers = problemHeaders(error, body, null);
  let text = `HTTP/1.1 ${status} ${reason}\r\nconnection: close\r\n`;
  for (let i = 0; i < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\r\n`;
  return `${text}\r\n${body}`;
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

function parseLength(value: string): number {
  if (value === '' || value.length > 15) return -1;
  let length = 0;
  for (let i = 0; i < value.length; i++) {
    const digit = value.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    length = length * 10 + digit;
  }
  return length;
}
