/** What is kept of a rollout when it begins, and what the audit says of each change. */
import { HearthError } from '../../functions/contract/errors.ts';
import { type RolloutRequest, stepsOf } from '../../functions/contract/rollout.ts';
import type { Registry } from '../registry/registry.ts';
import type { RolloutRecord } from '../store/api/rollouts.ts';
import type { Rolled } from './live.ts';
import { othersOf } from './plan.ts';
import { begun, type Happening, type Outcome } from './state.ts';

export interface Beginning {
  id: string;
  /** Token id or `admin`. */
  actor: string;
  nowMs: number;
  registry: Pick<Registry, 'function'>;
  /** Id of the rollout that moves this function now. */
  ownerOf(name: string): string | undefined;
}

/** Throws NOT_FOUND for what is not there, CONFLICT where nothing can be rolled out. */
export function newRecord(request: RolloutRequest, { id, actor, nowMs, registry, ownerOf }: Beginning): RolloutRecord {
  const functions = request.functions.map(({ name, version: wanted }): Rolled => {
    const entry = registry.function(name);
    if (entry === undefined) throw new HearthError('NOT_FOUND', `There is no function "${name}".`);
    const version = entry.find(wanted)?.version;
    if (version === undefined) throw new HearthError('NOT_FOUND', `"${name}" has no version "${wanted}".`);
    const owner = ownerOf(name);
    if (owner !== undefined) {
      const detail = `"${name}" is in the rollout ${owner}, which is not over; abort that one first.`;
      throw new HearthError('CONFLICT', detail);
    }
    const { traffic, previousTraffic } = entry.record;
    if (traffic === null) {
      const detail = `No version of "${name}" takes traffic: there is nothing to roll out from. Set its traffic.`;
      throw new HearthError('CONFLICT', detail);
    }
    const rolled = { name, version, before: traffic, previous: previousTraffic };
    if (othersOf(rolled).length === 0) {
      throw new HearthError('CONFLICT', `Version "${version}" of "${name}" takes all of the traffic already.`);
    }
    return rolled;
  });
  return {
    id,
    revision: 1,
    functions,
    steps: stepsOf(request.steps),
    guard: request.guard,
    ...begun(nowMs),
    createdBy: actor,
    createdAt: nowMs,
    updatedAt: nowMs,
  };
}

/** What was done, as the audit names it. */
export function actionOf({ what }: Happening, { progress, traffic }: Outcome): string {
  if (progress.state === 'completed') return 'complete';
  if (what === 'bad') return 'stop';
  if (what === 'moved') return 'abort';
  if (what !== 'tick') return what;
  return traffic === 'set' ? 'step' : 'wait';
}

export function auditDetail({ functions, steps, step, state, why }: RolloutRecord): Record<string, unknown> {
  return {
    state,
    functions: Object.fromEntries(functions.map(({ name, version }) => [name, version])),
    step: step + 1,
    steps: steps.length,
    percent: steps[step]?.percent ?? 0,
    ...(why === null ? {} : { why }),
  };
}
