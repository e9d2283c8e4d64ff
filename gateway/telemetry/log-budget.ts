/**
 * How much a function may write into what all share: Hearth's own log, which somebody keeps on a disk, and the export. Who
 * writes more than that still finds it in the function's own log.
 */
export interface LogBudget {
  /** False: this line stays with the function. */
  take(functionName: string, bytes: number): boolean;
  /** Lines that stayed since it was last asked, once there is room again. */
  leftOut(functionName: string): number;
  forget(functionName: string): void;
}

export interface LogBudgetOptions {
  /** Epoch ms. */
  now(): number;
  /** At once, and over time. Default: 1 MB, and 16 KB a second, which is 1.4 GB a day. */
  burstBytes?: number;
  bytesPerSecond?: number;
}

interface Account {
  leftBytes: number;
  at: number;
  leftOut: number;
}

/** What a line has beside its message, roughly. */
const LINE_BYTES = 300;

export function createLogBudget(options: LogBudgetOptions): LogBudget {
  const { now, burstBytes = 1024 * 1024, bytesPerSecond = 16 * 1024 } = options;
  const accounts = new Map<string, Account>();

  return {
    take(functionName, bytes) {
      const at = now();
      const account = accounts.getOrInsertComputed(functionName, () => ({ leftBytes: burstBytes, at, leftOut: 0 }));
      const earned = (Math.max(0, at - account.at) / 1000) * bytesPerSecond;
      account.leftBytes = Math.min(burstBytes, account.leftBytes + earned);
      account.at = at;
      const cost = bytes + LINE_BYTES;
      if (account.leftBytes < cost) {
        account.leftOut++;
        return false;
      }
      account.leftBytes -= cost;
      return true;
    },
    leftOut(functionName) {
      const account = accounts.get(functionName);
      const lines = account?.leftOut ?? 0;
      if (account !== undefined) account.leftOut = 0;
      return lines;
    },
    forget: (functionName) => void accounts.delete(functionName),
  };
}
