/** `assets.binding`: a function asks for a static asset of its own version, by the rules that hold on the function port. */
import { HearthError } from '../../functions/contract/errors.ts';
import { type AssetsSpec, type HttpResponseHead, monotonicMs } from '../../functions/contract/invocation.ts';
import type { ModuleSpec } from '../../pool/keeper/api.ts';
import type { Exchange } from '../../pool/link/link.ts';
import { answerOf } from '../ingress/assets/answer.ts';
import { chooseAsset } from '../ingress/assets/choose.ts';
import { PART_BYTES } from '../ingress/assets/contents.ts';
import type { AssetLibrary } from '../ingress/assets/library.ts';
import type { CheckedCalls } from './calls.ts';
import { sendParts } from './file-parts.ts';
import type { ReadGate } from './read-gate.ts';

/** Answers the call. Host and prefix of the URL do not count. Rejects with HearthError. */
export async function assetsCall(
  { library, gate }: { library: AssetLibrary; gate: ReadGate },
  { functionName, trustGroup }: Pick<ModuleSpec, 'functionName' | 'trustGroup'>,
  settings: AssetsSpec,
  { method, url, headers }: CheckedCalls['assets'],
  exchange: Exchange,
): Promise<void> {
  const { pathname, search } = new URL(url);
  const listing = await library.listing(functionName, settings.listing);
  const reads = method === 'GET' || method === 'HEAD';
  const outcome = chooseAsset(listing, settings, pathname);
  if (outcome.kind === 'none' || !reads) {
    exchange.sendHead(headOf(outcome.kind === 'none' ? 404 : 405, []), null, true);
    return;
  }
  const etags = headers.find(([name]) => name.toLowerCase() === 'if-none-match')?.[1] ?? '';
  const answer = answerOf(outcome, { method, prefix: '', query: search, etags });
  const head = headOf(answer.status, answer.headers);
  const { content } = answer;
  if (content === null) {
    exchange.sendHead(head, null, true);
    return;
  }
  const read = async (number: number) => {
    if (number * PART_BYTES >= content.bytes) throw new HearthError('INTERNAL', 'An asset has no such part.');
    return await library.part(functionName, content, number);
  };
  await sendParts({ read, gate, trustGroup, exchange }, head, { offset: 0, length: content.bytes }, PART_BYTES);
}

function headOf(status: number, headers: HttpResponseHead['headers']): HttpResponseHead {
  return {
    kind: 'response',
    status,
    statusText: '',
    headers,
    calledAt: monotonicMs(),
    waiting: false,
    webSocket: false,
  };
}
