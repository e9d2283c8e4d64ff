/** Names and sizes that hold everywhere: manifest, API, triggers and bindings check against these. */

/** What a function, queue, base, trust group, group or pool may be called. */
export const NAME_PATTERN = /^[a-z][a-z0-9-]{0,62}$/;
export const NAME_RULE = 'starts with a letter, then letters, digits and dashes in lower case, at most 63 characters';

/** A queue is named like anything else; its dead letters stand in `NAME.dead` unless its consumer names another. */
export const QUEUE_NAME_PATTERN = /^[a-z][a-z0-9-]{0,62}(\.dead)*$/;
/**
 * With Hearth's own: `async.FUNCTION` and `async.FUNCTION.destinations` hold asynchronous invocations, `topic.TOPIC.FUNCTION`
 * what a subscriber is to get. They can be looked at, paused and redriven; nobody else puts messages into them, or consumes
 * them or their dead letters.
 */
export const ANY_QUEUE_NAME_PATTERN =
  /^(async\.[a-z][a-z0-9-]{0,62}(\.destinations)?|topic\.[a-z][a-z0-9-]{0,62}\.[a-z][a-z0-9-]{0,62}|[a-z][a-z0-9-]{0,62})(\.dead)*$/;

/** Where what is published to a topic waits for one of its subscribers. */
export function topicQueue(topic: string, functionName: string): string {
  return `topic.${topic}.${functionName}`;
}

/** Hops of functions calling functions, over any trigger, before LOOP_DETECTED. */
export const MAX_HOPS = 16;

/** One queue message, body as encoded (Workers: 128 KB). */
export const MAX_MESSAGE_BYTES = 128 * 1024;
/** Messages of one enqueue call or sendBatch (Workers: 100). */
export const MAX_BATCH_MESSAGES = 100;
/** All messages of one sendBatch together (Workers: 256 KB). */
export const MAX_SEND_BATCH_BYTES = 256 * 1024;
/** Longest delay of a message (Workers: 24 h). */
export const MAX_DELAY_S = 86_400;

/** KV as Workers has it. */
export const MAX_KV_KEY_BYTES = 512;
export const MAX_KV_VALUE_BYTES = 25 * 1024 * 1024;
export const MAX_KV_METADATA_BYTES = 1024;
export const MIN_KV_TTL_S = 60;
export const MAX_KV_LIST = 1000;

/** Files as R2 has them. */
export const MAX_FILE_KEY_BYTES = 1024;
export const MAX_FILE_METADATA_BYTES = 8 * 1024;
export const MAX_FILE_LIST = 1000;
export const MAX_FILE_DELETES = 1000;

/** Values of one configuration as JSON, and how many there are. */
export const MAX_CONFIG_BYTES = 256 * 1024;
export const MAX_CONFIG_KEYS = 1000;

/** What a lock or a counter may be called. */
export const MAX_SERVICE_NAME_BYTES = 512;
/** How long a lock is held without being renewed, and how long a caller may wait for one. */
export const MAX_LOCK_TTL_MS = 60 * 60_000;
export const MIN_LOCK_TTL_MS = 100;
export const MAX_LOCK_WAIT_MS = 10 * 60_000;

/** Files of one deploy: an ordinary node_modules fits (Fastify alone installs two thousand). */
export const MAX_DEPLOY_FILES = 20_000;

/** How long `waitUntil` may hold a slot after the response. */
export const WAIT_UNTIL_MS = 30_000;
/** How long an invocation waits for a slot before OVERLOADED. */
export const MAX_WAIT_MS = 10_000;
