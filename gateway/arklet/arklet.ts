/** arklet's operations API put together: off unless HEARTH_ARKLET_PORT says where. */
import { HearthError } from '../../functions/contract/errors.ts';
import type { Keeper } from '../../pool/keeper/api.ts';
import type { Config } from '../config.ts';
import type { Access, Caller } from '../control/access.ts';
import type { Audit } from '../control/audit.ts';
import type { Deployer } from '../control/deploy.ts';
import type { Listener } from '../control/listener.ts';
import type { Registry } from '../registry/registry.ts';
import type { SecretStore } from '../store/api/secrets.ts';
import type { Logger } from '../telemetry/log.ts';
import { createCommands } from './commands.ts';
import { createHealth } from './health.ts';
import { createModules } from './modules.ts';
import { createOperations } from './operations.ts';
import { isFromOutside } from './peers.ts';
import { createArkletServer } from './server.ts';
import { createSources } from './sources.ts';

export interface ArkletParts {
  config: Pick<Config, 'adminHost' | 'arkletPort' | 'arkletToken' | 'arkletSources' | 'maxDeployBytes' | 'memoryMb'>;
  access: Pick<Access, 'authenticate'>;
  registry: Registry;
  deployer: Pick<Deployer, 'deploy' | 'exclusive' | 'drain'>;
  keeper: Pick<Keeper, 'snapshot' | 'events'>;
  secrets: Pick<SecretStore, 'all'>;
  audit: Audit;
  log: Pick<Logger, 'warn' | 'error'>;
  /** Hearth's own version. */
  version: string;
  ready(): boolean;
  /** Epoch ms. */
  now(): number;
}

/** What whoever needs no token may do: deploy, in the trust group `default`, at no routes but `/NAME`; and look. */
const TOKENLESS: Caller = {
  id: 'arklet',
  admin: false,
  scopes: ['deploy:*', 'read'],
  trustGroups: [],
  routes: [],
};

const DOWNLOAD_MS = 60_000;

/** Null: it is off. */
export function createArklet(parts: ArkletParts): Listener | null {
  const { config, access, registry, deployer, keeper, secrets, audit, log, version, ready, now } = parts;
  if (config.arkletPort === null) return null;
  const mostBytes = config.maxDeployBytes;
  const operations = createOperations(now);
  const sources = createSources({ allowed: config.arkletSources, mostBytes, timeoutMs: DOWNLOAD_MS });
  const modules = createModules({ registry, deployer, keeper, secrets, sources, operations, audit, mostBytes, now });
  const health = createHealth({ keeper, memoryMb: config.memoryMb, version, ready });
  const hosts = () => keeper.snapshot().hosts.flatMap(({ pid }) => (pid === null ? [] : [pid]));
  const tokenless = config.arkletToken === 'off';
  if (tokenless) {
    log.warn('arklet needs no token (HEARTH_ARKLET_TOKEN=off): every program of this machine may deploy', {
      port: config.arkletPort,
    });
  }

  return createArkletServer({
    host: config.adminHost,
    port: config.arkletPort,
    commands: createCommands({
      modules,
      operations,
      health,
      failed: (error, meta) => log.error('an arklet command failed', { ...meta, error: error.cause ?? error }),
    }),
    async authenticate(authorization, socket) {
      if (authorization !== undefined || !tokenless) return access.authenticate(authorization);
      if (await isFromOutside(socket, hosts)) return TOKENLESS;
      throw new HearthError('UNAUTHORIZED', 'Functions, and what cannot be told from them, need a token.');
    },
    log,
  });
}
