/**
 * One host as the gateway sees it: a child process, its slots, and what it was bound to by its first lease.
 *
 *   starting ──ready──► running ──last base gone, or told to──► draining ──► dead
 *       └──────────────────┴───────────── exit, kill ─────────────────────────┘
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { BaseTask } from '../../base/task.ts';
import { assertNever, type FromHost, type HostSettings, type ProfileKind, type ToHost } from '../../host/messages.ts';
import type { Breach } from '../../host/watch.ts';
import type { BaseDefinition } from '../definition.ts';
import type { Logger } from '../log.ts';
import { DEFAULT_POOL } from '../pools.ts';
import { HOST_FLAGS } from './bundle.ts';
import { HostProfile } from './host-profile.ts';
import { type Resident, ResidentMeter } from './resident.ts';
import { hostFiles, pidInside, type Sandbox } from './sandbox.ts';

export type HostState = 'starting' | 'running' | 'draining' | 'dead';

const MOVES: Record<HostState, readonly HostState[]> = {
  starting: ['running', 'dead'],
  running: ['draining', 'dead'],
  draining: ['dead'],
  dead: [],
};

/** What the first lease of a host fixes for its life: only such leases follow. */
export interface HostBinding {
  trustGroup: string;
  network: 'all' | 'none';
  /** Named pool of hosts. */
  pool: string;
}

export interface HostOptions {
  id: string;
  definition: BaseDefinition;
  settings: HostSettings;
  /** Directory of this host: a slot below it for each base's files. */
  dir: string;
  /** Null: a process like any other. */
  sandbox: Sandbox | null;
  /** What the sandbox gives it; without a sandbox each base keeps its own policy. */
  network: 'all' | 'none';
  /** Where its bases connect. */
  socketPath: string;
  /** Of the loopback address, for a debugger; 0: any. Absent: none may come. */
  inspectPort?: number | null;
  log: Logger;
  onState(host: HostProcess, state: HostState, why: string): void;
  onBaseEnded(base: string, reason: string): void;
  /** The host saw one of its bases go over a limit. */
  onBreach(base: string, breach: Breach): void;
  /** What it measured of one of its bases; see pool/host/messages.ts. */
  onMeasured(base: string, heldMb: number): void;
}

/**
 * `terminate()` does not come back from some loops and system calls: then the process has to go. It comes back in 2 ms
 * otherwise; on a machine that is loaded fivefold a second was too little, and neighbours went with what was healthy.
 */
const END_MS = 5_000;
/** A thread that takes longer than this to end may well take its host along: nothing new is placed beside it. */
const STUCK_MS = 100;

/**
 * What each host may set libuv's threads to: all bases of a host share them, and the four of the default are soon all
 * taken by one function's pbkdf2 or slow look-ups of names.
 */
const UV_THREADS = '16';

/** What Node says of `--inspect`. */
const DEBUGGER = /Debugger listening on (ws:\S+)/;

const HOST_MAIN = path.join(import.meta.dirname, '../../host/main.ts');

export class HostProcess {
  readonly id: string;
  readonly inspectPort: number | null;
  readonly definition: BaseDefinition;
  #binding: HostBinding | null = null;
  /** It was ended from here, for no fault or on account of one base. Else it died by itself. */
  killed = false;
  culprit: string | null = null;
  /** Boots that never said hello, in a row. */
  failedBoots = 0;
  /** Named pool that it serves. As long as nothing binds it, it may go to another: see lending.ts. */
  pool = DEFAULT_POOL;
  /** The pool whose size it counts against, when that is not the one it serves. */
  lentBy: string | null = null;
  /** Bases in it that are held. */
  leased = 0;
  /** Monotonic ms of its last lease; 0: none yet. */
  leasedAt = 0;
  /** What a snapshot of a heap in it may take, or has taken for good. */
  snapshotMb = 0;
  /** Resident bytes at the last poll. */
  memoryBytes: number | null = null;
  readonly slots: string[];
  readonly #free: string[];
  /** Bases whose threads should have ended and have not. */
  readonly #stuck = new Set<string>();
  /** Threads by the base that lives in them. */
  readonly #threads = new Map<string, PromiseWithResolvers<void>>();
  readonly #child: ChildProcess;
  readonly #options: HostOptions;
  readonly #exited = Promise.withResolvers<void>();
  #pid: number | null;
  #resident: ResidentMeter | null = null;
  /** Monotonic ms of the ping that waits for its answer; null: none does. */
  #pingedAt: number | null = null;
  #state: HostState = 'starting';
  #profile: HostProfile | null = null;
  #profiles = 0;

