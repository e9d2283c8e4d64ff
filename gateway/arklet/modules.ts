/** Installing, switching and uninstalling: arklet's operations as deploys, traffic and deletions of Hearth's. */
import { HearthError, toHearthError } from '../../functions/contract/errors.ts';
import { NAME_PATTERN, NAME_RULE } from '../../functions/contract/limits.ts';
import { LABEL_PATTERN } from '../../functions/contract/manifest.ts';
import type { Keeper } from '../../pool/keeper/api.ts';
import { type Caller, requireClaims } from '../control/access.ts';
import type { Audit } from '../control/audit.ts';
import type { Deployer } from '../control/deploy.ts';
import { requireDeploy } from '../control/lookup.ts';
import type { FunctionEntry, Registry, VersionEntry } from '../registry/registry.ts';
import type { SecretStore } from '../store/api/secrets.ts';
import { createLocks } from '../triggers/locks.ts';
import { bizInfo, bizInfoOf, findBiz, quarantined, serves } from './biz.ts';
import { type Bundle, isArchiveName, openBundle } from './bundle.ts';
import type { BizName, Operations } from './operations.ts';
import type { BatchResponse, BizInfo, BizToInstall, ClientResponse } from './protocol.ts';
import type { Sources } from './sources.ts';

export interface ModulesParts {
  registry: Registry;
  deployer: Pick<Deployer, 'deploy' | 'exclusive' | 'drain'>;
  keeper: Pick<Keeper, 'events'>;
  secrets: Pick<SecretStore, 'all'>;
  sources: Sources;
  operations: Operations;
  audit: Audit;
  mostBytes: number;
  /** Epoch ms. */
  now(): number;
}

/** Failures of a single biz come back as its answer; only what concerns the whole command is thrown. */
export interface Modules {
  install(caller: Caller, biz: BizToInstall): Promise<Installed>;
  installAll(caller: Caller, list: readonly BizToInstall[]): Promise<BatchResponse>;
  /** Every archive below a directory, those of lower priority first. */
  installDirectory(caller: Caller, directory: string): Promise<BatchResponse>;
  uninstall(caller: Caller, biz: BizName): Promise<ClientResponse>;
  switchTo(caller: Caller, biz: BizName): Promise<ClientResponse>;
  /** Everything that is installed, or being installed, and that the caller may see. */
  list(sees: (functionName: string) => boolean): Promise<BizInfo[]>;
}

export interface Installed {
  response: ClientResponse;
  sizeBytes: number;
  /** What refused it. */
  error: HearthError | null;
}

/** Functions looked at before requests get their turn: there may be ten thousand. */
const LISTED_AT_ONCE = 200;
/** Installations of a batch at once; the deployer takes four itself. */
const AT_ONCE = 4;

