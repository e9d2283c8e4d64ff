/** arklet's commands: what each takes, who may give it, and what answers. */
import { HearthError } from '../../functions/contract/errors.ts';
import { type Caller, requireRead, scopeCovers } from '../control/access.ts';
import type { Health } from './health.ts';
import type { Modules } from './modules.ts';
import type { BizName, OperationMeta, Operations } from './operations.ts';
import { type ArkletResponse, type ClientResponse, failure, inputs, parseInput } from './protocol.ts';

export interface Command {
  desc: string;
  /** Throws HearthError: what is refused as a whole. */
  run(caller: Caller, given: unknown): Promise<ArkletResponse>;
}

export interface CommandsParts {
  modules: Modules;
  operations: Operations;
  health: Health;
  /** An async command that failed for Hearth's own fault: nobody waits for its answer. */
  failed(error: HearthError, meta: OperationMeta): void;
}

export function createCommands({ modules, operations, health, failed }: CommandsParts): ReadonlyMap<string, Command> {
  const commands: ReadonlyMap<string, Command> = new Map<string, Command>([
    [
      'help',
      {
        desc: 'list all supported commands',
        run: async () => success([...commands].map(([id, { desc }]) => ({ id, desc }))),
      },
    ],
    [
      'installBiz',
      {
        desc: 'install one ark biz',
        async run(caller, given) {
          const input = parseInput(inputs.install, given);
          return unlessAsync(caller, input, async () => {
            const { response, sizeBytes, error } = await modules.install(caller, input);
            const data = { ...response, elapsedSpace: sizeBytes };
            if (error !== null) return { ...failure(error, data), message: response.message };
            return outcome(response, data, 'install biz not success!');
          });
        },
      },
    ],
    [
      'batchInstallBiz',
      {
        desc: 'batch install ark biz',
        async run(caller, given) {
          const { bizList, bizDirAbsolutePath, ...input } = parseInput(inputs.batch, given);
          requireSomeDeploy(caller);
          return unlessAsync(caller, { bizName: '', bizVersion: '', ...input }, async () => {
            const response = await (bizList === undefined || bizList === null
              ? modules.installDirectory(caller, bizDirAbsolutePath)
              : modules.installAll(caller, bizList));
            return outcome(response, response, 'batch install biz not success!');
          });
        },
      },
    ],
    ['uninstallBiz', onOneBiz('uninstall one ark biz', modules.uninstall, 'uninstall biz not success!')],
    ['switchBiz', onOneBiz('switch one ark biz', modules.switchTo, 'switch biz not success!')],
    [
      'queryAllBiz',
      {
        desc: 'query all ark biz',
        run: async (caller) => success(await modules.list(seenBy(caller))),
      },
    ],
    [
      'queryBizOps',
      {
        desc: 'query ark biz ops',
        async run(caller, given) {
          const { requestId } = parseInput(inputs.bizOps, given);
          const found = operations.find(requestId);
          const visible =
            found !== undefined && (found.actor === caller.id || caller.admin || caller.scopes.includes('read'));
          if (!visible) return { code: 'FAILED', message: 'Not found the corresponding ops record.' };
          return success(found.record);
        },
      },
    ],
    [
      'health',
      {
        desc: 'get all health info',
        async run(caller, given) {
          requireRead(caller);
          const input = parseInput(inputs.health, given);
          const healthData = await health.tell(input, () => modules.list(() => true));
          if (healthData === null) {
            return {
              code: 'FAILED',
              message: `can not find biz: ${input.bizName}${input.bizVersion && `:${input.bizVersion}`}`,
            };
          }
          return success({ healthData });
        },
      },
    ],
  ]);
  return commands;

  function onOneBiz(
    desc: string,
    act: (caller: Caller, biz: BizName) => Promise<ClientResponse>,
    notDone: string,
  ): Command {
    return {
      desc,
      async run(caller, given) {
        const input = parseInput(inputs.oneBiz, given);
        return unlessAsync(caller, input, async () => {
          const response = await act(caller, input);
          return outcome(response, response, notDone);
        });
      },
    };
  }

  /** With `async` the answer is the record of what was begun. */
  async function unlessAsync(
    caller: Caller,
    input: { bizName: string; bizVersion: string; requestId: string; async?: boolean | null | undefined },
    work: () => Promise<ArkletResponse>,
  ): Promise<ArkletResponse> {
    if (input.async !== true) return work();
    const { bizName, bizVersion, requestId } = input;
    const meta = { bizName, bizVersion, requestId, async: true };
    const record = operations.begin(meta, caller.id, async () => {
      try {
        return await work();
      } catch (thrown) {
        const error =
          thrown instanceof HearthError ? thrown : new HearthError('INTERNAL', 'Hearth failed.', { cause: thrown });
        if (error.code === 'INTERNAL') failed(error, meta);
        return failure(error);
      }
    });
    return success(record);
  }
}

function success(data: unknown): ArkletResponse {
  return { code: 'SUCCESS', data };
}

/** arklet's message of a failure says nothing; why stands in the data, and here in both. */
function outcome(
  { code, message }: Pick<ClientResponse, 'message'> & { code: string },
  data: unknown,
  failed: string,
): ArkletResponse {
  return code === 'SUCCESS' ? success(data) : { code: 'FAILED', message: `${failed} ${message}`, data };
}

function seenBy(caller: Caller): (functionName: string) => boolean {
  if (caller.admin || caller.scopes.includes('read')) return () => true;
  requireSomeDeploy(caller);
  return (name) => caller.scopes.some((scope) => scopeCovers(scope, 'deploy', name));
}

/** Which names it may use is asked for each. */
function requireSomeDeploy(caller: Caller): void {
  if (caller.admin || caller.scopes.some((scope) => scope.startsWith('deploy:'))) return;
  throw new HearthError('FORBIDDEN', 'This call needs the scope "read", or "deploy" for some function.');
}
