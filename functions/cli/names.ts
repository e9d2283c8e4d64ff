/** Names of functions as they come out of directories and files. */
import { basename } from 'node:path';
import { NAME_PATTERN, NAME_RULE } from '../contract/limits.ts';
import { UsageError } from './failure.ts';

/** @throws UsageError */
export function checkedName(name: string): string {
  if (NAME_PATTERN.test(name)) return name;
  throw new UsageError(`${JSON.stringify(name)} is no name: it ${NAME_RULE}.`);
}

/** `./Shop_Cart.ts` → `shop-cart`. @throws UsageError where nothing of it can be a name. */
export function nameFromPath(path: string): string {
  const plain = basename(path)
    .replace(/\.[cm]?[jt]sx?$/i, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^[^a-z]+|-+$/g, '')
    .slice(0, 63);
  if (NAME_PATTERN.test(plain)) return plain;
  throw new UsageError(`No name can be made of ${JSON.stringify(basename(path))}.`, 'Give one with --name.');
}