export function createModules(parts: ModulesParts): Modules {
  const { registry, deployer, sources, operations, audit, now } = parts;
  /** Whether a version gets the traffic is decided by what is active: so one after another for each name. */
  const inTurn = createLocks();

  return {
    install,
    installAll: async (caller, list) => batch(await eachOf(list, (biz) => named(biz.bizUrl, install(caller, biz)))),
    async installDirectory(caller, directory) {
      const urls = await sources.list(directory, isArchiveName);
      // Which they are, before any is installed: in their order, and without all of them in memory.
      const found = await eachOf(urls, look);
      const wanted = found.filter(({ identity, error }) => identity !== null || error !== null);
      const answers: Named[] = [];
      for (const [, rank] of [...Map.groupBy(wanted, ({ priority }) => priority)].sort(([a], [b]) => a - b)) {
        answers.push(
          ...(await eachOf(rank, ({ bizUrl, identity, error }) =>
            error === null
              ? named(bizUrl, install(caller, { ...UNNAMED, ...identity, bizUrl }))
              : { bizUrl, response: answer('FAILED', error.message) },
          )),
        );
      }
      return batch(answers, found.length - wanted.length);
    },
    uninstall: (caller, biz) =>
      operations.alone(biz, 'uninstallBiz', () => inTurn(biz.bizName, () => remove(caller, biz))),
    switchTo: (caller, biz) =>
      operations.alone(biz, 'switchBiz', () => inTurn(biz.bizName, () => activate(caller, biz))),
    async list(sees) {
      const broken = quarantined(parts.keeper.events());
      const installed: BizInfo[] = [];
      let looked = 0;
      for (const entry of registry.functions()) {
        looked += 1;
        if (looked % LISTED_AT_ONCE === 0) await new Promise((resolve) => setImmediate(resolve));
        if (!sees(entry.record.name)) continue;
        for (const version of entry.versions.values()) installed.push(bizInfoOf(entry, version, broken));
      }
      const coming = operations
        .underWay('installBiz')
        .filter(
          ({ bizName, bizVersion }) => sees(bizName) && findBiz(registry.function(bizName), bizVersion) === undefined,
        )
        .map(({ bizName, bizVersion }) => bizInfo(bizName, bizVersion, 'RESOLVED'));
      return [...installed, ...coming];
    },
  };

  async function open(bizUrl: string): Promise<Bundle> {
    const { bytes, fileName } = await sources.read(bizUrl);
    return openBundle(bytes, fileName, parts.mostBytes);
  }

  async function look(bizUrl: string): Promise<Found> {
    try {
      const { identity, priority } = await open(bizUrl);
      return { bizUrl, identity, priority, error: null };
    } catch (error) {
      return { bizUrl, identity: null, priority: 0, error: toHearthError(error) };
    }
  }

  async function install(caller: Caller, given: BizToInstall): Promise<Installed> {
    const startedAt = now();
    let name = given.bizName === '' ? given.bizUrl : `${given.bizName}:${given.bizVersion}`;
    try {
      // Before anything is fetched, where it is known already.
      if (given.bizName !== '') requireInstallable(caller, given);
      const bundle = await open(given.bizUrl);
      const biz = given.bizName === '' ? bundle.identity : given;
      if (biz === null) {
        throw new HearthError(
          'BAD_REQUEST',
          'The bundle does not say which biz it is (META-INF/MANIFEST.MF, package.json, or a name such as shop-1.2.0.zip); give bizName and bizVersion.',
        );
      }
      const { bizName, bizVersion } = biz;
      name = `${bizName}:${bizVersion}`;
      requireInstallable(caller, biz);
      const replace = given.installStrategy === 'uninstallThenInstall';
      const version = await operations.alone(biz, 'installBiz', () =>
        inTurn(bizName, () => deploy(caller, { bizName, bizVersion }, bundle, replace)),
      );
      if (version === null) {
        return failed('REPEAT_BIZ', `Biz: ${name} has been installed or registered.`);
      }
      const entry = registry.function(bizName);
      const found = entry?.versions.get(version);
      const startedText = new Date(startedAt).toISOString().slice(11, 23).replace('.', ',');
      const message = `Install Biz: ${name} success, cost: ${now() - startedAt} ms, started at: ${startedText}`;
      const bizInfos = entry === undefined || found === undefined ? [] : [bizInfoOf(entry, found, new Set())];
      return { response: { code: 'SUCCESS', message, bizInfos }, sizeBytes: found?.record.sizeBytes ?? 0, error: null };
    } catch (error) {
      const refusal = toHearthError(error);
      if (refusal.code === 'INTERNAL') throw refusal;
      return failed('FAILED', `Install Biz: ${name} fail: ${refusal.message}`, refusal);
    }
  }

  function requireInstallable(caller: Caller, { bizName, bizVersion }: BizName): void {
    if (!NAME_PATTERN.test(bizName)) {
      throw new HearthError('BAD_REQUEST', `bizName is the name of a function: it ${NAME_RULE}.`);
    }
    if (!LABEL_PATTERN.test(bizVersion)) {
      throw new HearthError(
        'BAD_REQUEST',
        'bizVersion has letters, digits, ".", "_", "+" and "-", at most 128 characters.',
      );
    }
    requireDeploy(caller, registry, bizName);
  }

  /** Hearth's version; null: it is there already. */
  async function deploy(caller: Caller, biz: BizName, bundle: Bundle, replace: boolean): Promise<string | null> {
    const { bizName: name, bizVersion: label } = biz;
    const before = registry.function(name);
    if (!replace && findBiz(before, label) !== undefined) return null;
    const { version } = await deployer.deploy({
      name,
      upload: { ...bundle.upload, label },
      // As Ark does it: what comes beside an active one waits for switchBiz.
      activate: replace || before?.active === undefined,
      actor: caller.id,
      authorize: (manifest) => requireClaims(caller, manifest),
    });
    if (replace) {
      // After the new one serves, not before, as Ark does it: no call finds nothing, and a failure leaves what was there.
      const old = [...(before?.versions.values() ?? [])].filter((each) => each.version !== version);
      await deployer.exclusive(name, async () => {
        const traffic = registry.function(name)?.record.traffic ?? null;
        // What is asked for leaves nothing to roll back to.
        if (old.length > 0) await registry.setTraffic([{ name, traffic, previous: null }]);
        for (const each of old) await deleteVersion(caller, each);
      });
    }
    return version;
  }

  async function remove(caller: Caller, { bizName, bizVersion }: BizName): Promise<ClientResponse> {
    requireDeploy(caller, registry, bizName);
    return deployer.exclusive(bizName, async () => {
      const entry = registry.function(bizName);
      const version = findBiz(entry, bizVersion);
      if (entry === undefined || version === undefined) {
        return answer('NOT_FOUND_BIZ', `Uninstall biz: ${bizName}:${bizVersion} not found.`);
      }
      if (serves(entry, version) && entry.serving.length > 1) {
        return answer(
          'ILLEGAL_STATE_BIZ',
          `Uninstall biz: ${bizName}:${bizVersion} shares the traffic with other versions; switchBiz to one of them first.`,
        );
      }
      if (serves(entry, version) && registry.isRolledOut(bizName)) {
        return answer(
          'ILLEGAL_STATE_BIZ',
          `Uninstall biz: ${bizName}:${bizVersion} is in a rollout; abort that first.`,
        );
      }
      if (entry.versions.size === 1 && (await isForgettable(entry))) await deleteFunction(caller, entry);
      else {
        if (serves(entry, version)) await registry.setTraffic([{ name: bizName, traffic: null, previous: null }]);
        else if (entry.names(version.version) && !registry.isRolledOut(bizName)) {
          // Arklet knows no rollback: who uninstalls what was switched from, gives up the way back.
          await registry.setTraffic([{ name: bizName, traffic: entry.record.traffic, previous: null }]);
        }
        try {
          await deleteVersion(caller, version);
        } catch (error) {
          const { code, message } = toHearthError(error);
          if (code !== 'CONFLICT') throw error;
          return answer('ILLEGAL_STATE_BIZ', `Uninstall biz: ${bizName}:${bizVersion}: ${message}`);
        }
      }
      return answer('SUCCESS', `Uninstall biz: ${bizName}:${bizVersion} success.`);
    });
  }

  /**
   * With its last version a function goes, unless it holds what its operator set and a later version of it will need:
   * arkctl uninstalls before each install.
   */
  async function isForgettable({ record: { name } }: FunctionEntry): Promise<boolean> {
    if (registry.publicationsOf(name).some(({ implied }) => !implied)) return false;
    return (await parts.secrets.all(name)).length === 0;
  }

  async function deleteFunction(caller: Caller, { record: { name } }: FunctionEntry): Promise<void> {
    const removed = await registry.deleteFunction(name);
    for (const version of removed?.versions.values() ?? []) deployer.drain(version, 'its biz was uninstalled');
    await audit(caller.id, 'function.delete', name);
  }

  async function deleteVersion(caller: Caller, version: VersionEntry): Promise<void> {
    if (!(await registry.deleteVersion(version.functionName, version.version))) return;
    deployer.drain(version, 'its biz was uninstalled');
    await audit(caller.id, 'version.delete', version.functionName, { version: version.version });
  }

  async function activate(caller: Caller, { bizName, bizVersion }: BizName): Promise<ClientResponse> {
    requireDeploy(caller, registry, bizName);
    return deployer.exclusive(bizName, async () => {
      const entry = registry.function(bizName);
      const found = findBiz(entry, bizVersion);
      if (entry === undefined || found === undefined) {
        return answer('NOT_FOUND_BIZ', `Switch biz: ${bizName}:${bizVersion} not found.`);
      }
      const { version } = found;
      requireClaims(caller, found.manifest);
      if (!serves(entry, found) || entry.serving.length > 1) {
        const traffic = { split: [{ version, percent: 100 }] };
        await registry.setTraffic([{ name: bizName, traffic }]);
        await audit(caller.id, 'traffic', bizName, { traffic });
      }
      return answer('SUCCESS', `Switch biz: ${bizName}:${bizVersion} is activated.`);
    });
  }
}

