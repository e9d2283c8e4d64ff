/** What a version asks for beyond being called by its name: asked of ten thousand functions at a start, so held apart from their manifests. */
import type { Manifest } from '../../functions/contract/manifest.ts';

export interface Claims {
  /** Name of its base definition. */
  readonly base: string;
  readonly trustGroup: string;
  /** Whether it is reached by routes, crons and queues at all. */
  readonly publish: boolean;
  readonly routes: readonly string[];
  readonly consumes: readonly string[];
  /** Every queue that it names, dead letters included. */
  readonly queues: readonly string[];
  readonly crons: boolean;
  /** Wants a pool before its first call: minInstances, or a reserve. */
  readonly resident: boolean;
  /** It stands in a base together with others. */
  readonly grouped: boolean;
  /** What its deployer calls this version; null: nothing. */
  readonly label: string | null;
}

const NONE: readonly string[] = [];

/** Claims of manifests; those that say the same are one object, where they name no route, no queue and no label. */
export function createClaims(): (manifest: Manifest) => Claims {
  const shared = new Map<string, Claims>();
  return ({ routes, queues: { consumers, producers }, triggers, hearth }) => {
    const { base, trustGroup, publish } = hearth;
    const crons = triggers.crons.length > 0;
    const resident = hearth.minInstances > 0 || hearth.reserved > 0;
    const grouped = hearth.group !== null;
    const label = hearth.label ?? null;
    if (
      label === null &&
      routes.length === 0 &&
      consumers.length === 0 &&
      producers.length === 0 &&
      hearth.async === undefined
    ) {
      const key = `${base} ${trustGroup} ${publish} ${crons} ${resident} ${grouped}`;
      let claims = shared.get(key);
      if (claims === undefined) {
        const none = { routes: NONE, consumes: NONE, queues: NONE };
        claims = { base, trustGroup, publish, ...none, crons, resident, grouped, label };
        shared.set(key, claims);
      }
      return claims;
    }
    const consumes = consumers.map(({ queue }) => queue);
    const dead = consumers.map(({ dead_letter_queue }) => dead_letter_queue);
    const told = [hearth.async?.onSuccess, hearth.async?.onFailure].flatMap((destination) =>
      destination && 'queue' in destination ? [destination.queue] : [],
    );
    const queues = [...producers.map(({ queue }) => queue), ...consumes, ...dead, ...told];
    return { base, trustGroup, publish, routes: [...routes], consumes, queues, crons, resident, grouped, label };
  };
}
