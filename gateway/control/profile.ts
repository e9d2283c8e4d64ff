/** A CPU profile or a heap snapshot of one running instance, as the developer tools of Chrome open them. */
import { createRoute, z } from '@hono/zod-openapi';
import { HearthError } from '../../functions/contract/errors.ts';
import type { Keeper, ProfileSubject } from '../../pool/keeper/api.ts';
import type { Registry } from '../registry/registry.ts';
import { type Caller, requireScope, requireTrustGroup } from './access.ts';
import type { Audit } from './audit.ts';
import { type ControlApp, guard, jsonBody, nameParam, otherAnswer } from './http.ts';
import { functionNamed } from './lookup.ts';

const route = createRoute({
  method: 'post',
  path: '/v1/functions/{name}/profile',
  summary: 'A .cpuprofile or a .heapsnapshot of one running instance; needs the scope profile:NAME',
  description:
    'A CPU profile looks for some seconds and disturbs little. A heap snapshot makes the base stand still, for some ten seconds with 100 MB; meanwhile it takes no new calls, and afterwards its host is replaced. It holds all that the function has in memory, its secrets too. One at a time in a host. The headers hearth-instance and hearth-version say what was profiled.',
  tags: ['functions'],
  middleware: guard((caller, param) => requireScope(caller, 'profile', param('name'))),
  request: {
    params: z.object({ name: nameParam }),
    body: jsonBody(
      z.strictObject({
        kind: z.enum(['cpu', 'heap']).default('cpu'),
        seconds: z.number().min(0.1).max(60).default(10).openapi({ description: 'Of a CPU profile' }),
        instance: z.string().max(100).nullable().default(null).openapi({ description: 'null: the busiest' }),
        shared: z
          .boolean()
          .default(false)
          .openapi({ description: 'Also where the base holds modules of other functions, which stand in it as well' }),
      }),
    ),
  },
  responses: otherAnswer('The profile', 'application/json'),
});

/** The head of an answer of this kind is there when its first piece is: what fails until then is a problem. */
export function profileResource(
  app: ControlApp,
  registry: Registry,
  keeper: Pick<Keeper, 'profile'>,
  audit: Audit,
): void {
  app.openapi(route, async (c) => {
    const { name } = c.req.valid('param');
    const { kind, seconds, instance, shared } = c.req.valid('json');
    const entry = functionNamed(registry, name);
    // Secrets are in it: a token for one trust group has no business with those of another. A base never spans two.
    for (const { claims } of entry.versions.values()) requireTrustGroup(c.get('caller'), claims.trustGroup);
    const gone = new AbortController();
    c.env.outgoing.once('close', () => {
      // An error of the caller's, so that the log does not hold it for one of ours.
      gone.abort(new HearthError('BAD_REQUEST', 'The client has gone away.'));
    });
    const caller = c.get('caller');
    const admit = (subject: ProfileSubject) => requireAll(caller, subject, shared);
    const asked = { kind, durationMs: seconds * 1000, instance, admit, signal: gone.signal };
    const { pieces, ...subject } = keeper.profile(name, asked);
    await audit(caller.id, `profile.${kind}`, name, { ...subject });
    const first = await pieces.next();
    return c.body(streamOf(first, pieces), 200, {
      'content-type': 'application/json',
      'content-disposition': `attachment; filename="${name}.${kind}${kind === 'cpu' ? 'profile' : 'snapshot'}"`,
      'hearth-instance': subject.instance,
      'hearth-version': subject.version,
    });
  });
}

/** A reader that stands still for so long has gone. */
const UNREAD_MS = 30_000;

/** What others have in the same base is in its profile, and stands still with it. */
function requireAll(caller: Caller, { functions, instance }: ProfileSubject, shared: boolean): void {
  for (const name of functions) requireScope(caller, 'profile', name);
  if (functions.length === 1 || shared) return;
  throw new HearthError(
    'CONFLICT',
    `The base ${instance} holds ${functions.join(', ')}: all of them would be in the profile. Say "shared": true if that is what you want.`,
  );
}

function streamOf(
  first: IteratorResult<Uint8Array>,
  rest: AsyncGenerator<Uint8Array>,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  let next: IteratorResult<Uint8Array> | null = first;
  let unread: NodeJS.Timeout | undefined;
  return new ReadableStream({
    async pull(controller) {
      clearTimeout(unread);
      const { done, value } = next ?? (await rest.next());
      next = null;
      if (done === true) {
        controller.close();
        return;
      }
      controller.enqueue(value as Uint8Array<ArrayBuffer>);
      // Nobody else gets a profile of that host meanwhile, and a host that is to go stays.
      unread = setTimeout(() => {
        controller.error(new Error(`nothing of it was read for ${UNREAD_MS / 1000} s`));
        void rest.return(undefined);
      }, UNREAD_MS).unref();
    },
    async cancel() {
      clearTimeout(unread);
      await rest.return(undefined);
    },
  });
}
