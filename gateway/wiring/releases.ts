/** What changes functions and bases while they serve: deploys, rollouts, changes of bases, the end of old versions. */
import { setImmediate } from 'node:timers/promises';
import { monotonicMs } from '../../functions/contract/invocation.ts';
import { BUFFER_POOL } from '../../pool/keeper/pools.ts';
import { createBaseChanges } from '../bases/changes.ts';
import { createBaseGate } from '../bases/gate.ts';
import { createBaseProofs } from '../bases/proofs.ts';
import { provedTraffic } from '../bases/proved-traffic.ts';
import { hold } from '../cluster/hold.ts';
import { createLeadership } from '../cluster/leadership.ts';
import { createDeployer } from '../control/deploy.ts';
import { createAssetIntake } from '../ingress/assets/intake.ts';
import { createVersionSweep } from '../retention/versions.ts';
import { createReports } from '../rollouts/reports.ts';
import { createRollouts } from '../rollouts/rollouts.ts';
import type { Platform } from './platform.ts';
import type { State } from './state.ts';
import { triggerParts } from './triggers.ts';

export type Releases = ReturnType<typeof createReleases>;

/** `urlOf`: where a function is reached. */
export function createReleases(state: State, platform: Platform, urlOf: (functionName: string) => string) {
  const { config, log, now, timers, newId, owner, store, registry, definitions, builder, audit, isShared } = state;
  const { keeper } = platform;
  const parts = triggerParts(state, platform);
  const gate = createBaseGate();
  const proofs = createBaseProofs({ gate, inUse: definitions.inUse, keeper, registry });
  /** The registry for whoever moves traffic: what may serve has been proved on its base. */
  const proved = provedTraffic({ registry, proofs, gate, log });
  const leadership = createLeadership({
    ...parts,
    name: 'rollouts',
    leases: store.leases,
    begun: () => rollouts.lead(),
  });
  const rollouts = createRollouts({
    store: store.rollouts,
    registry: proved,
    leads: () => !isShared || leadership.leads,
    ...(isShared ? { reports: createReports({ kv: store.kv, owner, now }) } : {}),
    audit,
    now,
    timers,
    newId,
    log,
  });
  const deployer = createDeployer({
    registry,
    store: store.registry,
    keeper,
    builder,
    bases: definitions.inUse,
    gate,
    proofs,
    pools: new Set(['default', ...Object.keys(state.file.pools)].filter((name) => name !== BUFFER_POOL)),
    assets: createAssetIntake(state.assets.contents),
    network: config.network,
    fetchesFrom: state.mayCall,
    audit,
    log,
    urlOf,
    inspected: config.inspectPort !== null,
    now,
  });
  const versionSweep = createVersionSweep({
    registry,
    rollouts: store.rollouts,
    deployer,
    audit,
    keepMs: state.keepMs,
    pause: setImmediate,
    clock: monotonicMs,
  });
  const baseChanges = createBaseChanges({
    definitions,
    store: store.bases,
    keeper,
    registry,
    gate,
    proofs,
    builder,
    network: config.network,
    hold: (lease) => hold(lease, { ...parts, leases: store.leases }),
    audit,
    log,
    now,
  });
  return { proved, leadership, rollouts, deployer, versionSweep, baseChanges };
}
