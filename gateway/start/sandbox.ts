/** HEARTH_SANDBOX: whether hosts run in bubblewrap. */
import { findSandbox, type Sandbox } from '../../pool/keeper/hosts/sandbox.ts';
import type { Config } from '../config.ts';
import type { Logger } from '../telemetry/log.ts';
import { StartError } from './start-error.ts';

/** Throws StartError when it is required and does not work here. */
export function sandboxFor(setting: Config['sandbox'], log: Pick<Logger, 'debug'>): Sandbox | null {
  if (setting === 'off') return null;
  const { sandbox, why } = findSandbox();
  if (sandbox === null && setting === 'require') {
    throw new StartError(`HEARTH_SANDBOX is require, and ${why}; install bubblewrap, or allow Hearth user namespaces.`);
  }
  log.debug(sandbox === null ? 'hosts run without a sandbox' : 'hosts run in bubblewrap', { why });
  return sandbox;
}
