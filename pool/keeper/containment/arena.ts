/**
 * A real keeper with two well-behaved functions that are called all the time while another one misbehaves: one in a
 * trust group of its own, one beside the culprit. And a count of what a run leaves behind.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import type { HearthError } from '../../../functions/contract/errors.ts';
import type { ModuleLimits, ModuleSpec } from '../api.ts';
import { bundleBase } from '../hosts/bundle.ts';
import type { FleetSettings } from '../settings.ts';
import { type Answer, ask, Call, fetchModule, type Harness, moduleOf, startKeeper } from '../testing/harness.ts';
import { type Belongings, belongingsAtRest, nothingLeft, Timers } from './belongings.ts';

/** Between two calls of a neighbour, ms: enough to have one under way at most moments, and to leave a core free. */
const PACE_MS = 8;

/** One slot in all: the next call is answered only if the culprit's comes back. */
export const CULPRIT_LIMITS = {
  memoryMb: 64,
  timeoutMs: 3_000,
  concurrency: 1,
  maxInstances: 1,
} satisfies Partial<ModuleLimits>;

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

export interface Suffering {
  path?: string;
  body?: string;
  /** Its module does not load, so that there is no next call to be answered. */
  unloadable?: boolean;
  /** It broke its own base, which may answer nothing any more: the next call is made once that is gone. */
  broken?: boolean;
}

export class Arena {
  readonly harness: Harness;
  readonly #apart: Neighbour;
  readonly #beside: Neighbour;
  #rest: Belongings | null = null;

  private constructor(harness: Harness) {
    this.harness = harness;
    this.#apart = new Neighbour(harness, 'apart');
    this.#beside = new Neighbour(harness, 'default');
  }

  /** Judges after the body that the whole of it has left nothing behind in this process. */
  static async during(
    t: TestContext,
    body: (arena: Arena) => Promise<void>,
    settings: Partial<FleetSettings> = {},
  ): Promise<void> {
    await startHelpers();
    const nobody = () => ({ hosts: [] });
    const before = await belongingsAtRest(process.pid, nobody);
    using timers = new Timers();
    const arena = new Arena(await startKeeper(t, settings));
    try {
      await arena.#start();
      await body(arena);
    } finally {
      // First they: their last calls would count as errors.
      await Promise.all([arena.#apart.stop(), arena.#beside.stop()]);
      await arena.harness.keeper.drain(0);
    }
    await nothingLeft(process.pid, nobody, before);
    await timers.allGone();
  }

  async #start(): Promise<void> {
    const { keeper } = this.harness;
    for (const { spec } of [this.#apart, this.#beside]) await ask(keeper, spec);
    this.#rest = await belongingsAtRest(process.pid, () => keeper.snapshot());
    this.#apart.start();
    this.#beside.start();
  }

  /**
   * Calls it once and lets its caller hear; then judges that its slot is free, the neighbours unharmed and nothing of
   * it left.
   */
  async suffer(t: TestContext, spec: ModuleSpec, request: Suffering = {}): Promise<Outcome> {
    const { keeper, events } = this.harness;
    const eventsBefore = events.length;
    const errorsBefore = this.#beside.errors.length;
    const call = new Call(keeper, spec, request);
    const outcome = await call.answer.promise.then(
      ({ text }): Outcome => ({ error: null, text }),
      (error: HearthError): Outcome => ({ error, text: null }),
    );
    const heardAt = performance.now();
    if (request.broken === true) await keeper.evict(spec.functionName);
    if (request.unloadable !== true) assert.equal((await ask(keeper, spec, { path: NEXT })).text, 'next');
    const slotMs = Math.round(performance.now() - heardAt);
    if (outcome.error !== null) {
      t.diagnostic(`${outcome.error.code}: ${outcome.error.message.slice(0, 200)}; next answer after ${slotMs} ms`);
    }
    await call.done.promise;
    await this.gone(spec);
    await nothingLeft(process.pid, () => keeper.snapshot(), this.#rest as Belongings);
    const hosts = events.slice(eventsBefore).filter(({ subject, what }) => {
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

  ask(spec: ModuleSpec): Promise<Answer> {
    return ask(this.harness.keeper, spec);
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

const NEXT = '/next';

/** `body` of its fetch handler; another call, by NEXT, is answered as by anybody. */
export function culprit(body: string, limits: Partial<ModuleLimits> = {}): ModuleSpec {
  return fetchModule(`if (request.url.endsWith('${NEXT}')) return new Response('next'); ${body}`, {
    limits: { ...CULPRIT_LIMITS, ...limits },
  });
}

export function culpritModule(source: string, limits: Partial<ModuleLimits> = {}): ModuleSpec {
  return moduleOf(source, { limits: { ...CULPRIT_LIMITS, ...limits } });
}

/** esbuild keeps a process, and libuv its threads, from their first use on: no keeper's doing. */
async function startHelpers(): Promise<void> {
  const directory = await mkdtemp(path.join(tmpdir(), 'hearth-arena-'));
  try {
    await bundleBase(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
