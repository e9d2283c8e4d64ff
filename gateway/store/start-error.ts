/** Why a store could not be opened. The message is one sentence an operator can act on; the start ends with it. */
export type StoreStartCode =
  /** The file was written by a newer Hearth. */
  | 'STORE_NEWER'
  /** Another gateway has the data directory. */
  | 'STORE_IN_USE'
  /** The directory or a file in it cannot be made, read or written. */
  | 'STORE_UNWRITABLE'
  /** The file is no database of Hearth, or damaged. */
  | 'STORE_DAMAGED'
  /** Redis is not there, or does not answer. */
  | 'STORE_AWAY'
  /** Redis is there and cannot be a store: password, replica, too old. */
  | 'STORE_REFUSED'
  /** Its secrets are sealed with a key that this gateway has not. */
  | 'STORE_KEY';

export class StoreStartError extends Error {
  readonly code: StoreStartCode;

  constructor(code: StoreStartCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'StoreStartError';
    this.code = code;
  }
}
