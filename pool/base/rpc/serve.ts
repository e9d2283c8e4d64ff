/**
 * An RPC invocation in the base that is called. What travels depends on who calls:
 *
 *   base     a session of Cap'n Web with another base, as long as either holds something of the other
 *   client   a session with a client beyond the gateway, which speaks over a WebSocket
 *   batch    a client's messages at once, one a line, and the answers to them
 *   json     one call, its arguments and its result as JSON
 */
import type { RpcInvokeHead } from '../../../functions/contract/invocation.ts';
import type { Entrypoint } from '../guest.ts';
import type { AnswerPump } from '../handlers/fetch.ts';
import { BatchCall } from './batch-call.ts';
import { JsonCall } from './json-call.ts';
import { NoEntrypointError, type ServeParts } from './served.ts';
import { SessionCall } from './session-call.ts';

/** Calls the entrypoint. Throws what its constructor throws, and NoEntrypointError. */
export function serveRpc(head: RpcInvokeHead, entrypoint: Entrypoint, parts: ServeParts): AnswerPump {
  const { target } = entrypoint;
  if (target === null) throw new NoEntrypointError(NO_CLASS);
  const main = target(parts.invocation);
  if (head.wire === 'json') return new JsonCall(head, main, parts);
  return head.wire === 'batch' ? new BatchCall(head, main, parts) : new SessionCall(head, main, parts);
}

const NO_CLASS = 'Only classes that extend WorkerEntrypoint can be called over RPC, and this export is none.';
