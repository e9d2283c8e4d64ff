/**
 * A real gateway with an attacker in it, whose code is given with each call, and a well-behaved neighbour in another
 * trust group that is called all the while and may see no error.
 */
import assert from 'node:assert/strict';
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
  const deployAttacker: Rig['deployAttacker'] = async (name, manifest = {}, files = {}) => {
    const { hearth, ...rest } = manifest as { hearth?: object };
    await gateway.deploy(
      name,
      { 'index.ts': SOURCE, ...files },
      { manifest: { name, main: 'index.ts', hearth: { trustGroup: 'attackers', ...hearth }, ...rest } },
    );
  };
  const neighbour = { calls: 0, errors: [] as string[], ended: false };
  let traffic: Promise<void> = Promise.resolve();

  async function bother(): Promise<void> {
    while (!neighbour.ended) {
      try {
        const response = await fetch(`${gateway.url}/neighbour`);
        const text = await response.text();
        neighbour.calls++;
        if (response.status !== 200 || text !== 'fine') neighbour.errors.push(`${response.status} ${text}`);
      } catch (error) {
        neighbour.errors.push(String((error as Error).cause ?? error));
      }
      // Steady, not a load: the cores are shared with other tests.
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  try {
    await gateway.deploy(
      'neighbour',
      { 'index.ts': 'export default { fetch: () => new Response("fine") }' },
      { manifest: { name: 'neighbour', main: 'index.ts', hearth: { trustGroup: 'neighbours' } } },
    );
    await deployAttacker('attacker', { hearth });
    traffic = bother();
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
      neighbour.ended = true;
      await traffic;
      await gateway[Symbol.asyncDispose]();
      assert.deepEqual(neighbour.errors, [], 'the neighbour saw nothing of it');
      assert.ok(neighbour.calls > 0);
    },
  };
}
