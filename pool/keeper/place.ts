/** How an instance stands in a base: alone in one of its own, or as one of the modules of a group (group-base.ts). */
import type { BaseEvent } from '../../functions/contract/invocation.ts';
import type { ModuleSpec } from './api.ts';
import type { Base, Lessee } from './hosts/base.ts';
import type { Fault } from './hosts/fault.ts';
import { FromBase, type Invocation } from './invocation.ts';

/** What is taken for an instance: a base, or a place beside others. */
export interface Room {
  admit(tenant: Tenant): Place;
  /** Nobody wants it any more. */
  refuse(why: string): void;
}

/** Of an Instance what a place needs. */
export interface Tenant extends Lessee {
  readonly owner: TenantOwner;
  readonly state: string;
  drain(why: string): void;
  /** Its module was called by its neighbours. */
  used(): void;
}

export interface TenantOwner {
  /** Where its instance was, a new one is wanted: others of its group are back. */
  restore(): void;
  /** What giving up its idle instance means; null: it is not idle, or not to be taken. */
  worth(): { gainPerHour: number } | null;
}

export interface Place {
  readonly base: Base;
  /** The module's name on the link. */
  readonly module: string;
  /** Its number in the base. */
  readonly number: number;
  readonly filesDir: string;
  /** Whether other modules stand beside it. */
  readonly shared: boolean;
  /** What part of the base's memory is its own. */
  readonly share: number;
  /** How long its load may take, ms, when a call may take `timeoutMs`. */
  patienceMs(timeoutMs: number): number;
  /** Of calls whose end the base has yet to tell, by invocation id: what streams, what waits for `waitUntil`, what was abandoned. */
  readonly settling: Map<string, Invocation>;
  /** Who did what the base was ended for, where that was not this one. */
  readonly blamed: ModuleSpec | null;
  /** It takes calls. */
  ready(): void;
  /** It takes no new ones. */
  drain(why: string): void;
  /** Nothing of it runs any more, or it did not come up. Idempotent. */
  leave(why: string): void;
  /** Ends the base, whatever runs in it. */
  end(why: string, fault: Fault | null): void;
}

/** Hands on what the base says of calls that run in it. */
export function tellCalls(
  { base, settling }: { base: Base; settling: Place['settling'] },
  event: Extract<BaseEvent, { event: 'started' | 'settled' }>,
): void {
  if (event.event === 'settled') {
    settling.get(event.invocationId)?.settled();
    return;
  }
  for (const stream of event.streams) {
    const handler = base.handlerOf(stream);
    if (handler instanceof FromBase) handler.started();
  }
}

/** The call that caused a load hears of its own time being over before the load is given up. */
const LOAD_GRACE_MS = 250;

/** Its one module's name on the link. */
const MODULE = 'main';

export class Alone implements Place {
  readonly base: Base;
  readonly module = MODULE;
  readonly number = 0;
  readonly shared = false;
  readonly share = 1;
  readonly settling = new Map<string, Invocation>();
  readonly blamed = null;

  constructor(base: Base) {
    this.base = base;
  }

  get filesDir(): string {
    return this.base.filesDir;
  }

  patienceMs(timeoutMs: number): number {
    return timeoutMs + LOAD_GRACE_MS;
  }

  ready(): void {
    return;
  }

  drain(why: string): void {
    this.base.drain(why);
  }

  leave(why: string): void {
    this.base.end(why);
  }

  end(why: string, fault: Fault | null): void {
    this.base.end(why, fault);
  }
}
