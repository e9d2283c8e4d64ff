/** What the resources of Cloudflare's API are given, and what they have in common. */
import type { Context, Hono } from 'hono';
import type { z } from 'zod';
import { HearthError } from '../../../functions/contract/errors.ts';
import { NAME_PATTERN, NAME_RULE } from '../../../functions/contract/limits.ts';
import { isTooDeep } from '../../../pool/link/json-depth.ts';
import type { FunctionEntry, Registry } from '../../registry/registry.ts';
import type { Queues } from '../../triggers/queue/queues.ts';
import type { Audit } from '../audit.ts';
import type { Deployer } from '../deploy.ts';
import type { ControlEnv } from '../http.ts';
import { invalidRequest, tooDeep } from '../problems.ts';
import type { Publisher } from '../publisher.ts';
import type { SecretKeeper } from '../secrets.ts';
import { CloudflareError, NO_SUCH_WORKER } from './envelope.ts';

export type CloudflareApp = Hono<ControlEnv>;
export type CloudflareContext = Context<ControlEnv>;

export interface CloudflareParts {
  /** Whose changes of traffic are proved first. */
  registry: Registry;
  deployer: Deployer;
  secrets: SecretKeeper;
  publisher: Publisher;
  queues: Pick<Queues, 'list' | 'get' | 'put' | 'delete'>;
  audit: Audit;
  urlOf(name: string): string;
  /** Epoch ms. */
  now(): number;
}

/** Of the path. Throws BAD_REQUEST for what no function can be called. */
export function scriptName(c: CloudflareContext): string {
  const name = c.req.param('script') ?? '';
  if (NAME_PATTERN.test(name)) return name;
  throw new HearthError(
    'BAD_REQUEST',
    `${JSON.stringify(name.slice(0, 100))} is no name for a function: it ${NAME_RULE}.`,
  );
}

/** Throws NOT_FOUND as wrangler understands it: a Worker that is still to be made. */
export function workerNamed(registry: Registry, name: string, number = NO_SUCH_WORKER): FunctionEntry {
  const entry = registry.function(name);
  if (entry !== undefined) return entry;
  throw new CloudflareError('NOT_FOUND', number, `There is no Worker "${name}" here.`);
}

/** A body of JSON, whatever content type it says it has. Throws BAD_REQUEST. */
export async function jsonOf<Schema extends z.ZodType>(
  c: CloudflareContext,
  schema: Schema,
): Promise<z.output<Schema>> {
  const text = await c.req.text();
  if (isTooDeep(text)) throw tooDeep();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new HearthError('BAD_REQUEST', 'The body is not JSON.', { cause: error });
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw invalidRequest('json', parsed.error);
  return parsed.data;
}
