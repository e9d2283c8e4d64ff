/**
 * One version loaded into one base.
 *
 *   acquiring ──base, image, files──► loading ──loaded──► ready ──retire, timeout──► draining ──last one out──► gone
 *       └────────────────────────────────┴──── failed, base died ─────────────────────────────────────────────┘
 */
import { HearthError, isErrorCode } from '../../functions/contract/errors.ts';
import {
  type BaseEvent,
  type LoadedHead,
  type LoadHead,
  type LoadTimes,
  monotonicMs,
} from '../../functions/contract/invocation.ts';
import { LINK_CLOSED } from '../link/connection.ts';
import { MAX_BODY_BYTES, ProtocolViolation } from '../link/frames.ts';
import type { Exchange, LinkError } from '../link/link.ts';
import type { KeeperHooks, ModuleImage, ModuleSpec } from './api.ts';
import { writeModuleFiles } from './files.ts';
import type { Base } from './hosts/base.ts';
import { errorOfFault, type Fault } from './hosts/fault.ts';
import type { Invocation } from './invocation.ts';
import { type Place, type Room, type Tenant, type TenantOwner, tellCalls } from './place.ts';
import { LoopWatch } from './upkeep/loop-watch.ts';
import { bindingCall, loadedHead } from './validate.ts';

export type InstanceState = 'acquiring' | 'loading' | 'ready' | 'draining' | 'gone';

const MOVES: Record<InstanceState, readonly InstanceState[]> = {
  acquiring: ['loading', 'gone'],
  loading: ['ready', 'draining', 'gone'],
  ready: ['draining', 'gone'],
  draining: ['gone'],
  gone: [],
};

export interface InstanceOwner extends TenantOwner {
  ready(instance: Instance): void;
  /** It is gone; `error` when it never became ready. */
  gone(instance: Instance, error: HearthError | null): void;
  /** It was called by neighbours in its base, past the gateway. */
  used(instance: Instance): void;
  /** It has not answered for longer than it may: is its thread blocked? */
  suspect(instance: Instance): void;
}

export interface Loaded {
  head: LoadedHead;
  codeCache: Uint8Array | null;
}

/** An idle base with its part of a host, before it holds anything. */
const BASE_MB = 15;

export class Instance implements Tenant {
  readonly spec: ModuleSpec;
  readonly owner: InstanceOwner;
  inFlight = 0;
  /** Monotonic ms. */
  acquiredAt = 0;
  readyAt = 0;
  lastUsedAt = 0;
  /** Calls it counts as having beyond those it has, while it is new; see scaling.ts. */
  handicap = 0;
  readonly loop = new LoopWatch();
  times: LoadTimes | null = null;
  readonly loaded = Promise.withResolvers<Loaded>();
  readonly #hooks: KeeperHooks;
  readonly #wantCodeCache: boolean;
  #place: Place | null = null;
  #state: InstanceState = 'acquiring';
  #failure: HearthError | null = null;
  /** Why it drains: what the pool's events say when it has gone. */
  #drainedFor = '';
  #diedOf = 'its link closed';

  constructor(spec: ModuleSpec, wantCodeCache: boolean, owner: InstanceOwner, hooks: KeeperHooks) {
    this.spec = spec;
    this.#wantCodeCache = wantCodeCache;
    this.owner = owner;
    this.#hooks = hooks;
    // Who waits for it is the probe alone; elsewhere a failure reaches the invocations.
    this.loaded.promise.catch(() => undefined);
  }

  get state(): InstanceState {
    return this.#state;
  }

  /** It has got as far as a base of its own. */
  get placed(): boolean {
    return this.#place !== null;
  }

  /** Other modules stand in its base, or may. */
  get shared(): boolean {
    return this.#place?.shared ?? false;
  }

  /** Why it never became ready; null while it may, and when its base just died. */
  get failure(): HearthError | null {
    return this.#failure;
  }

  get base(): Base {
    return this.#placed().base;
  }

  /** Its module's name on the link. */
  get module(): string {
    return this.#placed().module;
  }

  #placed(): Place {
    if (this.#place === null) throw new Error('This instance has no base yet.');
    return this.#place;
  }

