/** What a base did that made it be ended, and what its callers hear of that. */
import { HearthError } from '../../../functions/contract/errors.ts';
import type { ModuleSpec } from '../api.ts';

export type Fault =
  | { kind: 'memory'; usedMb: number }
  /** One turn of its loop was longer than `limits.cpu_ms`. `stream`: whose code ran. */
  | { kind: 'cpu'; stream: number }
  /** Its thread answered no ping. */
  | { kind: 'blocked' };

/** For events and for the calls that were under way. */
export function describeFault(fault: Fault, spec: ModuleSpec): string {
  switch (fault.kind) {
    case 'memory':
      return `${spec.functionName} went over its memory limit of ${spec.limits.memoryMb} MB (hearth.memoryMb): ${fault.usedMb} MB`;
    case 'cpu':
      return `${spec.functionName} used more than ${spec.limits.cpuMs} ms of CPU without a pause (limits.cpu_ms)`;
    case 'blocked':
      return `${spec.functionName} blocked its thread`;
  }
}

/** Of an invocation on this stream that was called and has no answer. */
export function errorOfFault(fault: Fault, spec: ModuleSpec, stream: number): HearthError {
  const what = describeFault(fault, spec);
  if (fault.kind === 'cpu' && fault.stream === stream) return new HearthError('FUNCTION_TIMEOUT', `${what}.`);
  const whose = fault.kind === 'cpu' ? 'Another call in the same base ended it' : 'The base was ended';
  return new HearthError('FUNCTION_CRASHED', `${whose}: ${what}.`);
}
