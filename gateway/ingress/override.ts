/** `hearth-version-override`: a tester names the version that is to serve the request, whatever the traffic says. */
import { HearthError } from '../../functions/contract/errors.ts';
import type { FunctionEntry, VersionEntry } from '../registry/registry.ts';
import type { Choice } from '../registry/traffic.ts';
import { ARM } from '../telemetry/names.ts';
import type { ParsedRequest } from './request.ts';

/** Why the holder of a token may not choose the version of a function; null: it may. */
export type OverrideCheck = (token: string, functionName: string) => HearthError | null;

/**
 * The version asked for: by its id, or eight characters of it. The token is that of `hearth-token`, or else the bearer
 * token, which is then taken out of what the function is given. FORBIDDEN, or NOT_FOUND.
 */
export function overridden(
  parsed: ParsedRequest,
  entry: FunctionEntry,
  wanted: string,
  check: OverrideCheck,
): Choice<VersionEntry> | HearthError {
  const { name } = entry.record;
  const token = parsed.token ?? takeBearer(parsed);
  if (token === null) {
    const message = `hearth-version-override needs a token with the scope "override:${name}", in hearth-token.`;
    return new HearthError('FORBIDDEN', message);
  }
  const refusal = check(token, name);
  if (refusal !== null) return refusal;
  const version = entry.find(wanted);
  if (version !== undefined) return { version, arm: ARM.override };
  return new HearthError('NOT_FOUND', `There is no one version "${wanted.slice(0, 128)}" of ${name}.`);
}

function takeBearer(parsed: ParsedRequest): string | null {
  const at = parsed.headers.findIndex(([name]) => name === 'authorization');
  const token = /^bearer +(\S+) *$/i.exec(parsed.headers[at]?.[1] ?? '')?.[1];
  if (token === undefined) return null;
  parsed.headers.splice(at, 1);
  return token;
}
