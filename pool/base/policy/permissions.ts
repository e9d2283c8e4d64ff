/**
 * Node's permission model from inside: what a base may read while it boots, and what is left once it is leased. A drop
 * acts on this thread alone and cannot be taken back.
 */
import process from 'node:process';

/** Node 26's `process.permission`, which its types do not know yet. */
interface Permission {
  has(scope: string, reference?: string): boolean;
  drop(scope: string, reference?: string): void;
}

/** Throws when the thread was started without `--permission`: a base never runs unfenced. */
export function requirePermissions(): void {
  permission();
}

/**
 * Takes away what booting needed: of all that may be read only `filesDir` stays. Done before the base is called warm, so
 * that no cold start pays for it. Throws when something is left, as the base then must not run foreign code.
 */
export function dropBootGrants(execArgv: readonly string[], filesDir: string): void {
  const model = permission();
  const granted = readGrants(execArgv).filter((path) => path !== filesDir);
  for (const path of granted) model.drop('fs.read', path);
  for (const scope of ['fs.write', 'child', 'worker', 'addons', 'wasi', 'inspector', 'ffi']) {
    // Of a host that listens for a debugger (HEARTH_INSPECT): without it, that one hears nothing. No module gets at it, as
    // `node:inspector` is none of the built-ins it may have.
    if (scope === 'inspector' && execArgv.includes('--allow-inspector')) continue;
    if (model.has(scope)) model.drop(scope);
  }
  const left = granted.filter((path) => model.has('fs.read', path));
  if (left.length > 0) throw new Error(`The base can still read ${left.join(', ')}.`);
}

/** Takes away what the module that leases the base does not get. Throws when it would still have it. */
export function dropForLease(hasFiles: boolean, network: 'all' | 'none'): void {
  const model = permission();
  if (!hasFiles) model.drop('fs.read');
  if (network === 'none') {
    model.drop('net');
    if (model.has('net')) throw new Error('The base can still open connections.');
  }
}

function readGrants(execArgv: readonly string[]): string[] {
  const flag = '--allow-fs-read=';
  const given = execArgv.filter((argument) => argument.startsWith(flag)).map((argument) => argument.slice(flag.length));
  // Without being asked, Node grants a worker under --permission what is below the working directory (seen on 26.10).
  return [...given, process.cwd()];
}

function permission(): Permission {
  const model = (process as unknown as { permission?: Permission }).permission;
  if (model === undefined) throw new Error('A base runs under --permission only.');
  return model;
}
