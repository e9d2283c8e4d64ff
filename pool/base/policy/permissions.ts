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
 * Takes away what booting needed. `filesDir`: the one directory that stays readable; null: nothing stays. Throws when
 * something could still be read or opened, as the base then must not run foreign code.
 */
export function dropPermissions(execArgv: readonly string[], filesDir: string | null, network: 'all' | 'none'): void {
  const model = permission();
  const granted = readGrants(execArgv);
  if (filesDir === null) {
    model.drop('fs.read');
  } else {
    for (const path of granted) if (path !== filesDir) model.drop('fs.read', path);
  }
  for (const scope of ['fs.write', 'child', 'worker', 'addons', 'wasi', 'inspector', 'ffi']) {
    if (model.has(scope)) model.drop(scope);
  }
  if (network === 'none') model.drop('net');
  const left = granted.filter((path) => path !== filesDir && model.has('fs.read', path));
  if (left.length > 0) throw new Error(`The base can still read ${left.join(', ')}.`);
  if (network === 'none' && model.has('net')) throw new Error('The base can still open connections.');
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
