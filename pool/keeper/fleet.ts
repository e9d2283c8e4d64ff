/**
 * Hosts and bases, and the cache pool between them: keeps warm bases in stock, gives them out by host key, replaces
 * what dies. Knows nothing of functions but the name for which a base is taken.
 */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { HearthError } from '../../functions/contract/errors.ts';
import { monotonicMs } from '../../functions/contract/invocation.ts';
import type { Breach } from '../host/watch.ts';
import type { BaseState, ModuleSpec, PoolEvent } from './api.ts';
import { Base } from './base.ts';
import { BootFailures } from './boot-failures.ts';
import type { BaseDefinition } from './definition.ts';
import { describeFault, type Fault } from './fault.ts';
import { bindingOf, keyOf } from './host-key.ts';
import { type HostBinding, HostProcess } from './host-process.ts';
import type { Pressure } from './host-watch.ts';
import type { Logger } from './log.ts';
import { nextBoot } from './refill.ts';
import { rehearse } from './rehearsal.ts';
import type { Sandbox } from './sandbox.ts';
import { WaitingLeases, type Wanted } from './waiting-leases.ts';

export interface FleetSettings {
  /** Warm bases without a lessee, per definition. */
  warmBases: number;
  maxBases: number;
  basesPerHost: number;
  heapLimitMb: number;
  /** What hosts may use together, MB. */
  memoryMb: number;
  /** Around each host; null: none. */
  sandbox: Sandbox | null;
  /** Policy of the hosts in stock. In a sandbox it cannot change later: the other policy has hosts started on demand. */
  stockNetwork: 'all' | 'none';
}

export interface FleetOptions {
  definitions: BaseDefinition[];
  settings: FleetSettings;
  runDir: string;
  socketPath: string;
  baseFile: string;
  newId(kind: 'host' | 'base'): string;
  now(): number;
  log: Logger;
  event(event: PoolEvent): void;
  /** True while requests wait for a slot: refill stands back unless the stock is empty. */
  busy(): boolean;
  /** The limit of bases is reached and this function waits for one: make room, where that is fair. False: it is not. */
  relieve(functionName: string): boolean;
  /** May this function take one more base, once so many more are free? What others have in reserve is not for it. */
  admits(functionName: string, freed: number): boolean;
  /** A host is gone on account of this. */
  tookDown(spec: ModuleSpec, why: string): void;
}

/** From spawn to warm; on a machine that is busy a boot takes several times its usual 100 ms. */
const BOOT_MS = 5_000;
/** After a lease the two cores belong to the request; a replacement can wait so long while there is stock. */
const REFILL_PAUSE_MS = 25;
/** Without a lease for so long, a burst is over. */
const QUIET_MS = 100;
const FAILED_BOOTS = 3;
/** A host that is bound and empty for so long is given up: its warm bases serve nobody else. */
const IDLE_HOST_MS = 60_000;

export class Fleet {
  readonly #options: FleetOptions;
  readonly #definitions = new Map<string, BaseDefinition>();
  readonly #hosts = new Map<string, HostProcess>();
  readonly #bases = new Map<string, Base>();
  readonly #pending = new WaitingLeases();
  /** Since when a bound host has had no lease. */
  readonly #idleSince = new Map<string, number>();
  /** Bases that are dead while their threads are not gone yet. */
  readonly #ending = new Map<string, Base>();
  #pressure: Pressure = 'none';
  #refillTimer: NodeJS.Timeout | null = null;
  /** Warm ones that were ended to make room: no fault of theirs. */
  readonly #givenUp = new WeakSet<Base>();
  readonly #failures = new Map<string, BootFailures>();
  /** Monotonic ms of the last lease. */
  #takenAt = 0;
  #closed = false;

  constructor(options: FleetOptions) {
    this.#options = options;
    for (const definition of options.definitions) this.#definitions.set(definition.name, definition);
  }

  get hosts(): Iterable<HostProcess> {
    return this.#hosts.values();
  }

  get bases(): Iterable<Base> {
    return this.#bases.values();
  }

  get pending(): number {
    return this.#pending.size;
  }

  /** The base that may say hello with this token. */
  claim(id: string, token: string): Base | undefined {
    const base = this.#bases.get(id);
    return base !== undefined && base.state === 'booting' && base.token === token ? base : undefined;
  }

