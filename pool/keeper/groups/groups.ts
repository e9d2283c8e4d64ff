/**
 * The groups of this gateway: one base for the modules of each, taken when the first is wanted, given up when the last has
 * gone, and rebuilt as it was when it dies.
 *
 *   (none) ──first module wanted──► coming ──► standing ──last one left──► (none)
 *                                      ▲          │ died, or broken
 *                                      └──────────┘ with all that stood in it, at once when it was in use
 */
import { monotonicMs } from '../../../functions/contract/invocation.ts';
import type { KeeperHooks, ModuleSpec, PoolEvent } from '../api.ts';
import type { BaseDefinition } from '../definition.ts';
import type { Base } from '../hosts/base.ts';
import type { Room, Tenant, TenantOwner } from '../place.ts';
import { GroupBase } from './group-base.ts';

export interface GroupsOptions {
  hooks: Pick<KeeperHooks, 'log' | 'spans' | 'direct'>;
  /** A warm base of this host key. */
  take(spec: ModuleSpec, definition: BaseDefinition): Base | Promise<Base>;
  event(event: PoolEvent): void;
  /** Epoch ms. */
  now(): number;
  /**
   * Modules come to be proved, one after another, and stand here for nobody's call: nothing is rebuilt, and a base stays
   * for the next proofs. What is proved to be bad takes its base along (`leave`).
   */
  proofs: boolean;
}

/** Idle instances of a whole group, as one. */
export interface IdleGroup {
  gainPerHour: number;
  memoryMb: number;
  /** False: it has gone already. */
  evict(why: string): boolean;
}

/** A base that died younger than that is not rebuilt at once again and again, but when somebody calls. */
const YOUNG_MS = 5_000;
const YOUNG_DEATHS = 3;
/** A base for proofs waits so long for the next one, and is given up after so many. */
const PROOFS_MS = 2_000;
const PROOFS = 50;
/** What takes longer to load is proved alone, so that it does not hold up the others. */
const PROOF_LOAD_MS = 5_000;
/** Where a group is rebuilt a load may have hundreds before it. */
const LOAD_GRACE_MS = 30_000;

export class Groups {
  readonly #options: GroupsOptions;
  readonly #groups = new Map<string, Group>();
  /** Keys of the versions that calls within a group go to, by function. */
  readonly #serving = new Map<string, string>();
  #closed = false;

  constructor(options: GroupsOptions) {
    this.#options = options;
  }

  /** A place beside the others of its group; at once where its base stands or another is warm. */
  take(spec: ModuleSpec, definition: BaseDefinition): Room | Promise<Room> {
    return this.#group(spec, definition).take(spec);
  }

  /** Calls of this function by members of its group go to the version with this key. Null: through the gateway. */
  direct(functionName: string, key: string | null): void {
    if (key === null) this.#serving.delete(functionName);
    else this.#serving.set(functionName, key);
    for (const group of this.#groups.values()) group.standing?.direct(functionName);
  }

  /** Groups of this pool of hosts in which nothing runs and that nothing keeps. */
  idle(pool: string): IdleGroup[] {
    const idle: IdleGroup[] = [];
    for (const { standing } of this.#groups.values()) {
      if (standing === null || standing.group.pool !== pool || standing.inFlight > 0) continue;
      const { tenants } = standing;
      let gainPerHour = 0;
      let kept = tenants.length === 0;
      for (const { owner } of tenants) {
        const worth = owner.worth();
        if (worth === null) kept = true;
        else gainPerHour += worth.gainPerHour;
      }
      if (kept) continue;
      const evict = (why: string) => {
        for (const tenant of tenants) tenant.drain(why);
        return tenants.length > 0;
      };
      idle.push({ gainPerHour, memoryMb: standing.base.heldMb ?? standing.spec.limits.memoryMb, evict });
    }
    return idle;
  }

  /** Nothing new comes into the base that this group has now. */
  leave(spec: ModuleSpec, definition: BaseDefinition, why: string): void {
    this.#group(spec, definition).leave(why);
  }

  /** Nothing is rebuilt any more. */
  close(): void {
    this.#closed = true;
  }

  #group(spec: ModuleSpec, definition: BaseDefinition): Group {
    const key = `${groupKey(spec)}#${definition.generation ?? 1}`;
    const known = this.#groups.get(key);
    if (known !== undefined) return known;
    const group = new Group({
      ...this.#options,
      take: (wanted) => this.#options.take(wanted, definition),
      serving: (functionName) => this.#serving.get(functionName),
      closed: () => this.#closed,
      unused: () => this.#groups.delete(key),
    });
    this.#groups.set(key, group);
    return group;
  }
}

/** Of all members alike: by it the group is blamed. */
export function groupKey({ group, base, trustGroup, network, pool }: ModuleSpec): string {
  return `${groupName(group)}@${base}/${trustGroup}/${network}/${pool}`;
}

function groupName(group: string | null): string {
  return `group ${group}`;
}

