/**
 * Changing a base definition while functions run on it: one change of a base at a time, and what is told of it. What is
 * wanted is made in wanted.ts; generations.ts takes the steps.
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
import type { Builder } from '../../functions/build/client.ts';
import { HearthError } from '../../functions/contract/errors.ts';
import type { Keeper } from '../../pool/keeper/api.ts';
import type { Held } from '../cluster/hold.ts';
import { ConfigError } from '../config.ts';
import type { Audit } from '../control/audit.ts';
import type { BaseStore } from '../store/api/bases.ts';
import type { Logger } from '../telemetry/log.ts';
import type { BaseDefinitions, KeptBase } from './definitions.ts';
import type { BaseGate } from './gate.ts';
import { createGenerations } from './generations.ts';
import type { BaseProofs } from './proofs.ts';
import type { TrialParts } from './trial.ts';
import { type BaseInput, type Wanted, wantedOf } from './wanted.ts';

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

export function createBaseChanges(parts: BaseChangesParts): BaseChanges {
  const { definitions, store, audit, log, now } = parts;
  const { apply, follow } = createGenerations(parts);
  const changes = new Map<string, BaseProgress>();
  /** By base, until the change that is made here has ended. */
  const underWay = new Map<string, Promise<void>>();

  return {
    change: (name, input, actor) =>
      alone(name, 'base.change', actor, ({ generation }) =>
        wantedOf(parts, name, definitions.get(name), input, { generation, createdAt: now(), by: actor }),
      ),
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
