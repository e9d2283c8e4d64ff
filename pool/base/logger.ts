/** `ctx.log`: as console, bound to one invocation whatever code calls it. */
import type { Logger } from '../../functions/contract/handlers.ts';
import { formatArguments, type Level, type LogBuffer } from './console.ts';
import type { Invocation } from './context.ts';

export function invocationLogger(log: LogBuffer, invocation: Invocation): Logger {
  const source = { module: invocation.head.module, invocationId: invocation.invocationId };
  const at =
    (level: Level) =>
    (...args: unknown[]) =>
      log.write(level, formatArguments(args), source);
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