interface GroupOptions extends Pick<GroupsOptions, 'hooks' | 'event' | 'now' | 'proofs'> {
  take(spec: ModuleSpec): Base | Promise<Base>;
  serving(functionName: string): string | undefined;
  closed(): boolean;
  /** Nothing is left of it. */
  unused(): void;
}

class Group {
  readonly #options: GroupOptions;
  #standing: GroupBase | null = null;
  #coming: Promise<GroupBase> | null = null;
  /** Who stood in a base that died and is not back yet. */
  #lost = new Set<TenantOwner>();
  #youngDeaths = 0;

  constructor(options: GroupOptions) {
    this.#options = options;
  }

  get standing(): GroupBase | null {
    return this.#standing;
  }

  take(spec: ModuleSpec): GroupBase | Promise<GroupBase> {
    // In a host that is being emptied everything comes to its end; what is wanted still begins elsewhere.
    if (this.#standing?.base.host.state === 'draining') this.#standing = null;
    if (this.#options.proofs && (this.#standing?.admitted ?? 0) >= PROOFS) this.leave('it has seen many proofs');
    if (this.#standing !== null) return this.#standing;
    if (this.#coming !== null) return this.#coming;
    const base = this.#options.take(spec);
    if (!(base instanceof Promise)) return this.#stands(base, spec);
    const coming = base.then(
      (late) => {
        this.#coming = null;
        return this.#stands(late, spec);
      },
      (error: unknown) => {
        this.#coming = null;
        this.#maybeUnused();
        throw error;
      },
    );
    this.#coming = coming;
    return coming;
  }

  #stands(base: Base, spec: ModuleSpec): GroupBase {
    const { hooks, serving } = this.#options;
    const name = groupName(spec.group);
    const groupBase = new GroupBase({
      base,
      group: { ...spec, key: groupKey(spec), functionName: name, version: '' },
      hooks,
      patienceMs: (timeoutMs) =>
        this.#options.proofs ? Math.min(timeoutMs, PROOF_LOAD_MS) : timeoutMs + LOAD_GRACE_MS,
      serving,
      event: (what, functionName, why) => this.#note(base.id, what, functionName, why),
      broken: (broken, why) => this.#broken(broken, why),
      emptied: (emptied, why) => this.#emptied(emptied, why),
      died: (dead, why, standing) => this.#died(dead, why, standing),
    });
    if (!this.#options.proofs) base.group = spec.group;
    base.hold(groupBase, null);
    this.#standing = groupBase;
    // Whoever asked for it comes first.
    if (this.#lost.size > 0) setImmediate(() => this.#restore());
    return groupBase;
  }

  #restore(): void {
    const lost = this.#lost;
    this.#lost = new Set();
    if (this.#options.closed()) return;
    for (const owner of lost) owner.restore();
  }

  /** It takes nothing new: those in use begin elsewhere at once, and what runs in it ends. */
  #broken(groupBase: GroupBase, why: string): void {
    if (this.#standing === groupBase) this.#standing = null;
    const { tenants } = groupBase;
    groupBase.base.drain(why);
    this.#rebuild(groupBase, tenants.filter(isServing));
    for (const tenant of tenants) tenant.drain(why);
  }

  leave(why: string): void {
    const left = this.#standing;
    this.#standing = null;
    left?.refuse(why);
  }

  #emptied(groupBase: GroupBase, why: string): void {
    if (this.#options.proofs && this.#standing === groupBase && !this.#options.closed()) {
      const { admitted } = groupBase;
      setTimeout(() => {
        if (this.#standing === groupBase && groupBase.admitted === admitted) this.leave(why);
      }, PROOFS_MS).unref();
      return;
    }
    if (this.#standing === groupBase) this.#standing = null;
    groupBase.base.end(why);
    this.#maybeUnused();
  }

  #died(groupBase: GroupBase, why: string, standing: readonly Tenant[]): void {
    const wasStanding = this.#standing === groupBase;
    if (wasStanding) this.#standing = null;
    if (wasStanding) this.#rebuild(groupBase, standing.filter(isServing));
    for (const tenant of standing) tenant.died(why);
    this.#maybeUnused();
  }

  #rebuild(groupBase: GroupBase, serving: readonly Tenant[]): void {
    if (this.#options.proofs) return;
    for (const { owner } of serving) this.#lost.add(owner);
    this.#youngDeaths = monotonicMs() - groupBase.since < YOUNG_MS ? this.#youngDeaths + 1 : 0;
    if (this.#lost.size === 0 || this.#youngDeaths >= YOUNG_DEATHS || this.#options.closed()) return;
    // When the dead one has been told of everywhere.
    setImmediate(() => {
      if (this.#standing === null && this.#coming === null) this.#restore();
    });
  }

  #maybeUnused(): void {
    if (this.#standing === null && this.#coming === null && this.#lost.size === 0) this.#options.unused();
  }

  #note(id: string, what: PoolEvent['what'], functionName: string, why: string): void {
    if (this.#options.proofs) return;
    this.#options.event({ time: this.#options.now(), subject: 'instance', id, what, why, function: functionName });
  }
}

/** What was on its way out is not rebuilt. */
function isServing({ state }: Tenant): boolean {
  return state === 'ready' || state === 'loading';
}
