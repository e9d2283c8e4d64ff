/** Service bindings: a function calls another one with a Request, or by its methods; bytes pass both ways as they come. */
import { HearthError, toHearthError } from '../../functions/contract/errors.ts';
import type { BindingSpec, HeaderList, ResultHead } from '../../functions/contract/invocation.ts';
import type { ModuleSpec } from '../../pool/keeper/api.ts';
import type { Exchange, ExchangeHandler, LinkError } from '../../pool/link/link.ts';
import { EarlyBody, HttpAsk, PIECE_BYTES } from '../registry/ask.ts';
import type { FunctionEntry, Registry, VersionEntry } from '../registry/registry.ts';
import type { CallContext, Dispatched, Dispatcher, DispatchSink, TriggerHead } from '../triggers/dispatcher.ts';
import type { BodyRoom } from './body.ts';
import type { CheckedCalls } from './calls.ts';

export interface ServiceParts {
  registry: Pick<Registry, 'function' | 'isOpen'>;
  dispatcher: Pick<Dispatcher, 'dispatch'>;
}

/** Begins the call; everything further goes over the exchange. Throws HearthError when there is nobody to call. */
export function serviceCall(
  { registry, dispatcher }: ServiceParts,
  caller: Pick<ModuleSpec, 'trustGroup'>,
  binding: Extract<BindingSpec, { kind: 'service' }>,
  call: CheckedCalls['service'],
  context: CallContext,
  room: BodyRoom,
  exchange: Exchange,
): void {
  const { entry, version } = targetOf(registry, binding);
  // Whoever serves it in the end: who may not call any of them is not read.
  const by = call.op === 'service.rpc' ? 'methods' : 'fetch';
  requireReach(registry, caller.trustGroup, binding, by, version);
  const to = {
    ...(binding.entrypoint === undefined ? {} : { entrypoint: binding.entrypoint }),
    ...(binding.props === undefined ? {} : { props: binding.props }),
  };
  const relay = new ServiceRelay(exchange);
  const dispatch = (target: Target, head: TriggerHead): Dispatched => {
    requireReach(registry, caller.trustGroup, binding, by, target.version);
    return dispatcher.dispatch(target.entry, target.version, head, context, relay.answer, target.arm);
  };
  exchange.handler = relay;
  if (call.op === 'service.rpc') {
    // What is said in the session is the two bases' own business.
    const head = { trigger: 'rpc', wire: 'base', method: call.method, ...to } as const;
    relay.begin(dispatch(chosen({ entry, version }, null), head), true);
    return;
  }
  const { method, url, hasBody, upgrade } = call;
  const head = {
    trigger: 'http',
    method: normalMethod(method),
    url,
    headers: call.headers.filter(isEndToEnd),
    hasBody,
    upgrade,
    remoteAddress: '',
    ...to,
  } as const;
  const queryAt = url.indexOf('?');
  const askWith = (early: EarlyBody | null) =>
    new HttpAsk(head.headers, queryAt === -1 ? '' : url.slice(queryAt), early);
  const { plan } = entry;
  if (plan === null || plan.single !== null) relay.begin(dispatch({ entry, version }, head), hasBody || upgrade);
  else if (plan.needsBody && hasBody) {
    // While its body is read the traffic may move.
    relay.readAhead(room, (early) => dispatch(chosen(targetOf(registry, binding), askWith(early)), head));
  } else relay.begin(dispatch(chosen({ entry, version }, askWith(null)), head), hasBody || upgrade);
}

interface Target {
  entry: FunctionEntry;
  version: VersionEntry;
  /** What chose it; absent: there was nothing to choose. */
  arm?: string;
}

/** Throws NOT_FOUND. */
function targetOf(registry: Pick<Registry, 'function'>, { name, service }: { name: string; service: string }): Target {
  const entry = registry.function(service);
  if (entry?.active !== undefined) return { entry, version: entry.active };
  const message = `env.${name} calls "${service}", and no such function is active; deploy it first.`;
  throw new HearthError('NOT_FOUND', message);
}

function chosen({ entry, version }: Target, ask: HttpAsk | null): Target {
  return { entry, ...(entry.choose(ask) ?? { version }) };
}

/**
 * A manifest may name any function, so a binding gives no more across trust groups than any HTTP client has: what is
 * published and asks for no token, its default entrypoint, and no props for it to believe. Methods were never meant for
 * everybody: they are called from there where a publication says so. Throws FORBIDDEN.
 */
function requireReach(
  registry: Pick<Registry, 'isOpen'>,
  callerGroup: string,
  binding: Extract<BindingSpec, { kind: 'service' }>,
  by: 'fetch' | 'methods',
  { functionName, manifest: { hearth } }: VersionEntry,
): void {
  if (hearth.trustGroup === callerGroup) return;
  const open = registry.isOpen(functionName, by) && hearth.auth === null;
  if (open && binding.entrypoint === undefined && binding.props === undefined) return;
  const methods = by === 'fetch' ? '' : ', and its methods where the publication says "rpc": "methods"';
  throw new HearthError(
    'FORBIDDEN',
    `env.${binding.name} calls "${binding.service}" of another trust group: only the default entrypoint of a published ` +
      `function without hearth.auth can be called from there, and without props${methods}.`,
  );
}

/** A call whose version hangs on a field of its body. */
interface EarlyRead {
  room: BodyRoom;
  body: EarlyBody;
  choose(body: EarlyBody): Dispatched;
}

/**
 * Joins the caller's exchange with the invocation. Credit passes through: bytes count as consumed on one side when the
 * other side has taken them.
 */
