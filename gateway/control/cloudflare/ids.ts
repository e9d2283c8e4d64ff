/** Cloudflare's tools want UUIDs where Hearth has hashes: what is made here of a version leads back to it. */
import { createHash } from 'node:crypto';

/** Digits of a version; the rest of its UUID is zeros. */
const VERSION_DIGITS = 24;

export function uuidOfVersion(version: string): string {
  return hyphenated(version.slice(0, VERSION_DIGITS).padEnd(32, '0'));
}

/** A UUID of ours, or the version itself, whole or the beginning of it. */
export function versionOfUuid(id: string): string {
  const digits = id.toLowerCase().replaceAll('-', '');
  return digits.length === 32 && digits.endsWith('0'.repeat(32 - VERSION_DIGITS))
    ? digits.slice(0, VERSION_DIGITS)
    : digits;
}

/** Of something that has no id of its own; the same parts give the same. */
export function uuidOf(...parts: string[]): string {
  return hyphenated(createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32));
}

function hyphenated(digits: string): string {
  return [8, 12, 16, 20, 32].map((end, i) => digits.slice([0, 8, 12, 16, 20][i], end)).join('-');
}
