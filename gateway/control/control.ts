/** The control API: all its resources, in the order in which they are asked, on its own port. */
import type { Keeper } from '../../pool/keeper/api.ts';
import type { Configs } from '../bindings/configs.ts';
import type { Config } from '../config.ts';
import type { Registry } from '../registry/registry.ts';
import type { Rollouts } from '../rollouts/rollouts.ts';
import type { Seal } from '../store/seal.ts';
import type { Store } from '../store/store.ts';
import type { CallFeed } from '../telemetry/call-feed.ts';
import type { FunctionLogs } from '../telemetry/function-logs.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { Asyncs } from '../triggers/async/asyncs.ts';
import type { Crons } from '../triggers/cron/crons.ts';
import type { Dispatcher } from '../triggers/dispatcher.ts';
import type { Queues } from '../triggers/queue/queues.ts';
import type { Timers } from '../triggers/timers.ts';
import type { Topics } from '../triggers/topics.ts';
import type { Access } from './access.ts';
import { controlHosts, createControlApp } from './app.ts';
import { type Audit, auditResource } from './audit.ts';
import { type BasesParts, basesResource } from './bases.ts';
import { CLOUDFLARE_PATH, createCloudflareApi } from './cloudflare/api.ts';
import type { AssetUploadParts } from './cloudflare/assets.ts';
import { configResource } from './config.ts';
import { cronsResource } from './crons.ts';
import type { Deployer } from './deploy.ts';
import { figuresResource } from './figures.ts';
import { functionsResource } from './functions.ts';
import { type HealthResourceParts, healthResource } from './health.ts';
import { idempotencyKeys } from './idempotency-http.ts';
import { invocationsResource } from './invocations.ts';
import { invokeResource } from './invoke.ts';
import type { Listener } from './listener.ts';
import { logsResource } from './logs.ts';
import { openRoutes } from './open.ts';
import { poolResource } from './pool.ts';
import { profileResource } from './profile.ts';
import { publicationsResource } from './publications.ts';
import { createPublisher } from './publisher.ts';
import { queuesResource } from './queues.ts';
import { rolloutsResource } from './rollouts.ts';
import { rpcResource } from './rpc.ts';
import { createRpcSockets } from './rpc-sockets.ts';
import { createSecretKeeper, secretsResource } from './secrets.ts';
import { createControlServer } from './server.ts';
import { sourceMapResource } from './source-map.ts';
import { tokensResource } from './tokens.ts';
import { topicsResource } from './topics.ts';
import { trafficResource } from './traffic.ts';
import { versionsResource } from './versions.ts';

export interface ControlParts {
  config: Pick<Config, 'adminHost' | 'adminPort' | 'maxDeployBytes'>;
  version: string;
  store: Pick<Store, 'answers' | 'secrets' | 'audit' | 'registry'>;
  seal: Seal;
  access: Access;
  registry: Registry;
  /** The registry whose changes of traffic are proved on their bases first. */
  proved: Registry;
  keeper: Keeper;
  deployer: Deployer;
  /** Static assets: where wrangler's uploads go. */
  assets: Pick<AssetUploadParts, 'contents' | 'library'>;
  dispatcher: Dispatcher;
  asyncs: Asyncs;
  queues: Queues;
  crons: Crons;
  topics: Topics;
  configs: Configs;
  rollouts: Rollouts;
  bases: Omit<BasesParts, 'registry'>;
  telemetry: Pick<Telemetry, 'metricsChunks' | 'figures'>;
  healthOf: HealthResourceParts['healthOf'];
  functionLogs: FunctionLogs;
  callFeed: Pick<CallFeed, 'subscribe'>;
  audit: Audit;
  log: Logger;
  /** Whether a callback may go to this IP address. */
  callsBack(address: string): boolean;
  /** Where a function is called. */
  urlOf(functionName: string): string;
  /** Whether all of it answers: false while starting and draining. */
  ready(): boolean;
  /** Ends what waits for more, logs that are followed for one. */
  ended: AbortSignal;
  /** Epoch ms. */
  now(): number;
  timers: Timers;
  newId(): string;
}

export function createControl(parts: ControlParts): Listener {
  const { config, store, access, registry, proved, keeper, deployer, dispatcher, audit, log, now } = parts;
  const hosts = controlHosts(config.adminHost);
  const functionParts = { registry: proved, keeper, deployer, audit, urlOf: parts.urlOf };
  const secrets = createSecretKeeper({ ...functionParts, store: store.secrets, seal: parts.seal.seal, now });
  const publisher = createPublisher({ registry: proved, keeper, audit, log });
  const app = createControlApp({
    access,
    log,
    hosts,
    maxDeployBytes: config.maxDeployBytes,
    open: (target) => openRoutes(target, parts),
    resources: [
      (target) => idempotencyKeys(target, { ...parts, store: store.answers }),
      (target) => functionsResource(target, functionParts),
      (target) => versionsResource(target, functionParts),
      (target) => sourceMapResource(target, registry, store.registry),
      (target) => trafficResource(target, functionParts),
      (target) => publicationsResource(target, proved, publisher),
      (target) => secretsResource(target, secrets),
      (target) => configResource(target, parts.configs, audit),
      (target) => invokeResource(target, parts),
      (target) => rpcResource(target, { registry, dispatcher }),
      (target) => invocationsResource(target, parts),
      (target) => figuresResource(target, registry, parts.telemetry.figures),
      (target) => logsResource(target, parts),
      (target) => healthResource(target, parts),
      (target) => profileResource(target, registry, keeper, audit),
      (target) => cronsResource(target, parts.crons, registry, audit),
      (target) => queuesResource(target, parts.queues, audit, now),
      (target) => topicsResource(target, parts.topics),
      (target) => rolloutsResource(target, parts.rollouts, proved),
      (target) => poolResource(target, keeper, audit),
      (target) => basesResource(target, { ...parts.bases, registry }),
      (target) => tokensResource(target, access, audit, now),
      (target) => auditResource(target, store.audit),
      (target) =>
        target.route(
          CLOUDFLARE_PATH,
          createCloudflareApi({
            ...parts,
            ...functionParts,
            secrets,
            publisher,
            ...parts.assets,
            maxDeployBytes: config.maxDeployBytes,
          }),
        ),
    ],
  });
  const sockets = createRpcSockets({ access, registry, dispatcher, hosts });
  return createControlServer(app, config.adminHost, config.adminPort, sockets);
}