class ServiceRelay implements ExchangeHandler {
  readonly answer: AnswerRelay;
  private readonly exchange: Exchange;
  private dispatched: Dispatched | null = null;
  private takesBody = false;
  private ended = false;
  /** Bytes of the request that the invocation has not taken. */
  private owedBytes = 0;
  /** While it is not known who is called. */
  private early: EarlyRead | null = null;

  constructor(exchange: Exchange) {
    this.exchange = exchange;
    this.answer = new AnswerRelay(exchange, this);
  }

  begin(dispatched: Dispatched, takesBody: boolean): void {
    this.dispatched = dispatched;
    this.takesBody = takesBody;
    if (!takesBody) dispatched.end();
  }

  /** The request's body comes first; `choose` then begins the call. */
  readAhead(room: BodyRoom, choose: EarlyRead['choose']): void {
    this.early = { room, choose, body: new EarlyBody() };
  }

  /** Who is called is chosen by what has come of the body, which goes on to it. */
  private decide(early: EarlyRead): void {
    const { choose, body } = early;
    this.close(early);
    try {
      this.begin(choose(body), true);
    } catch (error) {
      this.refuse(toHearthError(error));
      return;
    }
    for (let sent = 0; sent < body.content.byteLength; sent += PIECE_BYTES) {
      // What is more than it takes now is kept for it.
      this.dispatched?.write(body.content.subarray(sent, sent + PIECE_BYTES));
    }
    if (body.whole) this.dispatched?.end();
  }

  private refuse({ code, message }: HearthError): void {
    this.ended = true;
    this.exchange.cancel({ code, message });
  }

  head(): void {
    // Only the opener of an exchange is answered.
  }

  data(chunk: Uint8Array): void {
    const bytes = chunk.byteLength;
    const { early } = this;
    if (early !== null) {
      if (!early.room.budget.take(early.room.trustGroup, bytes)) {
        this.close(early);
        this.refuse(new HearthError('NO_CAPACITY', 'Too many bodies are read at once.', { retryAfterS: 1 }));
        return;
      }
      this.exchange.consumed(bytes);
      if (!early.body.add(chunk)) this.decide(early);
    } else if (!this.takesBody || this.dispatched === null) {
      this.exchange.cancel({ code: 'BAD_REQUEST', message: 'A body came that was not announced.' });
    } else if (this.dispatched.write(chunk)) {
      this.exchange.consumed(bytes);
    } else {
      this.owedBytes += bytes;
    }
  }

  end(): void {
    if (this.early !== null) {
      this.early.body.end();
      this.decide(this.early);
    } else if (this.takesBody) this.dispatched?.end();
  }

  private close({ room, body }: EarlyRead): void {
    this.early = null;
    room.budget.giveBack(room.trustGroup, body.content.byteLength);
  }

  drain(): void {
    this.answer.drained();
  }

  /** The caller has gone, or everything is said. */
  closed(error: LinkError | null): void {
    if (this.ended) return;
    this.ended = true;
    if (this.early !== null) this.close(this.early);
    if (!this.answer.complete) this.dispatched?.abort(error?.message ?? 'the caller went away');
  }

  /** The invocation takes more of the request. */
  taken(): void {
    if (this.owedBytes === 0) return;
    this.exchange.consumed(this.owedBytes);
    this.owedBytes = 0;
  }

  consumed(bytes: number): void {
    this.dispatched?.consumed(bytes);
  }
}

/** The invocation's answer on its way to the caller. */
class AnswerRelay implements DispatchSink {
  /** Ended or failed: nothing of the invocation is left to abort. */
  complete = false;
  private readonly exchange: Exchange;
  private readonly request: ServiceRelay;
  /** Bytes of the answer that have not gone on. */
  private owedBytes = 0;

  constructor(exchange: Exchange, request: ServiceRelay) {
    this.exchange = exchange;
    this.request = request;
  }

  head(head: ResultHead): void {
    try {
      this.exchange.sendHead(head);
    } catch (error) {
      // The callee is hostile too: a head may fit a frame as it came and not as it is written again.
      if (!(error instanceof RangeError)) throw error;
      this.exchange.cancel({ code: 'FUNCTION_EXCEPTION', message: 'The head of the answer is too large.' });
    }
  }

  data(chunk: Uint8Array): void {
    const bytes = chunk.byteLength;
    if (this.exchange.write(chunk)) this.request.consumed(bytes);
    else this.owedBytes += bytes;
  }

  end(): void {
    this.complete = true;
    // What of the request was not taken will not be: the caller must not wait to send it.
    this.request.taken();
    this.exchange.end();
  }

  failed(error: HearthError): void {
    this.complete = true;
    this.exchange.cancel({ code: error.code, message: error.message });
  }

  drain(): void {
    this.request.taken();
  }

  drained(): void {
    if (this.owedBytes === 0) return;
    this.request.consumed(this.owedBytes);
    this.owedBytes = 0;
  }
}

const NORMALIZED = new Set(['DELETE', 'GET', 'HEAD', 'OPTIONS', 'POST', 'PUT']);
const FORBIDDEN_METHODS = new Set(['CONNECT', 'TRACE', 'TRACK']);

/** As `new Request` does it: known methods in upper case, others as they are. Throws BAD_REQUEST for CONNECT, TRACE, TRACK. */
function normalMethod(method: string): string {
  const upper = method.toUpperCase();
  if (FORBIDDEN_METHODS.has(upper)) throw new HearthError('BAD_REQUEST', `${upper} is not a method for fetch.`);
  return NORMALIZED.has(upper) ? upper : method;
}

const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** What concerns one connection only, and what only the gateway says, stops here. */
function isEndToEnd([name]: HeaderList[number]): boolean {
  const lower = name.toLowerCase();
  return !HOP_BY_HOP.has(lower) && !lower.startsWith('hearth-');
}