  /** What it takes, its part of its base included, MB; null while nobody has measured it. */
  get memoryMb(): number | null {
    const held = this.#place?.base.heldMb ?? null;
    return held === null || this.#place === null ? null : (held + BASE_MB) * this.#place.share;
  }

  /** May take one more invocation now. */
  get free(): boolean {
    if (this.#state !== 'ready' && this.#state !== 'loading') return false;
    return this.inFlight < this.spec.limits.concurrency && this.#place?.base.profiled !== 'heap';
  }

  /** The load leaves at once when image and files are at hand: then the first invocation goes in the same write. */
  begin(room: Room): void | Promise<void> {
    const place = room.admit(this);
    this.#place = place;
    const image = this.spec.image();
    if (!(image instanceof Promise) && image.files.length === 0) {
      this.#load(place, image, null);
      return;
    }
    return this.#prepare(place, image);
  }

  async #prepare(place: Place, pending: ModuleImage | Promise<ModuleImage>): Promise<void> {
    try {
      const image = await pending;
      if (image.files.length > 0) await writeModuleFiles(place.filesDir, image.files);
      const wanted = this.#state === 'acquiring' && place.base.state === 'leased';
      if (wanted) this.#load(place, image, image.files.length > 0 ? place.filesDir : null);
      else place.leave('nobody waits for it any more');
    } catch (error) {
      this.#failure ??= new HearthError('NO_CAPACITY', 'The code of the function could not be read.', { cause: error });
      place.leave(String(error));
    }
  }

