import assert from 'node:assert/strict';
import { HearthError } from '../../../functions/contract/errors.ts';

export function isError(code: string, message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof HearthError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, message);
    return true;
  };
}

export function rejectsWith(code: string, message: RegExp, work: () => unknown): void {
  assert.throws(work, isError(code, message));
}
