/**
 * A real gateway with an attacker in it, whose code is given with each call, and two well-behaved neighbours that are
 * called all the while: one in another trust group, which may see no error, and one beside the attacker, which may lose
 * what was in flight when a host went. In the end nothing may be left of the attacks.
 */
import assert from 'node:assert/strict';
import { belongingsAtRest, type Hosts, nothingLeft } from '../../../pool/keeper/containment/belongings.ts';
import { startGateway, type TestGateway } from '../../testing/gateway.ts';

export interface Attack {
  status: number;
  /** What the code returned; a problem when it brought the function down. */
  body: unknown;
}

export interface Rig extends AsyncDisposable {
  /** The name of an attacker that did nothing before: one that killed several hosts is in quarantine. */
  freshAttacker(): Promise<string>;
  gateway: TestGateway;
  /** Runs the code, the body of an async function (require, env, process, request), in a base that ran nothing before. */
  attack(code: string, name?: string): Promise<Attack>;
  /** What `attack` returned. Throws when the function did not live to answer. */
  result(code: string, name?: string): Promise<unknown>;
  /** A function that `attack` can be told to use instead of `attacker`. */
  deployAttacker(name: string, manifest?: Record<string, unknown>, files?: Record<string, string>): Promise<void>;
}

/** `attempt` tells what a thing said no with; `patch` replaces a method and gives back a function that undoes it. */
const SOURCE = `
const AsyncFunction = (async () => {}).constructor;
const attempt = async (act) => { try { return await act() } catch (error) { return 'refused: ' + (error && (error.code || '') + ' ' + error.message) } };
export default {
  async fetch(request, env, ctx) {
    const run = new AsyncFunction('require', 'env', 'process', 'request', 'attempt', 'ctx', await request.text());
    const result = await run(require, env, process, request, attempt, ctx);
    return result instanceof Response ? result : Response.json(result ?? null);
  },
}`;

/** `hearth`: of the attacker's manifest. */
export async function startRig(hearth: object = {}): Promise<Rig> {
  // Without bubblewrap, which would hide what the walls inside of Node let pass; it has a test of its own.
  const gateway = await startGateway({ env: { HEARTH_LOG: 'warn', HEARTH_SANDBOX: 'off' } });
  const attackers = new Set<string>();
  const deployAttacker: Rig['deployAttacker'] = async (name, manifest = {}, files = {}) => {
    const { hearth, ...rest } = manifest as { hearth?: object };
    attackers.add(name);
    await gateway.deploy(
      name,
      { 'index.ts': SOURCE, ...files },
      { manifest: { name, main: 'index.ts', hearth: { trustGroup: 'attackers', ...hearth }, ...rest } },
    );
  };
  const apart = new Neighbour(gateway, 'neighbour', 'neighbours');
  const beside = new Neighbour(gateway, 'beside', 'attackers');
  const pool = async () => (await gateway.api<Hosts>('GET', '/v1/pool')).body;
  const events = async () => (await gateway.api<Events>('GET', '/v1/pool/events?limit=1000')).body.events;
  let rest: Awaited<ReturnType<typeof belongingsAtRest>>;

  try {
    for (const neighbour of [apart, beside]) await neighbour.deploy();
    await deployAttacker('attacker', { hearth });
    rest = await belongingsAtRest(gateway.pid, pool);
    apart.start();
    beside.start();
  } catch (error) {
    await gateway[Symbol.asyncDispose]();
    throw error;
  }

  const attack: Rig['attack'] = async (code, name = 'attacker') => {
    await gateway.api('POST', `/v1/functions/${name}/evict`);
    const response = await fetch(`${gateway.url}/${name}`, { method: 'POST', body: code });
    const text = await response.text();
    return { status: response.status, body: text === '' ? null : JSON.parse(text) };
  };

  let fresh = 0;
  return {
    gateway,
    attack,
    async freshAttacker() {
      const name = `attacker-${++fresh}`;
      await deployAttacker(name, { hearth });
      return name;
    },
    async result(code, name) {
      const { status, body } = await attack(code, name);
      assert.equal(status, 200, JSON.stringify(body));
      return body;
    },
    deployAttacker,
    async [Symbol.asyncDispose]() {
      try {
        await Promise.all([apart.stop(), beside.stop()]);
        for (const name of attackers) await gateway.api('POST', `/v1/functions/${name}/evict`);
        await nothingLeft(gateway.pid, pool, rest);
        const hosts = (await events()).filter(({ subject, what }) => {
          return subject === 'host' && (what === 'killed' || what === 'died');
        });
        assert.deepEqual(apart.errors, [], 'the neighbour in another trust group saw nothing of it');
        assert.ok(beside.errors.length <= hosts.length, `beside: ${beside.errors.join('; ')}`);
        for (const error of beside.errors) assert.match(error, /^502 .*FUNCTION_CRASHED/);
        assert.ok(apart.calls > 0 && beside.calls > 0);
      } finally {
        await gateway[Symbol.asyncDispose]();
      }
    },
  };
}

interface Events {
  events: { subject: string; what: string }[];
}

/** Steady, not a load: the cores are shared with other tests. */
const PACE_MS = 15;

class Neighbour {
  readonly #gateway: TestGateway;
  readonly #name: string;
  readonly #trustGroup: string;
  readonly errors: string[] = [];
  calls = 0;
  #ended = false;
  #traffic: Promise<void> = Promise.resolve();

  constructor(gateway: TestGateway, name: string, trustGroup: string) {
    this.#gateway = gateway;
    this.#name = name;
    this.#trustGroup = trustGroup;
  }

  async deploy(): Promise<void> {
    await this.#gateway.deploy(
      this.#name,
      { 'index.ts': 'export default { fetch: () => new Response("fine") }' },
      { manifest: { name: this.#name, main: 'index.ts', hearth: { trustGroup: this.#trustGroup } } },
    );
  }

  start(): void {
    this.#traffic = this.#run();
  }

  async stop(): Promise<void> {
    this.#ended = true;
    await this.#traffic;
  }

  async #run(): Promise<void> {
    while (!this.#ended) {
      try {
        const response = await fetch(`${this.#gateway.url}/${this.#name}`);
        const text = await response.text();
        this.calls++;
        if (response.status !== 200 || text !== 'fine') this.errors.push(`${response.status} ${text}`);
      } catch (error) {
        this.errors.push(String((error as Error).cause ?? error));
      }
      await new Promise((resolve) => setTimeout(resolve, PACE_MS));
    }
  }
}
