/**
 * One base that holds the modules of a group: takes them in and out while the others serve, and passes on what the base
 * says to the instance that it concerns. Limits are those of all together: what one does over them ends the base.
 */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { type BaseEvent, type LogLine, monotonicMs } from '../../../functions/contract/invocation.ts';
import type { Breach } from '../../host/watch.ts';
import { ProtocolViolation } from '../../link/frames.ts';
import type { Exchange } from '../../link/link.ts';
import type { KeeperHooks, ModuleSpec, PoolEvent } from '../api.ts';
import type { Base, Lessee } from '../hosts/base.ts';
import type { Fault } from '../hosts/fault.ts';
import type { Invocation } from '../invocation.ts';
import { type Place, type Room, type Tenant, tellCalls } from '../place.ts';
import { bindingCall } from '../validate.ts';

export interface GroupBaseOptions {
  base: Base;
  /** What is blamed for what no single module did: the group, under its own name and key. */
  group: ModuleSpec;
  hooks: Pick<KeeperHooks, 'log' | 'spans' | 'direct'>;
  /** See Place. */
  patienceMs(timeoutMs: number): number;
  /** Key of the version that the gateway sends calls of this function to; undefined: to several, or none. */
  serving(functionName: string): string | undefined;
  event(what: PoolEvent['what'], functionName: string, why: string): void;
  /** It takes no new modules; those it has come to their end. */
  broken(groupBase: GroupBase, why: string): void;
  /** Nothing stands in it any more. */
  emptied(groupBase: GroupBase, why: string): void;
  /** It died with these modules in it, in the order of their coming. */
  died(groupBase: GroupBase, why: string, standing: readonly Tenant[]): void;
}

/** Lines that come after their module has gone still find whose they are. */
const GONE_KEPT = 64;

export class GroupBase implements Lessee, Room {
  readonly base: Base;
  /** Monotonic ms. */
  readonly since = monotonicMs();
  readonly settling = new Map<string, Invocation>();
  readonly #options: GroupBaseOptions;
  readonly #members = new Map<string, Member>();
  readonly #gone = new Map<string, ModuleSpec>();
  /** By function: to which module the base sends calls of its neighbours. */
  readonly #told = new Map<string, string>();
  #numbers = 0;
  #blamed: ModuleSpec | null = null;
  #dead = false;

  constructor(options: GroupBaseOptions) {
    this.#options = options;
    this.base = options.base;
  }

  /** Whose base it is, as it is blamed. */
  get group(): ModuleSpec {
    return this.#options.group;
  }

  get size(): number {
    return this.#members.size;
  }

  get dead(): boolean {
    return this.#dead;
  }

  /** How many have ever stood in it. */
  get admitted(): number {
    return this.#numbers;
  }

