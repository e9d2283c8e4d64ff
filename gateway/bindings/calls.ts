/** The shape of what a base may ask of a binding. A base is hostile: nothing of a call is used before it went through here. */
import { z } from 'zod';
import { HearthError } from '../../functions/contract/errors.ts';
import type { BindingCallHead } from '../../functions/contract/invocation.ts';
import { MAX_BATCH_MESSAGES, MAX_DELAY_S, MAX_KV_LIST, MAX_MESSAGE_BYTES } from '../../functions/contract/limits.ts';
import { configCallShape, counterCallShape, fileCallShape, lockCallShape, rateCallShape } from './service-shapes.ts';

/** Headers of one service call, names and values together. */
export const MAX_HEADER_BYTES = 48 * 1024;
const MAX_URL_CHARS = 16 * 1024;
const MAX_METHOD_CHARS = 1024;

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
const HEADER_VALUE = /^[^\u0000-\u0008\u000a-\u001f\u007f]*$/;

const kvCall = z.discriminatedUnion('op', [
  z.object({ op: z.literal('kv.get'), key: z.string() }),
  z.object({
    op: z.literal('kv.put'),
    key: z.string(),
    expiration: z.int().nonnegative().nullable(),
    metadata: z.unknown(),
  }),
  z.object({ op: z.literal('kv.delete'), key: z.string() }),
  z.object({
    op: z.literal('kv.list'),
    prefix: z.string(),
    limit: z.int().min(1).max(MAX_KV_LIST),
    cursor: z.string().max(4096).nullable(),
  }),
]);

const newMessages = z
  .array(
    z.object({
      contentType: z.enum(['json', 'text', 'bytes', 'v8']),
      bytes: z.int().nonnegative(),
      delayS: z.number().min(0).max(MAX_DELAY_S).nullable(),
    }),
  )
  .min(1)
  .max(MAX_BATCH_MESSAGES);

const sendCall = <Op extends string>(op: Op) => z.object({ op: z.literal(op), messages: newMessages });

const serviceCall = z.discriminatedUnion('op', [
  z.object({
    op: z.literal('service.fetch'),
    method: z.string().max(32).regex(TOKEN),
    url: z.string().max(MAX_URL_CHARS).refine(isHttpUrl, 'Not an http or https URL.'),
    headers: z
      .array(z.tuple([z.string().regex(TOKEN), z.string().regex(HEADER_VALUE)]))
      .refine(headersFit, `Headers have at most ${MAX_HEADER_BYTES / 1024} KB together.`),
    hasBody: z.boolean(),
    upgrade: z.boolean(),
  }),
  z.object({ op: z.literal('service.rpc'), method: z.string().max(MAX_METHOD_CHARS) }),
]);

const assetsCall = z.object({
  op: z.literal('assets.fetch'),
  method: serviceCall.options[0].shape.method,
  url: serviceCall.options[0].shape.url,
  headers: serviceCall.options[0].shape.headers,
});

const SCHEMAS = {
  kv: kvCall,
  assets: assetsCall,
  queue: sendCall('queue.send'),
  topic: sendCall('topic.publish'),
  service: serviceCall,
  r2: fileCallShape,
  lock: lockCallShape,
  counter: counterCallShape,
  config: configCallShape,
  ratelimit: rateCallShape,
};

export type CheckedCalls = { [Kind in keyof typeof SCHEMAS]: z.output<(typeof SCHEMAS)[Kind]> };

/** The call, checked. Throws BAD_REQUEST, and PAYLOAD_TOO_LARGE for a message over its limit. */
export function checkCall<Kind extends keyof CheckedCalls>(
  kind: Kind,
  name: string,
  call: BindingCallHead['call'],
): CheckedCalls[Kind] {
  const op = String(call.op).slice(0, 40);
  if (!op.startsWith(`${kind}.`)) {
    throw new HearthError('BAD_REQUEST', `env.${name} is a ${kind} binding; it has no "${op}".`);
  }
  if ((call.op === 'queue.send' || call.op === 'topic.publish') && Array.isArray(call.messages)) {
    for (const message of call.messages) {
      if (!(message?.bytes > MAX_MESSAGE_BYTES)) continue;
      const most = `${MAX_MESSAGE_BYTES / 1024} KB`;
      throw new HearthError('PAYLOAD_TOO_LARGE', `A message has ${message.bytes} bytes; at most ${most} are taken.`);
    }
  }
  const parsed = SCHEMAS[kind].safeParse(call);
  if (parsed.success) return parsed.data as CheckedCalls[Kind];
  const issues = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
  throw new HearthError('BAD_REQUEST', `env.${name}, ${op}: ${issues.slice(0, 3).join('; ')}`);
}

function isHttpUrl(url: string): boolean {
  return /^https?:\/\//i.test(url) && URL.canParse(url);
}

function headersFit(headers: [string, string][]): boolean {
  let bytes = 0;
  for (const [name, value] of headers) bytes += name.length + value.length;
  return bytes <= MAX_HEADER_BYTES;
}
