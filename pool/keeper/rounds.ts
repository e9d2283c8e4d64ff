/** What the keeper looks after by itself, at its own pace: calls that wait too long, instances, hosts, quarantine. */
import { availableParallelism } from 'node:os';
import { monotonicMs } from '../../functions/contract/invocation.ts';
import type { Blame } from './blame/blame.ts';
import type { FunctionPools } from './function-pools.ts';
import type { Generations } from './generations/generations.ts';
import type { HostProcess } from './hosts/host-process.ts';
import { type HostWatch, LOOK_MS } from './hosts/host-watch.ts';
import type { Instance } from './instance.ts';
import type { Fleet } from './stock/fleet.ts';

export interface RoundsOptions {
  functions: FunctionPools;
  fleet: Fleet;
  hostWatch: HostWatch<HostProcess>;
  generations: Generations;
  blame: Blame;
  /** Epoch ms. */
  now(): number;
  /** Monotonic ms by which idle times are measured, where that is not the machine's own. */
  idleClock?: () => number;
}

const SWEEP_MS = 50;
const TEND_MS = 250;
/** Functions without an instance are tended each so many times. */
const TENDS_OF_COLD = 4;
/** The gateway's own loop was later than this: it cannot tell whether others are. */
const OWN_LAG_MS = 15;
const SLOW_SWEEP_MS = 5_000;
/** A base that answers no ping for so long is blocked. */
const PING_MS = 1_000;

export class Rounds {
  readonly #options: RoundsOptions;
  readonly #timers: NodeJS.Timeout[];
  #tendedAt = monotonicMs();
  #tends = 0;

  /** They begin at once. */
  constructor(options: RoundsOptions) {
    this.#options = options;
    const every = (ms: number, look: () => void) => setInterval(look, ms).unref();
    this.#timers = [
      every(SWEEP_MS, () => this.#sweep()),
      every(LOOK_MS, () => options.hostWatch.look()),
      every(TEND_MS, () => this.#tend()),
      every(SLOW_SWEEP_MS, () => this.#slowSweep()),
    ];
  }

  end(): void {
    for (const timer of this.#timers) clearInterval(timer);
  }

  #sweep(): void {
    const { functions, fleet } = this.#options;
    const now = monotonicMs();
    for (const pool of functions.all()) pool.sweep(now);
    // Somebody waits in a full pool: an instance may have become idle since.
    if (fleet.pending > 0) fleet.sweepPending(now);
  }

  #tend(): void {
    const { functions, fleet, idleClock } = this.#options;
    const now = monotonicMs();
    const lagged = now - this.#tendedAt - TEND_MS > OWN_LAG_MS;
    this.#tendedAt = now;
    fleet.tidy();
    const busyLoops = new Map<string, number>();
    for (const { spec, busyLoops: busy } of functions.serving) {
      busyLoops.set(spec.pool, (busyLoops.get(spec.pool) ?? 0) + busy);
    }
    const rooms = new Map<string, boolean>();
    // Without an instance there is only prewarming to think of, which has time.
    const all = this.#tends++ % TENDS_OF_COLD === 0;
    for (const pool of functions.serving) {
      if (!all && pool.instances.size === 0) continue;
      const name = pool.spec.pool;
      pool.tend({
        now: idleClock?.() ?? now,
        busyLoops: busyLoops.get(name) ?? 0,
        cores: availableParallelism(),
        lagged,
        room: rooms.getOrInsertComputed(name, () => fleet.hasRoom(name)),
      });
    }
    for (const pool of functions.beside) for (const instance of pool.instances) instance.giveUpLoading(now);
  }

  #slowSweep(): void {
    const { fleet, generations, blame, now } = this.#options;
    fleet.sweepHosts(now());
    generations.tidy();
    blame.sweep();
  }
}

/** After a timeout: a base that answers goes on draining, one that does not is ended. */
export function checkAlive(instance: Instance): void {
  if (instance.state === 'acquiring' || instance.state === 'gone') return;
  // It stands still, for no fault of its own.
  if (instance.base.profiled === 'heap') return;
  let answered = false;
  const settle = () => {
    answered = true;
    clearTimeout(timer);
  };
  const late = () => {
    if (!answered) instance.kill(`no answer to a ping within ${PING_MS} ms`, { kind: 'blocked' });
  };
  // If it was the gateway that stood still, the answer has come by now and is read before the immediate.
  const timer = setTimeout(() => setImmediate(late), PING_MS);
  instance.base.ping().then(settle, settle);
}