  /** Called when a base has said hello. */
  attached(base: Base): void {
    base.host.failedBoots = 0;
    // Who waits for this very base is served sooner without: the first call is its rehearsal.
    if (this.#pending.wanted.some((wanted) => fits(base.host, wanted))) {
      base.rehearsed();
      return;
    }
    rehearse(base).then(
      () => {
        if (base.state === 'rehearsing') base.rehearsed();
      },
      (error: unknown) => base.end(String(error)),
    );
  }

  /** A warm base of that host key, at once where there is one. Rejects with NO_CAPACITY once `closed`. */
  take(wanted: Wanted): Base | Promise<Base> {
    const base = this.#pending.size === 0 ? this.#pick(wanted) : undefined;
    if (base !== undefined) {
      this.#take(base, wanted.functionName);
      this.#schedule(REFILL_PAUSE_MS);
      return base;
    }
    if (!this.#definitions.has(wanted.definition)) {
      const error = new HearthError('NO_CAPACITY', `There is no base definition "${wanted.definition}".`);
      return Promise.reject(error);
    }
    const lease = this.#pending.add(wanted);
    this.serve();
    this.#schedule(0);
    return lease;
  }

  #take(base: Base, functionName: string): void {
    this.#takenAt = monotonicMs();
    base.host.leasedAt = this.#takenAt;
    base.take(functionName);
  }

  /** Brings the stock to its size. */
  start(): void {
    this.#schedule(0);
  }

  /** Who has waited too long gets NO_CAPACITY. `now`: monotonic ms. */
  expire(now: number): void {
    this.#pending.expire(now);
  }

  /** How near hosts are to the memory they may use together. */
  press(level: Pressure): void {
    if (this.#pressure === level) return;
    this.#pressure = level;
    this.#schedule(0);
  }

  /** What is leased in this host, and null for each base in stock. */
  limitsMb(host: HostProcess): (number | null)[] {
    const limits: (number | null)[] = [];
    for (const base of this.#bases.values()) if (base.host === host) limits.push(limitMb(base));
    for (const base of this.#ending.values()) if (base.host === host) limits.push(limitMb(base));
    return limits;
  }

  /** The base that is at work there; null when bases of several functions are, or none. */
  suspect(host: HostProcess): string | null {
    const faulty = [...this.#ending.values()].filter((base) => base.host === host && base.fault !== null);
    const busy = [...this.#bases.values()].filter(
      (base) => base.host === host && base.lessee !== null && base.lessee.inFlight > 0,
    );
    const suspects = faulty.length > 0 ? faulty : busy;
    const keys = new Set(suspects.map((base) => base.lessee?.spec.key));
    return keys.size === 1 ? (suspects[0]?.id ?? null) : null;
  }

  kill(why: string): void {
    this.#closed = true;
    if (this.#refillTimer !== null) clearTimeout(this.#refillTimer);
    this.#pending.reject(() => true, new HearthError('NO_CAPACITY', 'Hearth is shutting down.'));
    for (const host of [...this.#hosts.values()]) host.kill(why);
  }

  /** Gives up hosts that are bound and serve nobody. Call it now and then. */
  sweep(nowMs: number): void {
    for (const host of [...this.#hosts.values()]) {
      const used = [...this.#bases.values()].some(
        (base) => base.host === host && (base.state === 'leased' || base.state === 'draining'),
      );
      if (host.binding === null || used) {
        this.#idleSince.delete(host.id);
        continue;
      }
      const since = this.#idleSince.get(host.id) ?? nowMs;
      this.#idleSince.set(host.id, since);
      if (nowMs - since >= IDLE_HOST_MS) host.kill('bound, and without a lease for a minute');
    }
  }

  /** First bound hosts, so that unbound stock is left for who needs it. */
  #pick(wanted: Wanted): Base | undefined {
    if (!this.#options.admits(wanted.functionName, 0)) return undefined;
    let spare: Base | undefined;
    for (const base of this.#bases.values()) {
      if (base.state !== 'warm' || base.host.definition.name !== wanted.definition || base.host.stuck) continue;
      const binding = base.host.binding;
      if (binding === null) {
        if (!this.#isApart(wanted)) spare ??= base;
      } else if (binding.trustGroup === wanted.trustGroup && binding.network === wanted.network) return base;
    }
    spare?.host.bind({ trustGroup: wanted.trustGroup, network: wanted.network });
    return spare;
  }

  /** Gives warm bases to who waits, function by function in turn, so that one function's crowd delays no other. */
  serve(): void {
    this.#pending.serve(
      (wanted) => {
        const base = this.#pick(wanted);
        // Taken here and not by who waits: that one runs later, and by then another could have it.
        if (base !== undefined) this.#take(base, wanted.functionName);
        return base;
      },
      () => this.#held(),
    );
    if (this.#bases.size < this.#options.settings.maxBases) return;
    // What was given up before is on its way to be a base again.
    if (this.#booting() >= this.#pending.size) return;
    for (const functionName of new Set(this.#pending.wanted.map((wanted) => wanted.functionName))) {
      if (!this.#options.admits(functionName, 1)) continue;
      if (this.#giveUpStock() || this.#options.relieve(functionName)) return;
    }
  }

  /** Leased bases by function. */
  #held(): Map<string, number> {
    const held = new Map<string, number>();
    for (const { state, takenFor } of this.#bases.values()) {
      if (state === 'leased' && takenFor !== null) held.set(takenFor, (held.get(takenFor) ?? 0) + 1);
    }
    return held;
  }

  /** The pool is full and somebody waits whom no warm base fits: one that stands on another's host makes room. */
  #giveUpStock(): boolean {
    return this.giveUpStock('its place is needed elsewhere', 0);
  }

  /** Ends a warm base nobody holds, as long as more than so many are there. */
  giveUpStock(why: string, left: number): boolean {
    const warm = [...this.#bases.values()].filter((base) => base.state === 'warm');
    for (const base of warm.slice(left)) {
      this.#givenUp.add(base);
      base.end(why);
      return true;
    }
    return false;
  }

  #schedule(delayMs: number): void {
    if (this.#closed) return;
    if (this.#refillTimer !== null) {
      if (delayMs > 0) return;
      clearTimeout(this.#refillTimer);
    }
    this.#refillTimer = setTimeout(() => {
      this.#refillTimer = null;
      this.#refill();
    }, delayMs);
  }

  /** Boots one base; its being warm calls again. Two at once only while somebody waits with nothing in stock. */
  #refill(): void {
    if (this.#closed) return;
    const waiting = this.#pending.size > 0;
    if (this.#booting() >= (waiting ? 2 : 1)) return;
    if (!waiting && this.#mayWait()) {
      this.#schedule(REFILL_PAUSE_MS);
      return;
    }
    let pausedMs = Number.POSITIVE_INFINITY;
    for (const definition of this.#definitions.values()) {
      const pauseMs = this.#failures.get(definition.name)?.pauseMs(monotonicMs()) ?? 0;
      if (pauseMs > 0) {
        pausedMs = Math.min(pausedMs, pauseMs);
        continue;
      }
      const hosts = [...this.#hosts.values()].filter(
        (host) => host.definition === definition && host.state !== 'dead' && !host.stuck,
      );
      const pending = this.#pending.wanted.filter((wanted) => wanted.definition === definition.name);
      const step = nextBoot({
        target: this.#stockTarget(),
        hosts: hosts.map((host) => ({
          id: host.id,
          bound: host.binding === null ? null : keyOf(host.binding),
          freeSlots: host.freeSlots,
          leasedAt: host.leasedAt,
          ...this.#count(host),
        })),
        pending: pending.map(keyOf),
        apart: new Set(pending.filter((wanted) => this.#isApart(wanted)).map(keyOf)),
        room: this.#room(),
      });
      if (step === null) continue;
      const host = step.kind === 'boot' ? this.#hosts.get(step.host) : this.#startHost(definition, step.bound);
      if (host !== undefined) this.#boot(host);
      if (waiting) this.#schedule(0);
      return;
    }
    if (pausedMs < Number.POSITIVE_INFINITY) this.#schedule(pausedMs);
  }

  /**
   * A boot takes a core for some 60 ms. While requests wait, or leases come one after another, that core is better used
   * for them, as long as each definition has stock.
   */
  #mayWait(): boolean {
    const stock = this.#leastStock();
    if (stock === 0) return false;
    const leasing = monotonicMs() - this.#takenAt < QUIET_MS;
    return this.#options.busy() || (leasing && stock > this.#stockTarget() / 4);
  }

  /** Warm bases of the definition that has the fewest; one whose boots fail just now does not count. */
  #leastStock(): number {
    const now = monotonicMs();
    const stock = new Map<BaseDefinition, number>();
    for (const definition of this.#definitions.values()) {
      if ((this.#failures.get(definition.name)?.pauseMs(now) ?? 0) === 0) stock.set(definition, 0);
    }
    for (const { state, host } of this.#bases.values()) {
      const counted = stock.get(host.definition);
      if (state === 'warm' && counted !== undefined) stock.set(host.definition, counted + 1);
    }
    return Math.min(...stock.values());
  }

  /** Under pressure a single base, so that Hearth can serve at all. */
  #stockTarget(): number {
    return this.#pressure === 'none' ? this.#options.settings.warmBases : Math.min(1, this.#options.settings.warmBases);
  }

  #room(): number {
    const bases = [...this.#bases.values()];
    const inUse = bases.some((base) => base.state === 'leased' || base.state === 'draining');
    return this.#pressure === 'full' && inUse ? 0 : this.#options.settings.maxBases - bases.length;
  }

  #count(host: HostProcess): { warm: number; booting: number } {
    let warm = 0;
    let booting = 0;
    for (const base of this.#bases.values()) {
      if (base.host !== host) continue;
      if (base.state === 'warm') warm++;
      if (base.state === 'booting' || base.state === 'rehearsing') booting++;
    }
    return { warm, booting };
  }

  /** Hosts in stock have their network, or lack of it, from the sandbox, and cannot be leased for the other policy. */
  #isApart({ network }: HostBinding): boolean {
    const { sandbox, stockNetwork } = this.#options.settings;
    return sandbox !== null && network !== stockNetwork;
  }

  #startHost(definition: BaseDefinition, key: string | null): HostProcess {
    const binding = key === null ? null : bindingOf(key);
    const id = this.#options.newId('host');
    const dir = path.join(this.#options.runDir, id);
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    // A library reads its own files and those of what it depends on; all of it is dropped before foreign code runs.
    const readable = [...new Set(definition.shared.map((shared) => modulesDirectory(shared.path)))];
    if (definition.setupPath !== null) readable.push(definition.setupPath);
    const host = new HostProcess({
      id,
      definition,
      dir,
      sandbox: this.#options.settings.sandbox,
      network: binding?.network ?? this.#options.settings.stockNetwork,
      socketPath: this.#options.socketPath,
      log: this.#options.log,
      settings: {
        baseFile: this.#options.baseFile,
        readable,
        maxBases: this.#options.settings.basesPerHost,
        heapLimitMb: this.#options.settings.heapLimitMb,
      },
      onState: (changed, state, why) => {
        if (state === 'running') this.#event('host', id, 'started', why);
        if (state === 'dead') this.#hostDied(changed, dir, why);
      },
      onBaseEnded: (base, reason) => this.#bases.get(base)?.end(reason),
      onBreach: (base, breach) => this.#breached(base, breach),
    });
    if (binding !== null) host.bind(binding);
    this.#hosts.set(id, host);
    return host;
  }

  #hostDied(host: HostProcess, dir: string, why: string): void {
    this.#hosts.delete(host.id);
    this.#idleSince.delete(host.id);
    const culprit = host.killed ? host.culprit : this.suspect(host);
    const blamed = culprit === null ? undefined : (this.#bases.get(culprit) ?? this.#ending.get(culprit))?.lessee?.spec;
    this.#event('host', host.id, culprit === null ? 'died' : 'killed', why, blamed?.functionName);
    for (const base of [...this.#bases.values()]) if (base.host === host) base.end(`its host died: ${why}`);
    // Not before the process is gone: until then it may still write.
    void host.exited.then(() => rmSync(dir, { recursive: true, force: true }));
    if (blamed !== undefined) this.#options.tookDown(blamed, why);
    this.#schedule(0);
  }

  #breached(id: string, breach: Breach): void {
    const base = this.#bases.get(id);
    const spec = base?.lessee?.spec;
    if (base === undefined || spec === undefined) return;
    const fault: Fault =
      breach.limit === 'memory' ? { kind: 'memory', usedMb: breach.usedMb } : { kind: 'cpu', stream: breach.stream };
    const why = describeFault(fault, spec);
    base.end(why, fault);
    // Such a thread seldom ends, and takes more and more meanwhile.
    if (breach.silent) base.host.kill(`${why}, and its thread answers nothing`, id);
  }

  #boot(host: HostProcess): void {
    const base = new Base({
      id: this.#options.newId('base'),
      host,
      onState: (changed, state, why) => this.#onBaseState(changed, state, why),
    });
    this.#bases.set(base.id, base);
    this.#event('base', base.id, 'started', 'refill');
    host.boot({
      base: base.id,
      socketPath: this.#options.socketPath,
      token: base.token,
      shared: host.definition.shared.map(({ specifier, path: file }) => ({ specifier, path: file })),
      setupPath: host.definition.setupPath,
      env: host.definition.env,
      filesDir: base.filesDir,
    });
    setTimeout(() => {
      if (base.state !== 'booting' && base.state !== 'rehearsing') return;
      base.end(`not warm within ${BOOT_MS} ms`);
    }, BOOT_MS).unref();
  }

  #onBaseState(base: Base, state: BaseState, why: string): void {
    if (state === 'warm') {
      this.#failures.get(base.host.definition.name)?.succeeded();
      this.#event('base', base.id, 'warm', why);
      this.serve();
      this.#schedule(0);
    } else if (state === 'leased') {
      this.#event('base', base.id, 'leased', why, base.takenFor ?? undefined);
    } else if (state === 'dead') {
      this.#baseDied(base, why);
    }
  }

  #baseDied(base: Base, why: string): void {
    this.#bases.delete(base.id);
    const failed = base.takenFor === null && !this.#givenUp.has(base);
    if (failed && base.host.state !== 'dead' && !this.#closed) this.#bootFailed(base.host, why);
    const ended = base.fault === null ? 'retired' : 'killed';
    this.#event('base', base.id, base.takenFor === null ? 'died' : ended, why, base.takenFor ?? undefined);
    this.#schedule(0);
    // Its slot is free once the thread is gone; a thread that does not end takes its host with it.
    this.#ending.set(base.id, base);
    void base.host.endBase(base.id).then(() => {
      this.#ending.delete(base.id);
      if (base.host.state === 'dead') return;
      emptyDirectory(base.filesDir);
      base.host.returnSlot(base.filesDir);
      this.#endIfSpare(base.host);
      this.serve();
      this.#schedule(0);
    });
  }

  /** A bound host without any base keeps its memory for nothing when another of its kind has room. */
  #endIfSpare(host: HostProcess): void {
    if (host.binding === null || host.freeSlots < host.slots.length) return;
    const key = keyOf(host.binding);
    for (const other of this.#hosts.values()) {
      if (other === host || other.definition !== host.definition || other.binding === null) continue;
      if (keyOf(other.binding) !== key || other.freeSlots === 0 || other.stuck) continue;
      host.kill('it holds nothing, and another host of its trust group has room');
      return;
    }
  }

  /** Something is wrong with the definition, the host or the machine: told, and not repeated without a pause. */
  #bootFailed(host: HostProcess, why: string): void {
    host.failedBoots++;
    const { name } = host.definition;
    const failures = this.#failures.getOrInsertComputed(name, () => new BootFailures());
    failures.failed(why, monotonicMs());
    if (failures.broken !== null) {
      this.#pending.reject(
        ({ definition }) => definition === name,
        new HearthError('NO_CAPACITY', `Bases of the definition "${name}" do not come up: ${failures.broken}.`),
      );
    }
    this.#options.log.error('a base did not come up', { base: host.definition.name, host: host.id, why });
    if (host.failedBoots >= FAILED_BOOTS) host.kill(`${FAILED_BOOTS} bases did not come up`);
  }

  #booting(): number {
    let booting = 0;
    for (const base of this.#bases.values()) if (base.state === 'booting' || base.state === 'rehearsing') booting++;
    return booting;
  }

  #event(subject: PoolEvent['subject'], id: string, what: PoolEvent['what'], why: string, functionName?: string): void {
    this.#options.event({
      time: this.#options.now(),
      subject,
      id,
      what,
      why,
      ...(functionName === undefined ? {} : { function: functionName }),
    });
  }
}

function limitMb(base: Base): number | null {
  return base.lessee?.spec.limits.memoryMb ?? null;
}

/** The directory itself stays: a thread that starts meanwhile must find each slot to be one. */
function emptyDirectory(dir: string): void {
  for (const entry of readdirSync(dir)) rmSync(path.join(dir, entry), { recursive: true, force: true });
}

/** The `node_modules` in which a library stands with its dependencies; the file itself when it stands in none. */
function modulesDirectory(file: string): string {
  const name = `${path.sep}node_modules${path.sep}`;
  const at = file.indexOf(name);
  return at < 0 ? file : file.slice(0, at + name.length - 1);
}

/** Whether a base of this host could serve that lease. */
function fits(host: HostProcess, wanted: Wanted): boolean {
  if (host.definition.name !== wanted.definition) return false;
  return host.binding === null || keyOf(host.binding) === keyOf(wanted);
}
