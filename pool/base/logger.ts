/** `ctx.log`: as console, bound to one invocation whatever code calls it. */
import type { Logger } from '../../functions/contract/handlers.ts';
import { formatArguments, type Level, type LogBuffer, type LogSource } from './console.ts';
import type { Invocation } from './context.ts';

export function invocationLogger(log: LogBuffer, invocation: Invocation): Logger {
  const { module } = invocation.head;
  const at =
    (level: Level) =>
    (...args: unknown[]) =>
      log.write(level, formatArguments(args), sourceOf(module, invocation));
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

export function sourceOf(module: string, invocation: Invocation | undefined): LogSource {
  const source: LogSource = { module, invocationId: invocation?.invocationId ?? null };
  const span = invocation?.span ?? null;
  if (span !== null) source.span = span;
  return source;
}
