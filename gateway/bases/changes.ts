/**
 * Changing a base definition while functions run on it.
 *
 *   building ──► proving ──► stocking ──► (stored) ──► moving ──► done
 *      └────────────┴────────────┴── refused: nothing has changed    └── refused: those that had moved go back
 *
 * What the store holds is what a start boots from: before it was written the old generation, after it the new one,
 * whichever had been moved by then.
 *
 * Of several gateways one at a time changes a base, and proves what may serve; the others hear of it when it is stored, and
 * move too, each by itself. One on which bases do not come up stays on the old generation, says so, and tries again.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Builder } from '../../functions/build/client.ts';
import type { Tree } from '../../functions/build/tree.ts';
import { HearthError } from '../../functions/contract/errors.ts';
import { parseManifestValue } from '../../functions/contract/manifest-file.ts';
import type { Keeper } from '../../pool/keeper/api.ts';
import type { Held } from '../cluster/hold.ts';
import { ConfigError } from '../config.ts';
import type { Audit } from '../control/audit.ts';
import type { BaseGeneration, BaseRecord, BaseStore } from '../store/api/bases.ts';
import type { Logger } from '../telemetry/log.ts';
import type { BaseDefinitions, KeptBase } from './definitions.ts';
import type { BaseGate } from './gate.ts';
import type { BaseProofs } from './proofs.ts';
import { createTrial, type Trial, type TrialParts } from './trial.ts';

/** What is to be another; what is absent stays as it is. */
export interface BaseInput {
  shared?: { as: string; from: string }[] | undefined;
  /** Null: none. `path`: only the one that the configuration file names. */
  setup?: { kind: 'source'; files: Tree; main: string } | { kind: 'path'; path: string } | null | undefined;
  env?: string[] | undefined;
  /** Null: as many as HEARTH_WARM_BASES says. */
  warm?: number | null | undefined;
  types?: string | null | undefined;
}

export interface BaseProgress {
  generation: number;
  state: 'building' | 'proving' | 'stocking' | 'moving' | 'done' | 'refused';
  /** Versions on it that may serve (registry/may-serve.ts), those of them that were tried, and those that are still to be moved. */
  versions: number;
  proved: number;
  left: number;
  /** Why it was refused. */
  why: string | null;
  startedAt: number;
  endedAt: number | null;
}

export interface BaseOutcome {
  base: KeptBase;
  /** False: it was like that already. */
  changed: boolean;
  created: boolean;
  /** Functions with a version that came up neither on the old generation nor on the new one. */
  broken: string[];
}

export interface BaseChanges {
  /** Resolves when every call goes to the new generation. Throws CONFLICT while another change of it is under way. */
  change(name: string, input: BaseInput, actor: string): Promise<BaseOutcome>;
  /** To what it was before its last change, as a generation of its own. Throws CONFLICT when there is nothing to go back to. */
  rollback(name: string, actor: string): Promise<BaseOutcome>;
  /** Moves to what another gateway has stored; null: of all bases. Throws NO_CAPACITY while the store is away. */
  refresh(names: readonly string[] | null): Promise<void>;
  /** Of the change under way, or of the last one since the start; null: there was none. */
  progress(name: string): BaseProgress | null;
}

export interface BaseChangesParts extends Omit<TrialParts, 'bases'> {
  definitions: BaseDefinitions;
  store: BaseStore;
  keeper: Pick<Keeper, 'bases'>;
  gate: BaseGate;
  proofs: Pick<BaseProofs, 'note' | 'forget'>;
  builder: Pick<Builder, 'build'>;
  audit: Audit;
  /** Takes the lease of this name; null: another gateway has it. */
  hold(lease: string): Promise<Held | null>;
  log: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** Epoch ms. */
  now(): number;
}

interface Wanted {
  given: BaseGeneration;
  /** Bundle of a setup that is not stored yet. */
  code: Uint8Array | null;
}