const UNNAMED = { bizName: '', bizVersion: '', args: undefined, envs: undefined, installStrategy: undefined };

interface Found extends Pick<Bundle, 'identity' | 'priority'> {
  bizUrl: string;
  error: HearthError | null;
}

interface Named {
  bizUrl: string;
  response: ClientResponse;
}

async function named(bizUrl: string, installing: Promise<Installed>): Promise<Named> {
  return { bizUrl, response: (await installing).response };
}

/** `skipped`: archives that name no biz, as libraries do that lie beside one. */
function batch(answers: readonly Named[], skipped = 0): BatchResponse {
  const failed = answers.some(({ response }) => response.code !== 'SUCCESS');
  const left = skipped === 0 ? '' : `; ${skipped} archives that name no biz were left alone`;
  return {
    code: failed ? 'FAILED' : 'SUCCESS',
    message: `batch install ${failed ? 'failed' : 'success'}${left}`,
    bizUrlToResponse: Object.fromEntries(answers.map(({ bizUrl, response }) => [bizUrl, response])),
  };
}

function answer(code: ClientResponse['code'], message: string): ClientResponse {
  return { code, message, bizInfos: [] };
}

function failed(code: ClientResponse['code'], message: string, error: HearthError | null = null): Installed {
  return { response: answer(code, message), sizeBytes: 0, error };
}

/** Some at once, answers in the order of the items. */
async function eachOf<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Result | Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  let next = 0;
  const lane = async () => {
    for (let index = next++; index < items.length; index = next++) results[index] = await work(items[index] as Item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  return results;
}
