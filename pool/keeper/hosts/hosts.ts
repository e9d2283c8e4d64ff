/**
 * Hosts and the bases in them, from spawn to their end, and which function is to blame for that. When a base is booted is
 * the stock's business (stock.ts), who gets it that of placement.ts, when a host leaves that of leaving.ts.
 */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { monotonicMs } from '../../../functions/contract/invocation.ts';
import type { Breach } from '../../host/watch.ts';
import type { BaseState, ModuleSpec, PoolEvent } from '../api.ts';
import type { BaseDefinition } from '../definition.ts';
import type { Logger } from '../log.ts';
import type { Pools } from '../pools.ts';
import type { FleetSettings } from '../settings.ts';
import { Base } from './base.ts';
import { Endings } from './endings.ts';
import { describeFault, type Fault } from './fault.ts';
import { type HostBinding, HostProcess } from './host-process.ts';
import { Leaving } from './leaving.ts';
import { rehearse } from './rehearsal.ts';
import { Roster } from './roster.ts';

export interface HostsOptions {
  settings: FleetSettings;
  pools: Pools;
  runDir: string;
  socketPath: string;
  baseFile: string;
  newId(kind: 'host' | 'base'): string;
  now(): number;
  log: Logger;
  event(event: PoolEvent): void;
  owner: HostsOwner;
}

export interface HostsOwner {
  /** Somebody waits for a base of this host: it is served sooner without a rehearsal, the first call is one. */
  awaited(host: HostProcess): boolean;
  /** Leases come one after another just now. */
  leasing(): boolean;
  warm(base: Base): void;
  /** A base ended before it was ever warm, or a warm one by itself. */
  bootFailed(definition: BaseDefinition, why: string): void;
  /** A base or a host is gone. */
  ended(): void;
  /** The thread of a base is gone too: its slot can be used again. */
  slotFree(): void;
  /** A host is gone on account of this. */
  tookDown(spec: ModuleSpec, why: string): void;
}

/** From spawn to warm; on a machine that is busy a boot takes several times its usual 100 ms. */
const BOOT_MS = 20_000;
const FAILED_BOOTS = 3;

export class Hosts {
  readonly roster = new Roster();
  readonly leaving: Leaving;
  readonly #options: HostsOptions;
  readonly #endings: Endings;
  /** Warm ones that were ended to make room: no fault of theirs. */
  readonly #givenUp = new WeakSet<Base>();
  #closed = false;