  constructor(options: HostOptions) {
    this.#options = options;
    this.id = options.id;
    this.inspectPort = options.inspectPort ?? null;
    this.definition = options.definition;
    this.slots = Array.from({ length: options.settings.maxBases }, (_, n) => path.join(options.dir, `slot-${n}`));
    this.#free = [...this.slots];
    // Each slot must be there when a thread starts: a grant for what does not exist yet covers no directory.
    for (const slot of this.slots) mkdirSync(slot, { recursive: true, mode: 0o700 });
    // Node grants a worker under --permission all that is below the working directory of its process (seen on 26.10):
    // so that is a directory in which there is nothing.
    const cwd = path.join(options.dir, 'nothing');
    mkdirSync(cwd, { mode: 0o500 });
    // Nothing of our own environment: NODE_OPTIONS and secrets of the gateway must not reach function code.
    const env = { UV_THREADPOOL_SIZE: UV_THREADS };
    const inspect = this.inspectPort === null ? [] : [`--inspect=127.0.0.1:${this.inspectPort}`];
    const command = [process.execPath, ...HOST_FLAGS, ...inspect, HOST_MAIN];
    const { file, args } = inSandbox(command, cwd, options);
    this.#child = spawn(file, args, { env, stdio: ['ignore', 'pipe', 'pipe', 'ipc'], cwd });
    this.#pid = this.#child.pid ?? null;
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        options.log.debug('host output', { host: this.id, text: String(chunk) });
        const [, url] = DEBUGGER.exec(String(chunk)) ?? [];
        if (url !== undefined) options.log.warn(`functions can be debugged at ${url}`, { host: this.id });
      });
    }
    this.#child.on('error', (error) => {
      this.#die(`could not start: ${error.message}`);
      this.#exited.resolve();
    });
    this.#child.on('exit', (code, signal) => {
      this.#die(signal === null ? `exit code ${code}` : `signal ${signal}`);
      this.#exited.resolve();
    });
    this.#child.on('message', (message: FromHost) => {
      try {
        this.#onMessage(message);
      } catch (error) {
        // Function code runs in that process: what comes over the channel may be anything.
        this.kill(`a message against the rules: ${String(error)}`);
      }
    });
    this.#preferAsVictim();
    this.#send({
      type: 'configure',
      settings: { ...options.settings, readable: [...options.settings.readable, ...this.slots] },
    });
  }

  /** As the machine numbers it; in a sandbox known from `running` on. */
  get pid(): number | null {
    return this.#pid;
  }

  get state(): HostState {
    return this.#state;
  }

  get binding(): HostBinding | null {
    return this.#binding;
  }

  /** By its first lease, once. */
  bind(binding: HostBinding): void {
    if (this.#binding !== null) throw new Error(`Host ${this.id} is bound already.`);
    this.#binding = binding;
  }

  /** It will be killed soon, unless a thread ends after all. */
  get stuck(): boolean {
    return this.#stuck.size > 0;
  }

  get freeSlots(): number {
    return this.#state === 'starting' || this.#state === 'running' ? this.#free.length : 0;
  }

  /** Resolves when the process is gone. */
  get exited(): Promise<void> {
    return this.#exited.promise;
  }

  /** Takes a slot for a base that is about to boot. */
  takeSlot(): string {
    const slot = this.#free.pop();
    if (slot === undefined) throw new Error(`Host ${this.id} has no free slot.`);
    return slot;
  }

  returnSlot(slot: string): void {
    this.#free.push(slot);
  }

  boot(task: BaseTask): void {
    this.#threads.set(task.base, Promise.withResolvers());
    this.#send({ type: 'boot', task });
  }

  /** Resolves when the thread of this base is gone: by itself, by being ended, or with the whole host. */
  async endBase(base: string): Promise<void> {
    const thread = this.#threads.get(base);
    if (thread === undefined) return;
    this.#send({ type: 'end', base });
    const grace = setTimeout(() => this.kill(`base ${base} did not end within ${END_MS} ms`, base), END_MS);
    const stuck = setTimeout(() => this.#stuck.add(base), STUCK_MS);
    await thread.promise;
    clearTimeout(grace);
    clearTimeout(stuck);
    this.#stuck.delete(base);
  }

  /** What is being taken of it. */
  get profiling(): ProfileKind | null {
    return this.#profile?.kind ?? null;
  }

  /** A profile of one base, in pieces that come as they are asked for. One at a time: ask `profiling` first. */
  async *profile(base: string, kind: ProfileKind, durationMs: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const send = (message: ToHost) => this.#send(message);
    const profile = new HostProfile({ id: ++this.#profiles, base, kind, durationMs, send });
    this.#profile = profile;
    try {
      yield* profile.pieces(signal);
    } finally {
      this.#profile = null;
    }
  }

  /** What it takes now; null when that is unknown. */
  resident(): Resident | null {
    if ((this.#state !== 'running' && this.#state !== 'draining') || this.#pid === null) return null;
    this.#resident ??= new ResidentMeter(this.#pid);
    const resident = this.#resident.read();
    this.memoryBytes = resident?.bytes ?? null;
    return resident;
  }

  /** Asks it to answer, unless it still owes an answer. Says for how many ms it has owed one. */
  ping(now: number): number {
    if (this.#state !== 'running' && this.#state !== 'draining') return 0;
    if (this.#pingedAt !== null) return now - this.#pingedAt;
    this.#pingedAt = now;
    this.#send({ type: 'ping' });
    return 0;
  }

  /** The gateway was late itself: what is owed counts from now on. */
  forgive(now: number): void {
    if (this.#pingedAt !== null) this.#pingedAt = now;
  }

  /** No more bases are started here. */
  drain(why: string): void {
    if (this.#state === 'running') this.#move('draining', why);
  }

  /** `culprit`: the base on account of which it has to go. */
  kill(why: string, culprit: string | null = null): void {
    if (this.#state === 'dead') return;
    this.killed = true;
    this.culprit = culprit;
    this.#child.kill('SIGKILL');
    this.#die(why);
  }

  #onMessage(message: FromHost): void {
    switch (message.type) {
      case 'ready':
        if (this.#state !== 'starting') return;
        if (this.#options.sandbox !== null) {
          this.#pid = pidInside(this.#child);
          this.#preferAsVictim();
        }
        this.#move('running', 'ready');
        return;
      case 'ended':
        if (!this.#threads.has(message.base)) return;
        this.#threads.get(message.base)?.resolve();
        this.#threads.delete(message.base);
        this.#options.onBaseEnded(message.base, message.reason);
        return;
      case 'over':
        if (this.#threads.has(message.base)) this.#options.onBreach(message.base, message.breach);
        return;
      case 'pong':
        this.#pingedAt = null;
        for (const [base, heldMb] of Object.entries(message.heldMb)) {
          if (!(heldMb >= 0 && heldMb < Number.POSITIVE_INFINITY)) throw new Error(`${heldMb} MB`);
          if (this.#threads.has(base)) this.#options.onMeasured(base, heldMb);
        }
        return;
      case 'profile-piece':
      case 'profile-failed':
        if (message.id === this.#profile?.id) this.#profile.hear(message);
        else if (!(message.id <= this.#profiles)) throw new Error(`profile ${message.id}`);
        return;
      default:
        assertNever(message);
    }
  }

  #send(message: ToHost): void {
    // A host that is going away takes no messages; its exit says the rest.
    if (this.#child.connected) this.#child.send(message, () => undefined);
  }

  #die(why: string): void {
    if (this.#state === 'dead') return;
    this.#resident?.close();
    this.#move('dead', why);
    this.#profile?.died(`its host died: ${why}`);
    for (const thread of this.#threads.values()) thread.resolve();
    this.#threads.clear();
  }

  #move(to: HostState, why: string): void {
    if (!MOVES[this.#state].includes(to)) throw new Error(`Host ${this.id}: ${this.#state} → ${to}`);
    this.#state = to;
    this.#options.onState(this, to, why);
  }

  /** When memory runs out the kernel should take a host, never the gateway. */
  #preferAsVictim(): void {
    if (this.pid === null) return;
    try {
      writeFileSync(`/proc/${this.pid}/oom_score_adj`, '500');
    } catch (error) {
      this.#options.log.debug('could not raise the oom score of a host', { host: this.id, error: String(error) });
    }
  }
}

function inSandbox(command: string[], cwd: string, options: HostOptions): { file: string; args: string[] } {
  const [file = '', ...args] = command;
  const { sandbox, settings, network, socketPath, dir } = options;
  if (sandbox === null) return { file, args };
  const readable = [...hostFiles(), path.dirname(settings.baseFile), ...settings.readable, socketPath, dir];
  return sandbox.wrap(command, { readable, cwd, network });
}
