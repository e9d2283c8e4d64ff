/** Whether this machine lets a test mount a file system of its own, to fill it. */
import { execFileSync } from 'node:child_process';

export function canMount(): boolean {
  try {
    // In a mount namespace of its own: shows whether mounting is allowed and leaves nothing.
    execFileSync('unshare', ['-m', 'mount', '-t', 'tmpfs', '-o', 'size=1m', 'hearth-test', '/mnt'], {
      stdio: 'ignore',
    });
    return true;
  } catch {
    return false;
  }
}
