/**
 * The steps by which the bases of this gateway come to another generation: forward, back when that fails, and after another
 * gateway that has stored one.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { HearthError } from '../../functions/contract/errors.ts';
import type { Held } from '../cluster/hold.ts';
import type { BaseGeneration, BaseRecord } from '../store/api/bases.ts';
import type { BaseChangesParts, BaseOutcome, BaseProgress } from './changes.ts';
import type { KeptBase } from './definitions.ts';
import { createTrial, type Trial, type TrialParts } from './trial.ts';
import type { Wanted } from './wanted.ts';

export type GenerationParts = Omit<BaseChangesParts, 'builder' | 'audit' | 'hold'>;

export interface Generations {
  /**
   * Builds, proves, stores and moves; resolves when every call goes to the new generation. What is refused before it is
   * stored has changed nothing, after that it is taken back.
   */
  apply(name: string, wanted: Wanted, progress: BaseProgress, held: Held): Promise<BaseOutcome>;
  /** Brings what is in use to what is stored. */
  follow(name: string, record: BaseRecord | undefined): Promise<void>;
}

export function createGenerations(parts: GenerationParts): Generations {
  const { definitions, store, keeper, gate, proofs, log, now } = parts;
  const trialParts: TrialParts = { ...parts, bases: keeper.bases };

  return { apply, follow };

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
}
