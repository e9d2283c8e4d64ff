/** What may be put into a queue, whoever sends it. */
import { HearthError } from '../../../functions/contract/errors.ts';
import { MAX_BATCH_MESSAGES, MAX_DELAY_S, MAX_MESSAGE_BYTES } from '../../../functions/contract/limits.ts';
import type { ContentType } from '../../store/api/queues.ts';

export interface EnqueueMessage {
  /** For deduplication over 24 h; absent: a new one is made. */
  id?: string;
  body: Uint8Array;
  contentType: ContentType;
  /** null: the queue's own delay. */
  delayS: number | null;
}

const CONTENT_TYPES: readonly string[] = ['json', 'text', 'bytes', 'v8'] satisfies ContentType[];
const ID_PATTERN = /^[\x21-\x7e]{1,128}$/;

/** Throws BAD_REQUEST or PAYLOAD_TOO_LARGE, naming the message by its place. */
export function checkMessages(messages: readonly EnqueueMessage[]): void {
  if (messages.length === 0) throw new HearthError('BAD_REQUEST', 'At least one message has to be sent.');
  if (messages.length > MAX_BATCH_MESSAGES) {
    const count = messages.length;
    throw new HearthError('BAD_REQUEST', `${count} messages at once; at most ${MAX_BATCH_MESSAGES} are taken.`);
  }
  messages.forEach((message, i) => {
    checkMessage(message, `Message ${i}`);
  });
}

function checkMessage({ id, body, contentType, delayS }: EnqueueMessage, which: string): void {
  if (body.byteLength > MAX_MESSAGE_BYTES) {
    const most = `${MAX_MESSAGE_BYTES / 1024} KB`;
    throw new HearthError('PAYLOAD_TOO_LARGE', `${which} has ${body.byteLength} bytes; at most ${most} are taken.`);
  }
  if (id !== undefined && !ID_PATTERN.test(id)) {
    throw new HearthError('BAD_REQUEST', `${which}: an id has 1 to 128 printable ASCII characters and no space.`);
  }
  if (!CONTENT_TYPES.includes(contentType)) {
    throw new HearthError('BAD_REQUEST', `${which}: the content type is one of ${CONTENT_TYPES.join(', ')}.`);
  }
  if (delayS !== null && !(delayS >= 0 && delayS <= MAX_DELAY_S)) {
    throw new HearthError('BAD_REQUEST', `${which}: a delay is 0 to ${MAX_DELAY_S} seconds.`);
  }
}
