/**
 * One base as the gateway sees it: a thread in a host, reached over its own socket.
 *
 *   booting ──hello──► rehearsing ──► warm ──lease──► leased ──retire──► draining ──► dead
 *      └──────────────────┴───────────┴────────────────┴──── link closed, thread ended ──┘
 */
import { randomBytes } from 'node:crypto';
import {
  type BaseEvent,
  type GatewayEvent,
  monotonicMs,
  PROTOCOL_VERSION,
} from '../../../functions/contract/invocation.ts';
import type { ProfileKind } from '../../host/messages.ts';
import type { Breach } from '../../host/watch.ts';
import { ProtocolViolation } from '../../link/frames.ts';
import type { Exchange, ExchangeHandler, Link } from '../../link/link.ts';
import type { BaseState, ModuleSpec } from '../api.ts';
import { Alone, type Place, type Room, type Tenant } from '../place.ts';
import type { Fault } from './fault.ts';
import type { HostProcess } from './host-process.ts';

const MOVES: Record<BaseState, readonly BaseState[]> = {
  booting: ['rehearsing', 'dead'],
  rehearsing: ['warm', 'dead'],
  warm: ['leased', 'dead'],
  leased: ['draining', 'dead'],
  draining: ['dead'],
  dead: [],
};

/** Who holds the lease hears what the base says. */
export interface Lessee {
  event(event: BaseEvent): void;
  /** The base opened a stream. Throws ProtocolViolation when its head is wrong. */
  opened(head: unknown, exchange: Exchange): void;
  /** Its limits and its name, when something has to be blamed. */
  readonly spec: ModuleSpec;
  readonly inFlight: number;
  /** Who has to answer for what was found over a limit. */
  answerable(breach: Pick<Breach, 'limit' | 'place'>): ModuleSpec;
  /** The base is dead; its exchanges are closed next. */
  died(why: string): void;
}

export interface BaseOptions {
  id: string;
  host: HostProcess;
  onState(base: Base, state: BaseState, why: string): void;
}

export class Base implements Room {
  readonly id: string;
  readonly host: HostProcess;
  /** Directory for the files of what it will hold. */
  readonly filesDir: string;
  /** Admits one connection. */
  readonly token = randomBytes(24).toString('base64url');
  /** Monotonic ms at which its boot began. */
  readonly startedAt = monotonicMs();
  /** What it was taken for and holds, for people who look at the pool. */
  takenFor: string | null = null;
  version: string | null = null;
  /** Of the group whose modules it holds; null: it holds one alone. */
  group: string | null = null;
  lessee: Lessee | null = null;
  /** What it takes beyond what it took when it was warm, by its host's own measure, MB; null: not measured yet. */
  heldMb: number | null = null;
  /** What is being taken of it. Of its heap: it stands still until then, and takes no calls. */
  profiled: ProfileKind | null = null;
  /** What it did that it was ended for. */
  fault: Fault | null = null;
  readonly #onState: BaseOptions['onState'];
  #link: Link | null = null;
  #state: BaseState = 'booting';

  constructor(options: BaseOptions) {
    this.id = options.id;
    this.host = options.host;
    this.filesDir = options.host.takeSlot();
    this.#onState = options.onState;
  }

  get state(): BaseState {
    return this.#state;
  }

  /** Its hello was right. */
  attach(link: Link, protocol: number): void {
    if (protocol !== PROTOCOL_VERSION) throw new ProtocolViolation(`protocol ${protocol}, not ${PROTOCOL_VERSION}`);
    if (this.#state !== 'booting') throw new ProtocolViolation('a second hello');
    this.#link = link;
    this.#move('rehearsing', 'hello');
  }

  rehearsed(): void {
    this.#move('warm', 'rehearsed');
  }

  /** Out of the stock, for this function. */
  take(functionName: string): void {
    this.takenFor = functionName;
    this.#move('leased', `for ${functionName}`);
  }

  /** Who took it speaks with it from now on. */
  hold(lessee: Lessee, version: string | null): void {
    this.lessee = lessee;
    this.version = version;
  }

  admit(tenant: Tenant): Place {
    this.hold(tenant, tenant.spec.version);
    return new Alone(this);
  }

  refuse(why: string): void {
    this.end(why);
  }

  drain(why: string): void {
    if (this.#state === 'leased') this.#move('draining', why);
  }

  /** Ends it, whatever it is doing; the fleet sees to its thread. Idempotent. */
  end(why: string, fault: Fault | null = null): void {
    if (this.#state === 'dead') return;
    const idle = fault === null && this.lessee?.inFlight === 0;
    this.fault = fault;
    this.#move('dead', why);
    // First the lessee: what its exchanges tell when they break off must not find this base alive.
    this.lessee?.died(why);
    // Of one that is only retired the link goes with the thread, when the cores have time for both.
    if (!idle) this.close(why);
  }

  /** Breaks off whatever is still open. Idempotent. */
  close(why: string): void {
    this.#link?.destroy(why);
  }

  open(head: object, handler: ExchangeHandler, body: Uint8Array | null, fin: boolean): Exchange {
    if (this.#link === null) throw new Error(`Base ${this.id} has no link yet.`);
    return this.#link.open(head, handler, body, fin);
  }

  handlerOf(stream: number): ExchangeHandler | undefined {
    return this.#link?.handlerOf(stream);
  }

  tell(event: GatewayEvent): void {
    this.#link?.event(event);
  }

  /** Rejects when the base is gone; stays pending while its thread is blocked. */
  ping(): Promise<number> {
    return this.#link === null ? Promise.reject(new Error('No link.')) : this.#link.ping();
  }

  #move(to: BaseState, why: string): void {
    if (!MOVES[this.#state].includes(to)) throw new Error(`Base ${this.id}: ${this.#state} → ${to}`);
    this.#state = to;
    this.#onState(this, to, why);
  }
}