export function createBaseChanges(parts: BaseChangesParts): BaseChanges {
  const { definitions, store, keeper, gate, proofs, audit, log, now } = parts;
  const changes = new Map<string, BaseProgress>();
  /** By base, until the change that is made here has ended. */
  const underWay = new Map<string, Promise<void>>();
  const trialParts: TrialParts = { ...parts, bases: keeper.bases };

  return {
    change: (name, input, actor) =>
      alone(name, 'base.change', actor, (progress) => changed(name, definitions.get(name), input, progress, actor)),
    rollback: (name, actor) =>
      alone(name, 'base.rollback', actor, async ({ generation }) => {
        const previous = definitions.get(name)?.record.previous ?? null;
        if (previous === null) throw new HearthError('CONFLICT', `The base "${name}" has no earlier definition.`);
        return { given: { ...previous, generation, createdAt: now(), by: actor }, code: null };
      }),
    refresh,
    progress: (name) => changes.get(name) ?? null,
  };

  async function alone(
    name: string,
    action: string,
    actor: string,
    wanted: (progress: BaseProgress) => Promise<Wanted>,
  ): Promise<BaseOutcome> {
    const last = changes.get(name);
    if (last !== undefined && last.endedAt === null) {
      throw new HearthError(
        'CONFLICT',
        `The base "${name}" is being changed just now; GET /v1/bases shows how far it is.`,
      );
    }
    const nextGeneration = () =>
      1 + Math.max(definitions.get(name)?.record.current.generation ?? 0, last?.generation ?? 0);
    const progress = beginning(nextGeneration(), now());
    changes.set(name, progress);
    const ended = Promise.withResolvers<void>();
    underWay.set(name, ended.promise);
    let held: Held | null = null;
    try {
      held = await parts.hold(`base:${name}`);
      if (held === null) {
        const detail = `The base "${name}" is being changed by another gateway just now; try again when it is done.`;
        throw new HearthError('CONFLICT', detail);
      }
      const stored = await store.list();
      await follow(
        name,
        stored.find((record) => record.name === name),
      );
      progress.generation = nextGeneration();
      const outcome = await apply(name, await wanted(progress), progress, held);
      progress.state = 'done';
      const { generation } = outcome.base.record.current;
      if (outcome.changed) await audit(actor, action, name, { generation });
      else if (last === undefined) changes.delete(name);
      else changes.set(name, last);
      return outcome;
    } catch (thrown) {
      const error = asRefusal(thrown);
      progress.state = 'refused';
      progress.why = error.message;
      await audit(actor, `${action}.refused`, name, { generation: progress.generation, why: error.message });
      throw error;
    } finally {
      progress.endedAt = now();
      underWay.delete(name);
      ended.resolve();
      await held?.release();
    }
  }

  async function refresh(names: readonly string[] | null): Promise<void> {
    const known = () => [...definitions.list()].map(({ record }) => record.name);
    const wanted = names ?? [...new Set([...(await store.list()).map(({ name }) => name), ...known()])];
    for (const name of wanted) {
      // One that is made here ends first: what is stored then is this gateway's own.
      await underWay.get(name);
      const record = (await store.list()).find((each) => each.name === name);
      try {
        await follow(name, record);
      } catch (error) {
        log.error('A base that another gateway has changed does not come up here; its old generation serves on.', {
          base: name,
          generation: record?.current.generation,
          error,
        });
      }
    }
  }

  /** Brings what is in use to what is stored. */
  async function follow(name: string, record: BaseRecord | undefined): Promise<void> {
    const before = definitions.get(name);
    if (record === undefined) {
      // The configuration file's is not stored before it was changed; what else there is, was taken back where it was made.
      if (before !== undefined && before.record.current.by !== 'file') definitions.set(name, undefined);
      return;
    }
    if (before !== undefined && JSON.stringify(before.record) === JSON.stringify(record)) return;
    const prepared = await definitions.prepare(name, record.current, null);
    if (before !== undefined && prepared.fingerprint === before.prepared.fingerprint) {
      definitions.set(name, { record, prepared: before.prepared });
      return;
    }
    const next = prepared.definition;
    keeper.bases.add(next);
    try {
      await keeper.bases.prepare(next);
      const moving = await gate.switch(name, async () => ({ done: use({ record, prepared }, null, () => false) }));
      await moving.done;
    } catch (error) {
      if (definitions.get(name)?.prepared !== prepared) keeper.bases.drop(next);
      throw error;
    }
    if (before !== undefined) proofs.forget(before.prepared.definition);
    log.info('a base definition was changed by another gateway', { base: name, generation: record.current.generation });
  }

  async function apply(
    name: string,
    { given, code }: Wanted,
    progress: BaseProgress,
    held: Held,
  ): Promise<BaseOutcome> {
    const before = definitions.get(name);
    const prepared = await definitions.prepare(name, given, code);
    if (before !== undefined && prepared.fingerprint === before.prepared.fingerprint)
      return describeAnew(name, before, given);
    const next = prepared.definition;
    const kept = before === undefined ? null : await keepEdited(before, given);
    const previous = kept?.generation ?? before?.record.current ?? null;
    const base: KeptBase = { record: { name, current: given, previous, updatedAt: now() }, prepared };
    // What the store gives up once it has the new one, in case that has to be taken back.
    const older = before?.record.previous ?? null;
    const olderCode = older?.setup?.kind === 'code' ? await store.getSetup(name, older.setup.id) : null;

    keeper.bases.add(next);
    const trial = createTrial(trialParts, {
      before: before?.prepared.definition,
      next,
      progress(proved, versions) {
        Object.assign(progress, { proved, versions, left: versions });
      },
      proved: (version) => proofs.note(version, next),
    });
    let moving: { done: Promise<void> } | null = null;
    try {
      const made = code === null || given.setup?.kind !== 'code' ? null : { id: given.setup.id, code };
      while (moving === null) {
        progress.state = 'proving';
        await trial.run();
        progress.state = 'stocking';
        await keeper.bases.prepare(next);
        moving = await gate.switch(name, async () => {
          // Nothing is committed from here on, so this is what serves when the new generation is in use.
          if (trial.untried.length > 0) return null;
          if (!(await held.isStillHeld())) {
            const detail = `This gateway stood still for so long that another one took over the base "${name}".`;
            throw new HearthError('CONFLICT', detail);
          }
          await store.put(base.record, made ?? kept?.setup ?? null);
          progress.state = 'moving';
          return { done: use(base, progress, (spec) => trial.requires(spec)) };
        });
      }
    } catch (error) {
      keeper.bases.drop(next);
      proofs.forget(next);
      throw error;
    }
    const broken = [...new Set(trial.broken.map(({ functionName }) => functionName))];
    if (broken.length > 0)
      log.warn('functions that came up on neither generation of their base', { base: name, broken });
    try {
      await moving.done;
    } catch (error) {
      await takeBack(
        name,
        before,
        older?.setup?.kind === 'code' && olderCode !== null ? { id: older.setup.id, code: olderCode } : null,
      );
      // In that short time they were built and proved against the generation that is given up.
      const versions = trial.untried.map(({ functionName, version }) => `${functionName} ${version}`);
      if (versions.length > 0)
        log.warn('deployed while their base changed and went back: not proved on it', { base: name, versions });
      keeper.bases.drop(next);
      proofs.forget(next);
      throw error;
    }
    if (before !== undefined) proofs.forget(before.prepared.definition);
    log.info('a base definition has changed', { base: name, generation: given.generation });
    return { base, changed: true, created: before === undefined, broken };
  }

  /**
   * A setup that was edited where it stands is not there any more for a way back: then what it was bundled to is kept.
   * Null: the way back is by what is stored already.
   */
  async function keepEdited(before: KeptBase, given: BaseGeneration) {
    const { current } = before.record;
    const { setupPath } = before.prepared.definition;
    if (current.setup?.kind !== 'path' || given.setup?.kind !== 'path' || setupPath === null) return null;
    const code = await readFile(setupPath);
    const id = createHash('sha256').update(code).digest('hex');
    const declared = current.types === null ? await definitions.typesOf(before) : null;
    const setup = { kind: 'code' as const, id, files: [current.setup.path], declared };
    return { generation: { ...current, setup }, setup: { id, code } };
  }

  /** Bases are made of the same as before, so nothing has to move: what is left are its declarations. */
  async function describeAnew(name: string, before: KeptBase, given: BaseGeneration): Promise<BaseOutcome> {
    const { current } = before.record;
    const told = ({ shared, types }: BaseGeneration) => JSON.stringify([shared, types]);
    if (told(current) === told(given)) return { base: before, changed: false, created: false, broken: [] };
    const { generation } = current;
    const record = { ...before.record, current: { ...given, generation, setup: current.setup }, updatedAt: now() };
    await store.put(record, null);
    const base = { ...before, record };
    definitions.set(name, base);
    return { base, changed: true, created: false, broken: [] };
  }

  /** What is built and leased from now on is of it; resolves when what runs has moved. */
  function use(base: KeptBase, progress: BaseProgress | null, required: Trial['requires']): Promise<void> {
    const { record, prepared } = base;
    definitions.set(record.name, base);
    return keeper.bases.move(prepared.definition, {
      required,
      progress(left) {
        if (progress !== null) progress.left = left;
      },
      unloaded({ functionName, version, key }, error) {
        const what = { base: record.name, function: functionName, version, key, why: error.message };
        log.warn('moved to another generation of its base without an instance; its next call tries again', what);
      },
    });
  }

  async function takeBack(
    name: string,
    before: KeptBase | undefined,
    setup: { id: string; code: Uint8Array } | null,
  ): Promise<void> {
    const moving = await gate.switch(name, async () => {
      if (before === undefined) {
        definitions.set(name, undefined);
        await store.delete(name);
        return null;
      }
      await store.put(before.record, setup);
      return { done: use(before, null, () => false) };
    });
    await moving?.done;
  }

  async function changed(
    name: string,
    before: KeptBase | undefined,
    input: BaseInput,
    { generation }: BaseProgress,
    actor: string,
  ): Promise<Wanted> {
    const old = before?.record.current;
    const given: BaseGeneration = {
      generation,
      shared: input.shared ?? old?.shared ?? [],
      env: input.env ?? old?.env ?? [],
      warm: input.warm === undefined ? (old?.warm ?? null) : input.warm,
      types: input.types === undefined ? (old?.types ?? null) : input.types,
      setup: old?.setup ?? null,
      createdAt: now(),
      by: actor,
    };
    const { setup } = input;
    if (setup === undefined) return { given, code: null };
    if (setup === null) return { given: { ...given, setup: null }, code: null };
    if (setup.kind === 'path') {
      const named = definitions.pathOf(name);
      if (setup.path === named) return { given: { ...given, setup }, code: null };
      const allowed = named === undefined ? 'names none for this base' : `names ${JSON.stringify(named)}`;
      throw new HearthError('BAD_REQUEST', `setup.path: only the configuration file names paths, and it ${allowed}.`);
    }
    const code = await bundle(name, given, setup);
    const id = createHash('sha256').update(code).digest('hex');
    const declared = await definitions.declare(setup, given.shared);
    return { given: { ...given, setup: { kind: 'code', id, files: [...setup.files.keys()], declared } }, code };
  }

  /** As a function is: from the uploaded files alone, in the builder's process. */
  async function bundle(
    name: string,
    given: BaseGeneration,
    { files, main }: { files: Tree; main: string },
  ): Promise<Uint8Array> {
    const manifest = parseManifestValue({ main });
    const { shared } = await definitions.resolve(name, { ...given, setup: null });
    const built = await parts.builder.build({ manifest, files, provided: shared });
    if (built.format === 'cjs') return built.code;
    throw new HearthError(
      'BUILD_FAILED',
      'A setup cannot await at its top level; export an async function as default, and await in it.',
    );
  }
}

function beginning(generation: number, startedAt: number): BaseProgress {
  return { generation, state: 'building', versions: 0, proved: 0, left: 0, why: null, startedAt, endedAt: null };
}

/** What is wrong with a definition, its operator can mend. */
function asRefusal(thrown: unknown): HearthError {
  if (thrown instanceof HearthError) return thrown;
  if (thrown instanceof ConfigError) return new HearthError('BAD_REQUEST', thrown.message, { cause: thrown });
  return new HearthError('INTERNAL', 'The change of the base failed.', { cause: thrown });
}
