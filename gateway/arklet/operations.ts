/**
 * Commands that run: one at a time for each biz, and those that were not waited for (`async`), of which `queryBizOps`
 * tells. As with arklet this is held in memory: after a restart `queryAllBiz` says what was done.
 *
 *   INITIALIZED ──► EXECUTING ──► SUCCEEDED
 *                            └──► FAILED
 */
import { HearthError } from '../../functions/contract/errors.ts';
import type { ArkletResponse } from './protocol.ts';

export interface OperationMeta {
  bizName: string;
  bizVersion: string;
  requestId: string;
  async: boolean;
}

export interface ProcessRecord {
  requestId: string;
  arkBizMeta: OperationMeta;
  status: 'INITIALIZED' | 'EXECUTING' | 'SUCCEEDED' | 'FAILED';
  /** Of what failed. */
  message?: string;
  /** Epoch ms, both the same; arklet has them as date and number. */
  startTime: number;
  startTimestamp: number;
  endTime?: number;
  endTimestamp?: number;
  elapsedTime?: number;
}

export interface Operations {
  /** Runs the command unless another one for the same biz is under way: then CONFLICT. */
  alone<Result>(biz: BizName, command: string, work: () => Promise<Result>): Promise<Result>;
  /** Begins the command and comes back at once. CONFLICT for a requestId that was seen already. */
  begin(meta: OperationMeta, actor: string, work: () => Promise<ArkletResponse>): ProcessRecord;
  find(requestId: string): { record: ProcessRecord; actor: string } | undefined;
  /** Which biz a command of this name is under way for. */
  underWay(command: string): BizName[];
}

export interface BizName {
  bizName: string;
  bizVersion: string;
}

/** Finished ones, the newest. */
const KEPT = 1000;

export function createOperations(now: () => number): Operations {
  const running = new Map<string, BizName & { command: string }>();
  const begun = new Map<string, { record: ProcessRecord; actor: string }>();

  function forgetOldest(): void {
    if (begun.size <= KEPT) return;
    for (const [requestId, { record }] of begun) {
      if (record.status !== 'SUCCEEDED' && record.status !== 'FAILED') continue;
      begun.delete(requestId);
      return;
    }
  }

  return {
    async alone({ bizName, bizVersion }, command, work) {
      const identity = `${bizName}:${bizVersion}`;
      const other = running.get(identity);
      if (other !== undefined) {
        throw new HearthError(
          'CONFLICT',
          `${identity} ${command} conflict, exist unfinished command(${other.command}) for this biz`,
        );
      }
      running.set(identity, { bizName, bizVersion, command });
      try {
        return await work();
      } finally {
        running.delete(identity);
      }
    },
    begin(meta, actor, work) {
      const { requestId } = meta;
      if (begun.has(requestId)) {
        throw new HearthError(
          'CONFLICT',
          `The request corresponding to the requestId(${requestId}) has been executed.`,
        );
      }
      const at = now();
      const record: ProcessRecord = {
        requestId,
        arkBizMeta: meta,
        status: 'INITIALIZED',
        startTime: at,
        startTimestamp: at,
      };
      begun.set(requestId, { record, actor });
      forgetOldest();
      const finish = ({ code, message }: ArkletResponse) => {
        const end = now();
        record.status = code === 'SUCCESS' ? 'SUCCEEDED' : 'FAILED';
        if (code !== 'SUCCESS') record.message = message ?? code;
        record.endTime = end;
        record.endTimestamp = end;
        record.elapsedTime = end - at;
      };
      record.status = 'EXECUTING';
      work().then(finish, (error: unknown) => finish({ code: 'FAILED', message: String(error) }));
      return record;
    },
    find: (requestId) => begun.get(requestId),
    underWay: (command) => [...running.values()].filter((one) => one.command === command),
  };
}