  get tenants(): Tenant[] {
    return Array.from(this.#members.values(), ({ tenant }) => tenant);
  }

  get blamed(): ModuleSpec | null {
    return this.#blamed;
  }

  patienceMs(timeoutMs: number): number {
    return this.#options.patienceMs(timeoutMs);
  }

  /* ── who stands in it ── */

  admit(tenant: Tenant): Place {
    const number = ++this.#numbers;
    const { spec } = tenant;
    const module = `${spec.key}#${number}`;
    const member = new Member(this, tenant, module, number);
    this.#members.set(module, member);
    return member;
  }

  refuse(why: string): void {
    // Several may have waited for it; the others are admitted in the same turn.
    setImmediate(() => {
      if (this.#members.size === 0 && !this.#dead) this.#options.emptied(this, why);
    });
  }

  /** Takes calls from now on. */
  ready({ tenant }: Member): void {
    this.#options.event('loaded', tenant.spec.functionName, tenant.spec.version);
    this.direct(tenant.spec.functionName);
  }

  draining({ tenant }: Member): void {
    this.direct(tenant.spec.functionName);
  }

  leave(member: Member, why: string): void {
    const { tenant, module } = member;
    if (!this.#members.delete(module)) return;
    const { spec } = tenant;
    this.#gone.set(module, spec);
    const [oldest] = this.#gone.keys();
    if (this.#gone.size > GONE_KEPT && oldest !== undefined) this.#gone.delete(oldest);
    this.direct(spec.functionName);
    this.base.tell({ event: 'unload', module });
    if (member.hasFiles) void rm(member.filesDir, { recursive: true, force: true });
    this.#options.event('retired', spec.functionName, why);
    tenant.died(why);
    // What that set off may have brought in another one.
    if (this.#members.size === 0 && !this.#dead) this.#options.emptied(this, why);
  }

  end(why: string, fault: Fault | null, member: Member): void {
    if (fault !== null) this.#blamed = member.tenant.spec;
    this.base.end(why, fault);
  }

  /** Who serves calls of this function by its neighbours may have changed. */
  direct(functionName: string): void {
    const key = this.#options.serving(functionName);
    let module: string | null = null;
    if (key !== undefined) {
      for (const [name, { tenant }] of this.#members) {
        if (tenant.spec.key === key && tenant.state === 'ready') module = name;
      }
    }
    if ((this.#told.get(functionName) ?? null) === module) return;
    if (module === null) this.#told.delete(functionName);
    else this.#told.set(functionName, module);
    this.base.tell({ event: 'peer', function: functionName, module });
  }

  /* ── Lessee ── */

  /** As one: its name, its key, and what it may use. */
  get spec(): ModuleSpec {
    const { group } = this.#options;
    let memoryMb = 0;
    let cpuMs = 0;
    for (const { tenant } of this.#members.values()) {
      const { limits } = tenant.spec;
      memoryMb += limits.memoryMb;
      if (limits.cpuMs > 0) cpuMs = cpuMs === 0 ? limits.cpuMs : Math.min(cpuMs, limits.cpuMs);
    }
    return { ...group, limits: { ...group.limits, memoryMb, cpuMs } };
  }

  get inFlight(): number {
    let sum = 0;
    for (const { tenant } of this.#members.values()) sum += tenant.inFlight;
    return sum;
  }

  answerable({ limit, place }: Pick<Breach, 'limit' | 'place'>): ModuleSpec {
    const whole = this.spec;
    this.#blamed = whole;
    if (limit !== 'cpu') return whole;
    for (const { number, tenant } of this.#members.values()) {
      // The shortest turn of all holds for each.
      if (number !== place) continue;
      this.#blamed = { ...tenant.spec, limits: { ...tenant.spec.limits, cpuMs: whole.limits.cpuMs } };
    }
    return this.#blamed;
  }

  event(event: BaseEvent): void {
    switch (event.event) {
      case 'started':
      case 'settled':
        tellCalls(this, event);
        return;
      case 'log':
        this.#log(event.lines, event.dropped);
        return;
      case 'spans': {
        // Of one that has gone meanwhile no call is left to which they could belong.
        const spec = this.#members.get(event.module)?.tenant.spec;
        if (spec !== undefined) this.#options.hooks.spans(spec, event.invocationId, event.spans);
        return;
      }
      case 'used':
        for (const [n, module] of event.modules.entries()) {
          const tenant = this.#members.get(module)?.tenant;
          tenant?.used();
          if (tenant !== undefined) this.#options.hooks.direct(tenant.spec, event.calls[n] ?? 0, event.failed[n] ?? 0);
        }
        return;
      case 'broken':
        this.#options.broken(this, event.reason);
        return;
      default:
        throw new ProtocolViolation(`event ${event.event} of a leased base`);
    }
  }

  opened(raw: unknown, exchange: Exchange): void {
    const { module } = bindingCall(raw);
    const member = this.#members.get(module);
    if (member !== undefined) member.tenant.opened(raw, exchange);
    else exchange.cancel({ code: 'FUNCTION_CRASHED', message: 'The module has been retired.' });
  }

  died(why: string): void {
    if (this.#dead) return;
    this.#dead = true;
    const standing = this.tenants;
    this.#members.clear();
    this.#options.died(this, why, standing);
  }

  /** A module's lines go to its own log; what the base itself says to that of the group's first module. */
  #log(lines: readonly LogLine[], dropped: number): void {
    const bySpec = new Map<ModuleSpec, LogLine[]>();
    for (const line of lines) {
      const spec = this.#specOf(line.module);
      if (spec === undefined) continue;
      const own = bySpec.get(spec);
      if (own === undefined) bySpec.set(spec, [line]);
      else own.push(line);
    }
    // Whose they were the base does not say.
    const blame = lines.length > 0 ? this.#specOf(lines[0]?.module ?? '') : this.#specOf('');
    if (dropped > 0 && blame !== undefined && !bySpec.has(blame)) bySpec.set(blame, []);
    for (const [spec, own] of bySpec) this.#options.hooks.log(spec, this.base.id, own, spec === blame ? dropped : 0);
  }

  #specOf(module: string): ModuleSpec | undefined {
    const [first] = this.#members.values();
    return this.#members.get(module)?.tenant.spec ?? this.#gone.get(module) ?? first?.tenant.spec;
  }
}

class Member implements Place {
  readonly shared = true;
  readonly tenant: Tenant;
  readonly module: string;
  readonly number: number;
  readonly #groupBase: GroupBase;
  #filesDir: string | null = null;

  constructor(groupBase: GroupBase, tenant: Tenant, module: string, number: number) {
    this.#groupBase = groupBase;
    this.tenant = tenant;
    this.module = module;
    this.number = number;
  }

  get base(): Base {
    return this.#groupBase.base;
  }

  get settling(): Map<string, Invocation> {
    return this.#groupBase.settling;
  }

  get blamed(): ModuleSpec | null {
    return this.#groupBase.blamed;
  }

  get share(): number {
    return 1 / Math.max(1, this.#groupBase.size);
  }

  /** A directory of its own; asked for only where there are files. */
  get filesDir(): string {
    this.#filesDir ??= path.join(this.base.filesDir, String(this.number));
    return this.#filesDir;
  }

  get hasFiles(): boolean {
    return this.#filesDir !== null;
  }

  patienceMs(timeoutMs: number): number {
    return this.#groupBase.patienceMs(timeoutMs);
  }

  ready(): void {
    this.#groupBase.ready(this);
  }

  drain(): void {
    this.#groupBase.draining(this);
  }

  leave(why: string): void {
    this.#groupBase.leave(this, why);
  }

  end(why: string, fault: Fault | null): void {
    this.#groupBase.end(why, fault, this);
  }
}