  #load({ base, module, number }: Place, image: ModuleImage, filesDir: string | null): void {
    const { spec } = this;
    const head: LoadHead = {
      kind: 'load',
      module,
      functionName: spec.functionName,
      version: spec.version,
      format: image.format,
      codeBytes: image.code.length,
      cacheBytes: image.codeCache?.length ?? 0,
      filesDir,
      rehearsal: false,
      vars: spec.vars,
      jsonVars: spec.jsonVars,
      bindings: spec.bindings,
      network: spec.network,
      cpuMs: spec.limits.cpuMs,
      memoryMb: spec.limits.memoryMb,
      wantCodeCache: this.#wantCodeCache,
      ...(spec.group === null ? {} : { group: { place: number, timeoutMs: spec.limits.timeoutMs } }),
    };
    let answer: LoadedHead | null = null;
    const cache: Uint8Array[] = [];
    // One frame for most functions: a thread that has slept takes its time with each.
    const small = head.codeBytes + head.cacheBytes <= MAX_BODY_BYTES;
    const body = image.codeCache !== null && small ? Buffer.concat([image.code, image.codeCache]) : image.code;
    const rest = small ? null : image.codeCache;
    this.#move('loading');
    this.acquiredAt = monotonicMs();
    const exchange = base.open(
      head,
      {
        head: (raw) => {
          answer = loadedHead(raw);
          this.times = answer;
          this.readyAt = monotonicMs();
        },
        data: (chunk) => {
          cache.push(chunk);
          exchange.consumed(chunk.length);
        },
        end: () => undefined,
        drain: () => undefined,
        closed: (error) => this.#onLoaded(answer, Buffer.concat(cache), error),
      },
      body,
      rest === null,
    );
    if (rest !== null) {
      exchange.write(rest);
      exchange.end();
    }
  }

  #onLoaded(head: LoadedHead | null, codeCache: Uint8Array, error: LinkError | null): void {
    if (head !== null && error === null) {
      if (this.#state === 'loading') this.#move('ready');
      this.loaded.resolve({ head, codeCache: codeCache.length === 0 ? null : codeCache });
      this.lastUsedAt = this.readyAt;
      if (this.#state !== 'ready') return;
      this.#place?.ready();
      this.owner.ready(this);
      return;
    }
    if (error?.code !== LINK_CLOSED) {
      const code = error !== null && isErrorCode(error.code) ? error.code : 'PROBE_FAILED';
      this.#failure = new HearthError(code, error?.message ?? 'The code did not load.', {
        functionStack: error?.stack,
      });
    }
    this.#place?.leave('its module did not load');
  }

  /** A module that never comes to the end of its top level is given up as a call would be. */
  giveUpLoading(now: number): void {
    const { timeoutMs } = this.spec.limits;
    if (this.readyAt > 0 || this.acquiredAt === 0 || (this.#state !== 'loading' && this.#state !== 'draining')) return;
    const place = this.#placed();
    if (now - this.acquiredAt < place.patienceMs(timeoutMs)) return;
    const why = `The code did not load within ${timeoutMs} ms.`;
    this.#failure ??= new HearthError('PROBE_FAILED', why);
    if (!place.shared) {
      place.end(why, { kind: 'blocked' });
      return;
    }
    // Others may serve beside it: only if they do not either is it the base that goes.
    this.owner.suspect(this);
    place.leave(why);
  }

  expectSettled(invocation: Invocation): void {
    this.#place?.settling.set(invocation.call.invocationId, invocation);
  }

  /** It was cancelled while it ran: the base is asked for its `settled`. */
  abandoned(invocation: Invocation): void {
    this.#place?.base.tell({ event: 'abandoned', invocationId: invocation.call.invocationId });
  }

  settled(invocation: Invocation): void {
    this.#place?.settling.delete(invocation.call.invocationId);
  }

  /** No new invocations; it goes when the last one has left. */
  drain(why: string): void {
    if (this.#state === 'acquiring') {
      this.#failure ??= new HearthError('NO_CAPACITY', why);
      this.#goes(why);
      return;
    }
    if (this.#state === 'loading' || this.#state === 'ready') {
      this.#move('draining');
      this.#drainedFor = why;
      this.#place?.drain(why);
    }
    this.endWhenIdle();
  }

  endWhenIdle(): void {
    if (this.#state === 'draining' && this.inFlight === 0) this.#place?.leave(this.#drainedFor);
  }

  /** Ends it with all that runs in it. */
  kill(why: string, fault: Fault | null = null): void {
    if (this.#place === null) this.#goes(why);
    else this.#place.end(why, fault);
  }

  /** What becomes of a call that was under way on this stream when its base died. */
  crash(stream: number): HearthError {
    const fault = this.#place?.base.fault ?? null;
    if (fault !== null) return errorOfFault(fault, this.#place?.blamed ?? this.spec, stream);
    return new HearthError('FUNCTION_CRASHED', `The base of the function died: ${this.#diedOf}.`);
  }

  /** Says that the base never came. */
  failed(error: HearthError): void {
    this.#failure = error;
    this.#goes(error.message);
  }

  /* ── Lessee ── */

  event(event: BaseEvent): void {
    switch (event.event) {
      case 'started':
      case 'settled':
        if (this.#place !== null) tellCalls(this.#place, event);
        return;
      case 'log':
        this.#hooks.log(this.spec, this.base.id, event.lines, event.dropped);
        return;
      case 'spans':
        this.#hooks.spans(this.spec, event.invocationId, event.spans);
        return;
      case 'broken':
        this.drain(event.reason);
        return;
      default:
        throw new ProtocolViolation(`event ${event.event} of a leased base`);
    }
  }

  opened(raw: unknown, exchange: Exchange): void {
    const call = bindingCall(raw);
    if (call.module !== this.module) throw new ProtocolViolation('a binding of another module');
    this.#hooks.binding(this.spec, call, exchange);
  }

  answerable(): ModuleSpec {
    return this.spec;
  }

  /* ── Tenant ── */

  used(): void {
    if (this.#state === 'ready') this.owner.used(this);
  }

  died(why: string): void {
    this.#goes(why);
  }

  #goes(why: string): void {
    if (this.#state === 'gone') return;
    this.#diedOf = why;
    const wasReady = this.readyAt > 0;
    this.#move('gone');
    const error = wasReady ? null : (this.#failure ?? new HearthError('FUNCTION_CRASHED', `The base died: ${why}.`));
    this.loaded.reject(error ?? new HearthError('FUNCTION_CRASHED', why));
    this.owner.gone(this, error);
  }

  #move(to: InstanceState): void {
    if (!MOVES[this.#state].includes(to)) throw new Error(`Instance of ${this.spec.key}: ${this.#state} → ${to}`);
    this.#state = to;
  }
}
