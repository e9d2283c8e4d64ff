/**
 * A real keeper with two well-behaved functions that are called all the time while another one misbehaves: one in a
 * trust group of its own, one beside the culprit. And a count of what a run leaves behind.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { TestContext } from 'node:test';
import type { HearthError } from '../../../functions/contract/errors.ts';
import type { ModuleLimits, ModuleSpec } from '../api.ts';
import type { FleetSettings } from '../settings.ts';
import { ask, Call, fetchModule, type Harness, moduleOf, startKeeper } from '../testing/harness.ts';

/** Between two calls of a neighbour, ms: enough to have one under way at most moments, and to leave a core free. */
const PACE_MS = 4;

export const CULPRIT_LIMITS = { memoryMb: 64, timeoutMs: 3_000 } satisfies Partial<ModuleLimits>;

/** A function that is called again and again. */
class Neighbour {
  readonly spec: ModuleSpec;
  readonly #harness: Harness;
  readonly errors: HearthError[] = [];
  answered = 0;
  #stopped = false;
  #running: Promise<void> = Promise.resolve();

  constructor(harness: Harness, trustGroup: string) {
    this.#harness = harness;
    this.spec = fetchModule(`return new Response('well')`, { name: `well-${trustGroup}`, trustGroup });
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      try {
        const { text } = await ask(this.#harness.keeper, this.spec);
        assert.equal(text, 'well');
        this.answered++;
      } catch (error) {
        this.errors.push(error as HearthError);
      }
      await new Promise((resolve) => setTimeout(resolve, PACE_MS));
    }
  }
}

export interface Outcome {
  /** What the culprit's caller was told; null: it got an answer. */
  error: HearthError | null;
  text: string | null;
}

export class Arena {
  readonly harness: Harness;
  readonly #apart: Neighbour;
  readonly #beside: Neighbour;

  private constructor(harness: Harness) {
    this.harness = harness;
    this.#apart = new Neighbour(harness, 'apart');
    this.#beside = new Neighbour(harness, 'default');
  }

  static async open(t: TestContext, settings: Partial<FleetSettings> = {}): Promise<Arena> {
    const arena = new Arena(await startKeeper(t, settings));
    for (const neighbour of [arena.#apart, arena.#beside]) {
      await ask(arena.harness.keeper, neighbour.spec);
      neighbour.start();
      // Before the keeper ends, or their last calls would count as errors.
      t.after(() => neighbour.stop());
    }
    return arena;
  }

  /** Calls it once and lets its caller hear; then judges the neighbours and that its slot is free. */
  async suffer(t: TestContext, spec: ModuleSpec, request: { path?: string; body?: string } = {}): Promise<Outcome> {
    const { harness } = this;
    const eventsBefore = harness.events.length;
    const errorsBefore = this.#beside.errors.length;
    const call = new Call(harness.keeper, spec, request);
    const outcome = await call.answer.promise.then(
      ({ text }): Outcome => ({ error: null, text }),
      (error: HearthError): Outcome => ({ error, text: null }),
    );
    await call.done.promise;
    if (outcome.error !== null) t.diagnostic(`${outcome.error.code}: ${outcome.error.message.slice(0, 200)}`);
    await this.gone(spec);
    const hosts = harness.events.slice(eventsBefore).filter(({ subject, what }) => {
      return subject === 'host' && (what === 'died' || what === 'killed');
    });
    await this.#served(this.#apart);
    await this.#served(this.#beside);
    assert.deepEqual(this.#apart.errors.map(String), [], 'the neighbour in another trust group was harmed');
    const harmed = this.#beside.errors.slice(errorsBefore);
    assert.ok(harmed.length <= hosts.length, `the neighbour beside it was harmed: ${harmed.map(String).join('; ')}`);
    for (const { code } of harmed) assert.equal(code, 'FUNCTION_CRASHED');
    return outcome;
  }

  /** Retires it; resolves when its bases and their threads are gone. */
  async gone(spec: ModuleSpec): Promise<void> {
    await this.harness.keeper.retire(spec.key, 'the test is over');
  }

  /** Two more answers, of which the second was asked for after now. */
  async #served(neighbour: Neighbour): Promise<void> {
    const enough = neighbour.answered + 2;
    while (neighbour.answered < enough) await new Promise((resolve) => setTimeout(resolve, PACE_MS));
  }
}

export function culprit(body: string, limits: Partial<ModuleLimits> = {}): ModuleSpec {
  return fetchModule(body, { limits: { ...CULPRIT_LIMITS, ...limits } });
}

export function culpritModule(source: string, limits: Partial<ModuleLimits> = {}): ModuleSpec {
  return moduleOf(source, { limits: { ...CULPRIT_LIMITS, ...limits } });
}

/** After a keeper has come and gone: what is there now is not its doing (esbuild keeps a process of its own). */
export async function belongingsAtRest(t: TestContext): Promise<ReturnType<typeof belongings>> {
  await t.test('a keeper comes and goes', async (one) => {
    await startKeeper(one);
  });
  return belongings();
}

/** Child processes and sockets of this process. */
export function belongings(): { children: number; sockets: number } {
  const tasks = readdirSync('/proc/self/task');
  const children = tasks.flatMap((task) => readFileSync(`/proc/self/task/${task}/children`, 'utf8').split(' '));
  const sockets = readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:');
    } catch {
      return false; // the descriptor by which the directory was read
    }
  });
  return { children: children.filter((pid) => pid !== '').length, sockets: sockets.length };
}