  constructor(options: HostsOptions) {
    this.#options = options;
    this.leaving = new Leaving({
      roster: this.roster,
      giveUp: (base, why) => this.giveUp(base, why),
      event: (host, what, why) => this.#event(host, what, why),
    });
    this.#endings = new Endings({
      quiet: () => !options.owner.leasing(),
      end: (base) => this.#endThread(base),
      now: monotonicMs,
      after: (ms, call) => {
        const timer = setTimeout(call, ms);
        return { cancel: () => clearTimeout(timer) };
      },
    });
  }

  /* ── from spawn to warm ── */

  /** `binding`: what it is bound to from the start; null: by its first lease. */
  start(definition: BaseDefinition, pool: string, binding: HostBinding | null): HostProcess {
    const { settings, pools, socketPath, log } = this.#options;
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
      sandbox: settings.sandbox,
      network: binding?.network ?? settings.stockNetwork,
      socketPath,
      inspectPort: this.#inspectPort(),
      log,
      settings: {
        baseFile: this.#options.baseFile,
        readable,
        maxBases: pools.slotsOf(pool),
        heapLimitMb: settings.heapLimitMb,
        inspected: settings.inspectPort !== undefined,
        ownSession: settings.sandbox !== null,
      },
      onState: (changed, state, why) => {
        if (state === 'running') this.#event(changed, 'started', why);
        if (state === 'dead') this.#hostDied(changed, dir, why);
      },
      onBaseEnded: (base, reason) => this.roster.base(base)?.end(reason),
      onBreach: (base, breach) => this.#breached(base, breach),
      onMeasured: (id, heldMb) => {
        const base = this.roster.base(id);
        if (base !== undefined) base.heldMb = heldMb;
      },
    });
    host.pool = pool;
    if (binding !== null) host.bind(binding);
    this.roster.addHost(host);
    return host;
  }

  /** The first that no host has. */
  #inspectPort(): number | null {
    const { inspectPort } = this.#options.settings;
    if (inspectPort === undefined) return null;
    const taken = new Set(Array.from(this.roster.hosts, (host) => host.inspectPort));
    let port = inspectPort;
    while (port !== 0 && taken.has(port)) port++;
    return port;
  }

  boot(host: HostProcess): void {
    let late: NodeJS.Timeout | undefined;
    const base = new Base({
      id: this.#options.newId('base'),
      host,
      onState: (changed, state, why) => {
        if (state === 'warm' || state === 'dead') clearTimeout(late);
        this.#onBaseState(changed, state, why);
      },
    });
    this.roster.addBase(base);
    this.#event(base, 'started', 'refill');
    host.boot({
      base: base.id,
      socketPath: this.#options.socketPath,
      token: base.token,
      shared: host.definition.shared.map(({ specifier, path: file }) => ({ specifier, path: file })),
      setupPath: host.definition.setupPath,
      env: host.definition.env,
      filesDir: base.filesDir,
    });
    late = setTimeout(() => base.end(`not warm within ${BOOT_MS} ms`), BOOT_MS);
    late.unref();
  }

  /** The base that may say hello with this token. */
  claim(id: string, token: string): Base | undefined {
    const base = this.roster.base(id);
    return base !== undefined && base.state === 'booting' && base.token === token ? base : undefined;
  }

  /** Called when a base has said hello. */
  attached(base: Base): void {
    base.host.failedBoots = 0;
    if (this.#options.owner.awaited(base.host)) {
      base.rehearsed();
      return;
    }
    const shared = base.host.definition.shared.map(({ specifier }) => specifier);
    rehearse(base, shared).then(
      () => {
        if (base.state === 'rehearsing') base.rehearsed();
      },
      (error: unknown) => base.end(String(error)),
    );
  }

  #onBaseState(base: Base, state: BaseState, why: string): void {
    if (state === 'warm') {
      this.#event(base, 'warm', why);
      this.#options.owner.warm(base);
    } else if (state === 'leased') {
      this.#event(base, 'leased', why, base.takenFor ?? undefined);
    } else if (state === 'dead') {
      this.#baseDied(base, why);
    }
  }

  /* ── their end ── */

  /** Ends a warm base that nobody holds. */
  giveUp(base: Base, why: string): void {
    this.#givenUp.add(base);
    base.end(why);
  }

  #baseDied(base: Base, why: string): void {
    if (base.takenFor !== null) base.host.leased--;
    const failed = base.takenFor === null && !this.#givenUp.has(base);
    if (failed && base.host.state !== 'dead' && !this.#closed) this.#bootFailed(base.host, why);
    const ended = base.fault === null ? 'retired' : 'killed';
    const lost = base.takenFor !== null && !this.#closed && (base.fault !== null || base.host.state === 'dead');
    this.#event(base, failed ? 'died' : ended, why, base.takenFor ?? undefined, lost);
    this.roster.baseDied(base);
    this.#endings.add(base);
    this.#options.owner.ended();
  }

  /** Its slot is free once the thread is gone; a thread that does not end takes its host with it. */
  async #endThread(base: Base): Promise<void> {
    const gone = base.host.endBase(base.id);
    // This is called while the base dies: whoever held it hears why before what its link carries breaks off.
    await Promise.resolve();
    base.close('retired');
    await gone;
    this.roster.threadGone(base);
    if (base.host.state === 'dead') return;
    emptyDirectory(base.filesDir);
    base.host.returnSlot(base.filesDir);
    this.leaving.endIfSpare(base.host);
    this.#options.owner.slotFree();
  }

  /** Threads of retired bases that were to end later end now: somebody needs what they hold. */
  flush(): void {
    this.#endings.flush();
  }

  /** Something is wrong with the definition, the host or the machine. */
  #bootFailed(host: HostProcess, why: string): void {
    host.failedBoots++;
    this.#options.owner.bootFailed(host.definition, why);
    this.#options.log.error('a base did not come up', { base: host.definition.name, host: host.id, why });
    if (host.failedBoots >= FAILED_BOOTS) host.kill(`${FAILED_BOOTS} bases did not come up`);
  }

  #hostDied(host: HostProcess, dir: string, why: string): void {
    this.roster.hostDied(host);
    const culprit = host.killed ? host.culprit : this.roster.suspect(host);
    const blamed = culprit === null ? undefined : this.roster.lesseeOf(culprit)?.spec;
    this.#event(host, culprit === null ? 'died' : 'killed', why, blamed?.functionName);
    for (const base of this.roster.basesOf(host)) base.end(`its host died: ${why}`);
    // Not before the process is gone: until then it may still write.
    void host.exited.then(() => rmSync(dir, { recursive: true, force: true }));
    if (blamed !== undefined) this.#options.owner.tookDown(blamed, why);
    this.#options.owner.ended();
  }

  /** All of them, at once. */
  kill(why: string): void {
    this.#closed = true;
    for (const host of [...this.roster.hosts]) host.kill(why);
    this.#endings.flush();
  }

  #breached(id: string, breach: Breach): void {
    const base = this.roster.base(id);
    const spec = base?.lessee?.answerable(breach);
    if (base === undefined || spec === undefined) return;
    const fault: Fault =
      breach.limit === 'memory' ? { kind: 'memory', usedMb: breach.usedMb } : { kind: 'cpu', stream: breach.stream };
    const why = describeFault(fault, spec);
    base.end(why, fault);
    // Such a thread seldom ends, and takes more and more meanwhile.
    if (breach.silent) base.host.kill(`${why}, and its thread answers nothing`, id);
  }

  #event(of: HostProcess | Base, what: PoolEvent['what'], why: string, functionName?: string, lost = false): void {
    const [subject, host] = of instanceof Base ? (['base', of.host] as const) : (['host', of] as const);
    this.#options.event({
      time: this.#options.now(),
      subject,
      id: of.id,
      what,
      why,
      ...(lost ? { lost } : {}),
      pool: host.pool,
      ...(functionName === undefined ? {} : { function: functionName }),
    });
  }
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
